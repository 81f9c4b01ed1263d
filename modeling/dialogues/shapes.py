"""Shapes of dialogue data: reads a row of a JSON, JSON Lines or parquet file by its keys.

The shapes are those in which the field publishes its data, so that a person's file needs no conversion. A row becomes
a Dialogue, a Preference or a Rated answer. A row of a known shape that is no usable dialogue (tool calls, empty
answers) is returned as the reason; a row of an unknown shape raises ValueError with the keys found.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KNOWN = (
    "messages or conversations: a list of role/content or from/value",
    "prompt with completion or response; question with answer; instruction (and input or context) with output or response",
    "chosen and rejected (or positive and negative), each text or messages, with prompt, question, instruction or messages",
    "chosen and rejected as whole transcripts (Human: … Assistant: …) or whole lists of messages",
    "prompt or context, response1 and response2 with overall_preference; response_0 and response_1 with better_response_id",
    "any dialogue with label (true or false), score or rating",
)
_ROLES = {"system": "system", "human": "user", "user": "user", "prompter": "user", "gpt": "assistant", "bot": "assistant",
          "assistant": "assistant", "model": "assistant", "chatgpt": "assistant"}  # fmt: skip
_LISTS = ("messages", "conversations", "conversation")
_QUESTIONS = ("prompt", "question", "instruction", "query")
_ADDITIONS = ("input", "context")
_ANSWERS = ("completion", "response", "output", "answer")
_RATINGS = ("label", "score", "rating")
_BETTER, _WORSE = ("chosen", "positive"), ("rejected", "negative")
_TURN = re.compile(r"\s*\b(Human|Assistant):\s*")

Messages = tuple[dict[str, str], ...]  # role and content; [system,] user, assistant, user, …


@dataclass(frozen=True)
class Dialogue:
    messages: Messages  # ends with the assistant


@dataclass(frozen=True)
class Preference:
    messages: Messages  # ends with the user
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Rated:
    messages: Messages  # ends with the user
    answer: str
    rating: float  # higher is better; a label counts as 1 (true) or 0
    good: bool  # its label is true


class Unusable(ValueError):
    """A row of a known shape that holds no usable dialogue; the message is the reason, without the row's content."""


def read(row: Any) -> Dialogue | Preference | Rated:
    """The record of a row. Raises Unusable with a reason, or ValueError if the row has none of the KNOWN shapes."""
    if not isinstance(row, Mapping):
        raise ValueError(f"a row is an object, not {type(row).__name__}")
    given = {key: value for key, value in row.items() if value is not None}
    better, worse = (next((key for key in keys if key in given), None) for keys in (_BETTER, _WORSE))
    if better and worse:
        return _preference(_asked(given), given[better], given[worse])
    if "response1" in given and "response2" in given and "overall_preference" in given:
        return _compared(_asked(given), given["response1"], given["response2"], -float(given["overall_preference"]))
    if "response_0" in given and "response_1" in given and "better_response_id" in given:
        first = 1.0 if int(given["better_response_id"]) == 0 else -1.0
        return _compared(_asked(given), given["response_0"], given["response_1"], first)
    messages = _dialogue(given)
    if messages is None:
        keys = ", ".join(sorted(map(str, row)))
        raise ValueError(f"no known shape, its keys are: {keys}. The shapes that are read: {'; '.join(KNOWN)}")
    if messages and messages[-1]["role"] == "user":
        messages = messages[:-1]
    if len(messages) < 2:
        raise Unusable("no answer")
    rating = next((given[key] for key in _RATINGS if isinstance(given.get(key), bool | int | float)), None)
    if rating is None:
        return Dialogue(messages)
    return Rated(messages[:-1], messages[-1]["content"], float(rating), rating is True)


def _dialogue(given: Mapping) -> Messages | None:
    """The messages of a row that is one dialogue, or None if it is none."""
    question = next((key for key in _QUESTIONS if key in given), None)
    answer = next((key for key in _ANSWERS if key in given), None)
    if question and answer:
        return checked([*_prompt(given), *_said(given[answer], "assistant")])
    for key in _LISTS:
        if _is_list(given.get(key)):
            return checked(given[key])
    return None


def _asked(given: Mapping) -> list[dict]:
    """The messages before the two answers of a preference; empty if the answers hold them."""
    if any(key in given for key in _QUESTIONS):
        return _prompt(given)
    return next((list(given[key]) for key in (*_LISTS, "context") if _is_list(given.get(key))), [])


def _prompt(given: Mapping) -> list[dict]:
    value = next(given[key] for key in _QUESTIONS if key in given)
    system = _said(given["system"], "system") if isinstance(given.get("system"), str) else []
    if _is_list(value):
        return [*system, *value]
    additions = [given[key] for key in _ADDITIONS if isinstance(given.get(key), str) and given[key].strip()]
    return [*system, *_said("\n".join([str(value), *additions]), "user")]


def _preference(asked: list[dict], better: Any, worse: Any) -> Preference:
    before, chosen = _answer(asked, better)
    _, rejected = _answer(asked, worse)
    messages = checked(before)
    if not messages or messages[-1]["role"] != "user":
        raise Unusable("the last message before the answers is not the user's")
    if not chosen or not rejected:
        raise Unusable("no answer")
    if chosen == rejected:
        raise Unusable("both answers are the same")
    return Preference(messages, chosen, rejected)


def _compared(asked: list[dict], first: Any, second: Any, preference: float) -> Preference:
    if preference == 0:
        raise Unusable("neither answer is better")
    return _preference(asked, *((first, second) if preference > 0 else (second, first)))


def _answer(asked: list[dict], value: Any) -> tuple[list[dict], str]:
    """(messages before the answer, the answer), from text, one message, whole messages or a whole transcript."""
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, str):
        turns = _TURN.split(value)
        if asked or len(turns) < 4 or turns[0].strip():
            return asked, value.strip()
        value = [{"role": turns[n].lower(), "content": turns[n + 1]} for n in range(1, len(turns) - 1, 2)]
    if not _is_list(value):
        raise Unusable("an answer is neither text nor messages")
    last = checked(value[-1:], alone=True)[0]["content"] if value else ""
    return (list(value[:-1]) if len(value) > 1 else asked), last


def _said(text: Any, role: str) -> list[dict]:
    if _is_list(text):
        return list(text)
    return [{"role": role, "content": text}]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, Mapping) for one in value)


def checked(messages: Sequence[Mapping], alone: bool = False) -> Messages:
    """Messages with the roles system, user and assistant. Raises Unusable if they are others or do not alternate.

    `alone`: a single message of any role. An empty system message is left out.
    """
    found: list[dict[str, str]] = []
    for message in messages:
        role = _ROLES.get(str(message.get("role", message.get("from"))).lower())
        content = message.get("content", message.get("value"))
        if role is None:
            raise Unusable("tool calls, or another role")
        if not isinstance(content, str):
            raise Unusable("a message that is no text")
        if role == "system" and not content.strip():
            continue
        if not content.strip():
            raise Unusable("an empty message")
        found.append({"role": role, "content": content.strip()})
    turns = found[1:] if found and found[0]["role"] == "system" else found
    if not alone and any(turn["role"] != ("user", "assistant")[place % 2] for place, turn in enumerate(turns)):
        raise Unusable("turns do not alternate")
    return tuple(found)
