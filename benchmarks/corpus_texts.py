"""Documents for measuring the corpus steps: real sentences in new orders, with copies, edits and pages of templates.

Of every hundred documents, 80 are new, 5 repeat an earlier one exactly but for case, 10 repeat one with some words
replaced, and 5 are pages of one template: three quarters of their words are the same in all pages.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from data_cleaning.documents import DOCUMENT_SCHEMA, read_documents, write_shard

SHARD_DOCUMENTS = 4000
REMEMBERED = 200  # documents that copies and edits are made from
SOURCES = ("wiki-en", "bible-bbe", "bible-kjv")


def sentences(documents: Path) -> list[str]:
    """Returns the sentences of the English sources in a `documents` artifact. Raises ValueError if there are none."""
    table = read_documents(documents, columns=["source", "text"])
    found = [
        sentence
        for source, text in zip(table["source"].to_pylist(), table["text"].to_pylist(), strict=True)
        if source in SOURCES
        for sentence in re.split(r"(?<=[.!?])\s+", text)
        if 30 <= len(sentence) <= 400
    ]
    if not found:
        raise ValueError(f"{documents} has no text of {', '.join(SOURCES)}: make the corpus of sources.toml first")
    return found


def repeats(number: int) -> bool:
    """Returns whether a document repeats an earlier one, but for case or some words."""
    return number % 20 == 1 or number % 10 == 2


def texts(known: list[str], count: int, size: int, seed: int) -> Iterator[str]:
    """Yields documents of about `size` characters."""
    rng = random.Random(seed)
    earlier: list[str] = []

    def new(length: int) -> str:
        parts: list[str] = []
        while length > 0:
            parts.append(rng.choice(known))
            length -= len(parts[-1]) + 1
        return "\n".join(" ".join(parts[at : at + 5]) for at in range(0, len(parts), 5))

    template = new(size * 3 // 4)
    for number in range(count):
        kind = number % 100
        if kind % 20 == 1:
            yield rng.choice(earlier).swapcase()
        elif kind % 10 == 2:
            words = rng.choice(earlier).split(" ")
            for _ in range(rng.randrange(1, 20)):
                words[rng.randrange(len(words))] = f"word{rng.randrange(10**6)}"
            yield " ".join(words)
        elif kind % 20 == 3:
            yield f"{template}\n{new(size // 4)}"
        else:
            earlier = [*earlier[-REMEMBERED:], new(size)]
            yield earlier[-1]


def write(documents: Path, out: Path, count: int, size: int, seed: int = 0) -> int:
    """Writes a `documents` artifact of `count` documents. Returns the bytes of its text."""
    known, rows, written = sentences(documents), [], 0
    (out / "documents").mkdir(parents=True)
    for number, text in enumerate(texts(known, count, size, seed)):
        written += len(text.encode())
        fields = {"source": "made", "text": text, "title": "", "profile": "web", "meta": "{}"}
        rows.append({"id": f"made:{number:09}", **fields})
        if len(rows) == SHARD_DOCUMENTS or number == count - 1:
            shard = out / "documents" / f"made-{number // SHARD_DOCUMENTS:05}.parquet"
            write_shard(pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA), shard)
            rows = []
    return written
