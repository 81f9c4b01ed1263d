"""Conversations in the raw files of the `dialogues` artifact: chats between people, and written ones.

Files lie in raw/<source name>/. The format of a file identifies its reader, so a user may add a second source of the
same format under another name. Every record names its source; the table of sources states the licence.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from modeling.dialogues import answer_rules


@dataclass(frozen=True)
class Conversation:
    turns: tuple[str, ...]  # user, assistant, user, … ending with the assistant
    topic: str
    quality: float  # mean human rating, 1 to 10
    source: str


def files(dialogues: Path, pattern: str) -> Iterator[tuple[Path, str]]:
    """Yield (file, source name) of every raw file that matches, sorted by path. Raises ValueError without raw files."""
    raw = dialogues / "raw"
    if not raw.is_dir():
        raise ValueError(f"{raw} does not exist: materialize the dialogues artifact first")
    for path in sorted(raw.rglob(pattern)):
        yield path, path.relative_to(raw).parts[0]


def corpus_conversations(dialogues: Path) -> list[Conversation]:
    """ChatterBot's YAML: question and first answer of each entry (further lines are mostly alternatives, not turns)."""
    found, seen = [], set()
    for path, source in files(dialogues, "*.y*ml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or "conversations" not in content:
            continue
        topic = path.stem.replace("_", " ")
        for lines in content["conversations"]:
            turns = [clean(str(line)) for line in lines]
            # Only these two files hold real dialogues, in which each line answers the previous one.
            length = len(turns) // 2 * 2 if topic in ("conversations", "greetings") else 2
            turns = tuple(turns[: min(length, 6)])
            if len(turns) >= 2 and all(turns) and turns not in seen and "```" not in "".join(turns):
                seen.add(turns)
                found.append(Conversation(turns, topic, 7.0, source))
    return found


def human_chats(dialogues: Path) -> list[Conversation]:
    """chitchat: two or four well-formed adjacent turns of each chat between people, with their mean rating."""
    found = []
    for path, source in files(dialogues, "dataset.json"):
        for chat in json.loads(path.read_text(encoding="utf-8")).values():
            ratings = [float(value) for value in (chat.get("ratings") or {}).values() if value is not None]
            if not ratings:
                continue
            turns = [clean(" ".join(_sentence(part["text"]) for part in turn)) for turn in chat["messages"]]
            exchange = _best_exchange(turns)
            if exchange:
                found.append(Conversation(exchange, "chat", sum(ratings) / len(ratings), source))
    return found


def _best_exchange(turns: list[str]) -> tuple[str, ...]:
    """The first proper question with a proper answer, and the next exchange if that is proper too; () if none."""
    for place in range(len(turns) - 1):
        question, answer = turns[place : place + 2]
        if (
            _SELF_CONTAINED.match(question)
            and _proper(question, 4)
            and not _CONTEXT.search(question)
            and _proper(answer, 6)
        ):
            following = turns[place + 2 : place + 4]
            if len(following) == 2 and _proper(following[0], 4) and _proper(following[1], 6):
                return (question, answer, *following)
            return (question, answer)
    return ()


# A question to the other person that stands alone without earlier turns.
_SELF_CONTAINED = re.compile(
    r"(?:(?:Hi|Hello|Hey)\b[^.?!]*[.!] )?(?:What|Where|Which|How|Do|Did|Have|Are|Would|If|When|Why|Can|Could)\b[^.?!]*\byour?\b"
    r"[^.?!]*\?$"
)
_CONTEXT = re.compile(
    r"\b(?:that|it|they|them|this|those|these|there|then|he|she|his|her|else|too|as well|again|also)\b", re.I
)
_LAUGHTER = re.compile(
    r"\b(?:a*(?:ha){2,}h?|lo+l|lmao|omg|wtf|idk|btw|gonna|wanna|u|ur|yeah|byu|survey|chat ?bot)\b", re.I
)


def _proper(text: str, least: int) -> bool:
    """Whether a turn is readable on its own: `least` to 40 words, no slang, no links, nothing rude."""
    count = len(text.split())
    rude = set(answer_rules.words(text)) & answer_rules.HARM
    return (
        least <= count <= 40
        and not rude
        and not _LAUGHTER.search(text)
        and not re.search(r"https?:|[<>@#_]|\d{4}", text)
    )


def _sentence(text: str) -> str:
    """A chat message as a sentence: capital first letter and a closing full stop, which people often leave out."""
    text = re.sub(r"\bi\b", "I", " ".join(text.split()))
    text = re.sub(r"\bi('(?:m|ve|ll|d))\b", r"I\1", text)
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".!?:;," else f"{text}."


def clean(text: str) -> str:
    """The text on one line, with plain apostrophes."""
    return " ".join(text.replace("\u00a0", " ").replace("’", "'").split())
