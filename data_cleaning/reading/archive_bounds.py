"""Bounds on what an archive may unpack to, and a stream that enforces them."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data_cleaning.reading.raw_records import machine_failed

CHUNK_BYTES = 1 << 20
SMALL_BYTES = 16 << 20  # below this any ratio is harmless: short repetitive files compress very well
BROKEN = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, UnicodeError, OSError)


class UnsafeArchive(ValueError):
    """The archive is broken or suspicious: it does something that data archives have no reason to do."""


class BrokenArchive(UnsafeArchive):
    """The archive is truncated or damaged; the members before that place are complete."""


@dataclass(frozen=True)
class Bounds:
    """Bounds for one archive. Beyond one of the first four it is refused; a member with a longer name is left out."""

    total_bytes: int
    member_bytes: int
    members: int  # files, folders and links, wanted or not
    ratio: float = (
        250.0  # of unpacked to packed bytes; deflate reaches 1,000 on zeros, text in any language stays under 20
    )
    name_bytes: int = 1024
    depth: int = 32  # folders in a name


def broken(name: str, error: Exception) -> BrokenArchive:
    """Returns a reader's error as BrokenArchive; raises the error again if this machine failed and not the archive."""
    if machine_failed(error):
        raise error
    return BrokenArchive(f"{name}: broken archive ({type(error).__name__}: {error})")


class Meter:
    """Counts the members and unpacked bytes of one archive."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.name, self.bounds, self.total, self.members = path.name, bounds, 0, 0
        self.ratio_bytes = max(SMALL_BYTES, int(bounds.ratio * path.stat().st_size))

    def add_member(self) -> None:
        self.members += 1
        if self.members > self.bounds.members:
            raise self.too_many()

    def too_many(self) -> UnsafeArchive:
        return UnsafeArchive(f"{self.name}: more than {self.bounds.members:,} members, stopped there")

    def add(self, count: int) -> None:
        self.total += count
        if self.total > min(self.bounds.total_bytes, self.ratio_bytes):
            limit = f"{min(self.bounds.total_bytes, self.ratio_bytes):,} bytes"
            raise UnsafeArchive(f"{self.name}: unpacks to more than {limit}, stopped there")


class BoundedStream:
    """A read-only stream that raises UnsafeArchive when a bound is passed."""

    def __init__(self, stream: BinaryIO, name: str, meter: Meter) -> None:
        self.stream, self.name, self.meter, self.count = stream, name, meter, 0
        self.end, self.what = None, ""

    @contextmanager
    def at_most(self, count: int, what: str) -> Iterator[None]:
        """Limits the bytes read in this context to `count`, which belong to `what`; the outermost context applies."""
        if self.end is not None:
            yield
            return
        self.end, self.what = self.count + count, f"{what} of more than {count:,} bytes"
        try:
            yield
        finally:
            self.end = None

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        try:
            data = self.stream.read(min(size, CHUNK_BYTES))
        except BROKEN as error:
            raise broken(self.meter.name, error) from error
        self.count += len(data)
        if self.end is not None and self.count > self.end:
            raise UnsafeArchive(f"{self.meter.name}: {self.what}")
        if self.count > self.meter.bounds.member_bytes:
            limit = f"{self.meter.bounds.member_bytes:,}"
            raise UnsafeArchive(f"{self.meter.name}: member {self.name!r} unpacks to more than {limit} bytes")
        self.meter.add(len(data))
        return data
