"""The dialogue as the browser keeps it between visits, as a file in Markdown or JSON, and as a person shares it.

A dialogue is a list of turns, question and answer by turns, as release/answering.py makes them.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from data_cleaning.markdown import literal
from modeling.rlhf.ratings.shared_dialogues import MOST_BYTES
from release import chat
from release.bundle import Version

FORMAT = 1
MAX_BYTES = MOST_BYTES  # of the saved copy, in UTF-8
MAX_ANSWER = 50_000  # characters
NOTHING = "{}"  # after "New dialogue": gradio's BrowserState does not write an empty text over what is there
TURNS = (  # fields of a question and of an answer, with the largest number of characters
    {"role": 9, "content": chat.MAX_CHARACTERS},
    {"role": 9, "content": MAX_ANSWER, "by": 200, "version_content": 200},
)
VERDICT = {"guard": 200}  # of an answer, if there was a guard: what it said (release/guard.py)
FIGURES = {"tokens": int, "seconds": float}  # of an answer; one that was saved before they were kept has neither
MAX_FIGURE = 1_000_000


@dataclass(frozen=True)
class Dialogue:
    version: str  # the name chosen in the menu
    system: str
    turns: list[dict]
    left_out: int  # oldest messages that an earlier copy had no room for


def saved(dialogue: Dialogue) -> tuple[str, int]:
    """Returns (the copy for the browser, how many messages are left out in all).

    The oldest exchanges are left out until the rest fits, and so is a system prompt that is too long to be sent.
    """
    system = dialogue.system if len(dialogue.system) <= chat.MAX_CHARACTERS else ""
    copy = {"format": FORMAT, "version": dialogue.version, "system": system, "left_out": MAX_BYTES, "turns": []}
    room, first = MAX_BYTES - len(encoded(copy)), len(dialogue.turns)
    while first and (room := room - len(encoded(dialogue.turns[first - 2 : first]))) >= 0:
        first -= 2
    copy |= {"left_out": dialogue.left_out + first, "turns": dialogue.turns[first:]}
    return encoded(copy).decode(), copy["left_out"]


def encoded(value: object) -> bytes:
    """Returns it as JSON. Half a character, as a page can send, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def read_back(text: object, offered: Collection[str] | None) -> Dialogue | None:
    """Returns the saved dialogue, or None unless it is one that this page could have written.

    The user, or any script on the same host, may have changed it. `offered`: names of the versions that there are now;
    None: it may have been led with a version that is gone.
    """
    if not is_text(text, MAX_BYTES):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != {"format", "version", "system", "left_out", "turns"}:
        return None
    version, system, turns, left_out = (found[name] for name in ("version", "system", "turns", "left_out"))
    valid = (
        type(found["format"]) is int
        and found["format"] == FORMAT
        and is_text(version, MAX_BYTES)
        and (offered is None or version in offered)
        and is_text(system, chat.MAX_CHARACTERS)
        and type(left_out) is int
        and 0 <= left_out <= MAX_BYTES
        and isinstance(turns, list)
        and len(turns) % 2 == 0
        and all(is_turn(turn, place % 2) for place, turn in enumerate(turns))
    )
    return Dialogue(version, system, turns, left_out) if valid else None


def is_turn(turn: object, answer: int) -> bool:
    fields = TURNS[answer]
    if not isinstance(turn, dict) or turn.get("role") != ("user", "assistant")[answer]:
        return False
    if answer and "guard" in turn:
        fields = fields | VERDICT
    others = turn.keys() - fields.keys()
    if fields.keys() - turn.keys() or (others and not (answer and has_figures(turn, others))):
        return False
    return all(is_text(turn[name], limit) for name, limit in fields.items()) and bool(answer or turn["content"].strip())


def has_figures(turn: dict, others: set[str]) -> bool:
    """Whether the other fields of an answer are its FIGURES."""
    return others == FIGURES.keys() and all(
        type(turn[name]) in (int, kind) and 0 <= turn[name] <= MAX_FIGURE for name, kind in FIGURES.items()
    )


def is_text(value: object, limit: int) -> bool:
    """Whether it is a text of at most `limit` characters that can be encoded: JSON can spell half a character."""
    if not isinstance(value, str) or len(value) > limit:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_last(turns: list[dict], pending: str, written: str, keep_both: bool) -> tuple[list[dict], str]:
    """Returns (the dialogue without its last exchange, the text box), where the question is to be read again.

    `pending` is a question that still has no answer. If something is `written` already, the question is put before it
    with `keep_both`, and dropped without.
    """
    if not pending and not turns:
        return turns, written
    question, kept = (pending, turns) if pending else (turns[-2]["content"], turns[:-2])
    if written.strip() and not keep_both:
        return kept, written
    return kept, f"{question}\n{written}" if written.strip() else question


def document(dialogue: Dialogue, title: str, version: Version, settings: dict, at: datetime) -> dict:
    """Returns what an exported file holds. `settings`: those on the page at that time (`at`, in UTC)."""
    return {
        "format": f"cria-dialogue-{FORMAT}",
        "title": title,
        "exported": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": {name: getattr(version, name) for name in ("name", "title", "artifact", "content")},
        "settings": settings,
        "system_prompt": dialogue.system,
        "older_messages_left_out": dialogue.left_out,
        "messages": [
            {"role": turn["role"], "content": turn["content"]}
            | ({"version": turn["by"], "version_content": turn["version_content"]} if "by" in turn else {})
            | ({"guard": turn["guard"]} if "guard" in turn else {})
            for turn in dialogue.turns
        ],
    }


def as_json(exported: dict) -> str:
    return json.dumps(exported, ensure_ascii=False, indent=2) + "\n"


def as_markdown(exported: dict) -> str:
    """Returns the document as Markdown in which each message is shown as written, whatever markup it holds."""
    version, settings = exported["version"], exported["settings"]
    parts = [
        f"# {literal(exported['title'])}: a dialogue",
        f"- Exported: {exported['exported']}\n"
        f"- Version: {literal(version['title'])}, {literal(version['artifact'])}, content {literal(version['content'])}\n"
        f"- Settings: {', '.join(f'{literal(name)} {value}' for name, value in settings.items())}",
    ]
    if exported["older_messages_left_out"]:
        parts.append(f"{exported['older_messages_left_out']} older messages are left out.")
    if exported["system_prompt"]:
        parts += ["## System prompt", fenced(exported["system_prompt"])]
    for message in exported["messages"]:
        by = "User"
        if message["role"] == "assistant":
            by = f"{literal(message['version'])} (content {literal(message['version_content'][:12])})"
            by += f", {literal(message['guard'])}" if "guard" in message else ""
        parts += [f"## {by}", fenced(message["content"])]
    return "\n\n".join(parts) + "\n"


def fenced(text: str) -> str:
    """Returns a code block of the text. Its fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def file_name(exported: dict, ending: str) -> str:
    """Returns a name with version and time that every file system takes."""
    version = re.sub(r"[^A-Za-z0-9.]+", "-", exported["version"]["title"]).strip("-.") or "version"
    return f"cria-{version}-{re.sub('[^0-9]', '', exported['exported'])}.{ending}"
