"""What reading a raw file gives: documents as they came, and what could not be read."""

import errno
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
    foreign: bool = False  # whole, but no text: an image among pages is no sign of a broken source


Read = Iterator[Record | Bad]


def machine_failed(error: Exception) -> bool:
    """Whether it was this machine that failed and not the input: no memory, a package missing, a full or broken disk.

    The system's errors have a number, those of parsers have none; EINVAL is a seek to an offset that a broken file states.
    """
    return isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) not in (None, errno.EINVAL)
