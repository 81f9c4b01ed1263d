"""Readers of data in Python packages: encyclopedia introductions, human chats, Bibles. See readers for the contract."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

from data_cleaning.reading.json_stream import json_items
from data_cleaning.reading.raw_records import Bad, Read, Record

MAX_PARSED_BYTES = 1 << 27  # limit for files that must be read into memory as a whole


def read_wikipedia_intros(path: Path, max_bytes: int) -> Read:
    """Reads {key: {title, extract, description, topic}}: one document per article introduction."""
    return _keyed_objects(path, max_bytes, _article)


def _article(offset: int, key: str, value: object) -> Record | Bad:
    if not isinstance(value, dict) or not isinstance(value.get("extract"), str):
        return Bad(offset, "no article: an object with title and extract is expected", 0)
    meta = {name: value[name] for name in ("topic", "description") if value.get(name)}
    return Record(key, str(value.get("title") or ""), value["extract"], offset, meta)


def read_chats(path: Path, max_bytes: int) -> Read:
    """Reads {key: {messages: [[{text, sender}]]}}: one line per turn, which begins with its speaker, "A: …"."""
    return _keyed_objects(path, max_bytes, _chat)


def _chat(offset: int, key: str, value: object) -> Record | Bad:
    turns = chat_turns(value)
    if turns is None:
        return Bad(offset, "no chat: an object with messages of text and sender is expected", 0)
    lines = [f"{speaker}: {text}" for speaker, text in turns]
    meta = {"prompt": value["prompt"]} if value.get("prompt") else {}
    return Record(key, "", "\n".join(lines), offset, meta)


def _keyed_objects(path: Path, max_bytes: int, made: Callable[[int, str, object], Record | Bad]) -> Read:
    """Yields `made(offset, key, value)` for every member of a JSON object."""
    with open(path, "rb") as file:
        for item in json_items(file, max_bytes):
            yield item if isinstance(item, Bad) else made(item[0], str(item[1]), item[2])


def chat_turns(chat: object) -> list[tuple[str, str]] | None:
    """Returns (speaker, text) of every turn, speakers being A, B, … by first appearance; None if it is not a chat.

    Consecutive messages of one speaker are one turn. A lone dash at the end of a message marks a cut at the chat's
    length limit: the next message continues it.
    """
    groups = chat.get("messages") if isinstance(chat, dict) else None
    if not isinstance(groups, list) or not all(isinstance(group, list) for group in groups):
        return None
    speakers: dict[str, str] = {}
    turns: list[tuple[str, str]] = []
    for message in itertools.chain.from_iterable(groups):
        if not isinstance(message, dict) or not isinstance(message.get("text"), str):
            return None
        speaker = speakers.setdefault(str(message.get("sender")), chr(ord("A") + len(speakers) % 26))
        text = " ".join(message["text"].split())
        if turns and turns[-1][0] == speaker:
            turns[-1] = (speaker, f"{turns[-1][1].removesuffix(' -')} {text}")
        elif text:
            turns.append((speaker, text))
    return turns


def read_bible(path: Path, max_bytes: int) -> Read:
    r"""Reads one document per chapter from a pythonbible "readers" module; never runs the module.

    The text is between the first triple quotes. Two tables after it give the start and end of each verse (BBCCCVVV), in
    characters of the source as written, backslashes included. Removes the brackets around words that the translators
    supplied and the edition's remaining markup (\\43:1\\ before the verses of a poem, footnote signs).
    """
    if path.stat().st_size > MAX_PARSED_BYTES:
        yield Bad(0, f"file larger than {MAX_PARSED_BYTES:,} bytes", path.stat().st_size)
        return
    module = path.read_text(encoding="utf-8", errors="surrogateescape")
    quoted = re.search(r'""".*?"""', module, re.DOTALL)
    if not quoted:
        yield Bad(0, "no Bible: no text in triple quotes", path.stat().st_size)
        return
    bible, rest = quoted.group()[3:-3], module[quoted.end() :]
    places: dict[int, list[int]] = {}
    for verse, place in re.findall(r"^\s+(\d{7,8}): (\d+),$", rest, re.MULTILINE):
        places.setdefault(int(verse), []).append(int(place))
    books = list(dict.fromkeys(re.findall(r"Book\.([A-Z_0-9]+)", rest)))
    verses = [(verse, *place) for verse, place in sorted(places.items()) if len(place) == 2]
    if not verses or verses[-1][0] // 1_000_000 > len(books):
        yield Bad(0, "no Bible: no table of verses", path.stat().st_size)
        return
    for chapter, group in itertools.groupby(verses, key=lambda verse: verse[0] // 1000):
        spans = list(group)
        text = re.sub(r"\\*\d+:\d+\\*|\\+", " ", bible[spans[0][1] : spans[-1][2]])
        text = re.sub(r"(?<=\() | +(?= )", "", re.sub(r"[\[\]*+]", "", text))
        name = _book_name(books[chapter // 1000 - 1])
        yield Record(str(chapter), f"{name} {chapter % 1000}", text, quoted.start())


def _book_name(constant: str) -> str:
    """SAMUEL_1 → 1 Samuel, SONG_OF_SONGS → Song of Songs."""
    words = constant.split("_")
    words = [words[-1], *words[:-1]] if words[-1].isdigit() else words
    return " ".join(word.lower() if word == "OF" else word.capitalize() for word in words)
