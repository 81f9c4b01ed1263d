"""Reads JSON and lines of any size in bounded memory and reports the place of everything unreadable."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from data_cleaning.reading.raw_records import Bad

CHUNK_BYTES = 1 << 18
SPACE = re.compile(r"[ \t\r\n]*")
MORE = 'more after the JSON value: for JSON lines set reader = "jsonl"'


def bounded_lines(file: BinaryIO, max_bytes: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Yields (offset, length, line without its end) of every line; the line is None if it exceeds max_bytes."""
    offset = 0
    while line := file.readline(max_bytes + 2):
        length = len(line)
        if length > max_bytes + 1 and not line.endswith(b"\n"):
            line = None
            while more := file.readline(CHUNK_BYTES):
                length += len(more)
                if more.endswith(b"\n"):
                    break
        yield offset, length, line if line is None else line.rstrip(b"\r\n")
        offset += length


def json_lines(path: Path, max_bytes: int) -> Iterator[tuple[int, int, object]]:
    """Yields (offset, length, value) of every line that is not blank; value is a Bad if it is not JSON or too long."""
    decoder = json.JSONDecoder(strict=False)
    with open(path, "rb") as file:
        for offset, length, line in bounded_lines(file, max_bytes):
            if line is None:
                yield offset, length, Bad(offset, f"line longer than {max_bytes:,} bytes", length)
            elif line.strip():
                text = line.decode("utf-8-sig" if offset == 0 else "utf-8", "surrogateescape")
                try:
                    yield offset, length, decoder.decode(text)
                except (ValueError, RecursionError) as error:
                    yield offset, length, Bad(offset, f"no JSON: {_shown(error)}", length)


def json_items(file: BinaryIO, max_bytes: int) -> Iterator[tuple[int, str | int, object] | Bad]:
    """Yields (offset, key or index, value) of the members of one top-level object or list, in order.

    If the file is truncated or broken, yields all members before that place, then one Bad for the rest. If more follows
    the object or list, yields a Bad with the error MORE. Never holds a member larger than max_bytes. Broken UTF-8
    becomes surrogate escapes.
    """
    text = _Window(file)
    opening = text.next_character()
    if opening not in ("{", "["):
        yield Bad(text.offset, "no JSON object or list", text.count_rest())
        return
    text.skip(1)
    index = 0
    closing = text.next_character()
    while closing not in ("}", "]"):
        text.next_character()
        start = text.offset
        key: object = index
        try:
            if opening == "{":
                key = text.value(max_bytes)
                if not isinstance(key, str) or text.next_character() != ":":
                    raise ValueError("a key and a colon are expected")
                text.skip(1)
            value = text.value(max_bytes)
            closing = text.next_character()
            if closing not in (",", "}", "]"):
                raise ValueError("cut short" if not closing else f"a comma is expected, not {closing!r}")
        except (ValueError, RecursionError) as error:
            text.count_rest()
            yield Bad(start, f"cut or broken JSON: {_shown(error)}", text.offset - start)
            return
        yield start, key, value
        index += 1
        if closing == ",":
            text.skip(1)
    text.skip(1)
    if text.next_character():
        yield Bad(text.offset, MORE, text.count_rest())


def _shown(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


class _Window:
    """The part of a JSON text that is being read; `offset` is the byte offset of the next character."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.text, self.place, self.offset = file, "", 0, 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.ended = False
        self.json = json.JSONDecoder(strict=False)

    def more(self, size: int = CHUNK_BYTES) -> bool:
        """Drops the consumed text and reads more; returns False at the end of the file."""
        if self.ended:
            return False
        data = self.file.read(size)
        self.ended = not data
        self.text = self.text[self.place :] + self.decoder.decode(data, self.ended)
        self.place = 0
        return True

    def skip(self, characters: int) -> None:
        passed = self.text[self.place : self.place + characters]
        self.offset += len(passed) if passed.isascii() else len(passed.encode("utf-8", "surrogateescape"))
        self.place += characters

    def next_character(self) -> str:
        """Returns the next character that is not white space, without consuming it; "" at the end."""
        while True:
            self.skip(SPACE.match(self.text, self.place).end() - self.place)
            if self.offset == 0 and self.text.startswith("\ufeff"):
                self.skip(1)
                continue
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.more():
                return ""

    def value(self, max_bytes: int) -> object:
        """Returns the JSON value that starts here. Raises ValueError if there is none or it exceeds max_bytes."""
        self.next_character()
        while True:
            held = len(self.text) - self.place
            try:
                value, end = self.json.raw_decode(self.text, self.place)
                # A number at the end of the window may continue, so it counts only once something follows it.
                if end < len(self.text) or not self.more():
                    if end - self.place > max_bytes:
                        raise ValueError(f"a value larger than {max_bytes:,} bytes")
                    self.skip(end - self.place)
                    return value
            except json.JSONDecodeError:
                if held > max_bytes:
                    raise ValueError(f"a value larger than {max_bytes:,} bytes, or no end to it") from None
                if not self.more(max(CHUNK_BYTES, held)):
                    raise

    def count_rest(self) -> int:
        """Skips the rest of the file in bounded memory; returns its bytes."""
        before = self.offset
        self.skip(len(self.text) - self.place)
        while self.more():
            self.skip(len(self.text))
        return self.offset - before
