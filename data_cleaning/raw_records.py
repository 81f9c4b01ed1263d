"""What reading a raw file gives: documents as they came, and what could not be read."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Record:
    key: str  # unique in its file
    title: str
    text: str
    offset: int = 0  # byte in the file at which it starts
    meta: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Bad:
    """Input that was left out: byte offset in its file, what is wrong, and how many bytes (0 where that is unknown)."""

    offset: int
    error: str
    bytes: int


Read = Iterator[Record | Bad]
