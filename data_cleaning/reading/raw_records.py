"""The results of reading a raw file: documents as found, and input that could not be read."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Record:
    key: str  # the record's own id, "" where it has none
    title: str
    text: str
    offset: int = 0  # byte in the file at which it starts
    meta: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Bad:
    """Input that was left out: byte offset in its file, what is wrong, and its size in bytes (0 if unknown)."""

    offset: int
    error: str
    bytes: int
    foreign: bool = False  # intact but not text: an image among pages does not mean that the source is broken
    identity: str = ""  # as the record states it (identity.stated_identity), "" if that could not be read


Read = Iterator[Record | Bad]


def machine_failed(error: Exception) -> bool:
    """Returns whether this machine failed and not the input: no memory, a package missing, a full or broken disk.

    System errors have an errno, parser errors have none. EINVAL is the input's fault: a seek to an offset in a broken
    file.
    """
    return isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) not in (None, errno.EINVAL)
