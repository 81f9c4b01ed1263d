"""Read archives that strangers made: no path leaves its folder, no link is followed, nothing unpacks without end.

zip (whl, jar), tar (also .gz .bz2 .xz .zst, .tgz, .crate), and single files under .gz .bz2 .xz .zst. Members are streamed;
sizes that an archive states about itself are never believed.
"""

import bz2
import errno
import fnmatch
import gzip
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow as pa

from data_cleaning.reading.raw_records import Bad, machine_failed

CHUNK_BYTES = 1 << 20
SMALL_BYTES = 16 << 20  # up to here any ratio is harmless: short repetitive files pack very well

BROKEN = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, UnicodeError, OSError)


class UnsafeArchive(ValueError):
    """The archive is broken, or does what an archive of data has no reason to do."""


class BrokenArchive(UnsafeArchive):
    """The archive is cut or damaged; the members before that place are whole."""


@dataclass(frozen=True)
class Bounds:
    """What one archive may unpack to: bytes in all, bytes a member, and unpacked over packed size."""

    total_bytes: int
    member_bytes: int
    ratio: float = 250.0  # deflate reaches 1,000 on zeros; text in any language stays under 20


def is_archive(path: Path | str) -> bool:
    """By suffix. A .warc.gz is no archive here: its reader unpacks it record by record."""
    name = str(path).lower()
    return not name.endswith((".warc.gz", ".warc.zst")) and name.endswith(
        (".zip", ".whl", ".jar", ".tar", ".tgz", ".crate", ".gz", ".bz2", ".xz", ".zst")
    )


def members(path: Path, bounds: Bounds, wanted: Callable[[str], bool] = lambda name: True) -> Iterator:
    """(name, stream) of every file in the archive whose name is wanted, in the archive's order.

    A stream must be read before the next member is asked for; it is None for links and devices, which are never
    followed. Raises UnsafeArchive on an absolute path or one that climbs out of its folder, on an encrypted archive, and,
    while reading, as soon as a bound is passed; BrokenArchive where the archive is cut or damaged.
    """
    meter = _Meter(path, bounds)
    lower = path.name.lower()
    try:
        if lower.endswith((".zip", ".whl", ".jar")):
            yield from _zip_members(path, meter, wanted)
        elif lower.endswith((".tar", ".tgz", ".crate")) or ".tar." in lower:
            yield from _tar_members(path, meter, wanted)
        else:
            name = path.name.rsplit(".", 1)[0]
            if wanted(name):
                with _decompressed(path) as stream:
                    yield name, _Bounded(stream, name, meter)
    except BROKEN as error:
        raise _broken(path.name, error) from error
    except RuntimeError as error:  # what zipfile raises for an encrypted member
        raise UnsafeArchive(f"{path.name}: {error}") from error


def unpack(path: Path, pattern: str, into: Path, bounds: Bounds, left_out: list[tuple[str, Bad]]) -> None:
    """Write the members that `pattern` names under `into`; `left_out` gets those that could not be, and why.

    pattern: a file, a folder (trailing "/") or a glob, "" for all; paths keep their part below the pattern's fixed
    folder. Raises UnsafeArchive and BrokenArchive (see members; what was written till then stays) and FileNotFoundError
    where nothing matches. Files appear by rename, out of a temporary file beside `into`, where no member can stand.
    """
    base = fixed_folder(pattern)
    written, seen = set(), []
    temporary = into.with_name(f"{into.name}.part")

    def wanted(name: str) -> bool:
        seen.append(name)
        return matches(name, pattern)

    for name, stream in members(path, bounds, wanted):
        if stream is None:
            left_out.append((name, Bad(0, "link in an archive, not followed", 0)))
            continue
        target = into / PurePosixPath(name[len(base) :])
        if target in written:
            left_out.append((name, Bad(0, "member that a later one of its name replaces", target.stat().st_size)))
        try:
            write_stream(stream, target, temporary)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise UnsafeArchive(f"{path.name}: member {name!r} is both a file and a folder") from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            left_out.append((name, Bad(0, "member whose name is too long for this file system", 0)))
            continue
        written.add(target)
    if not written and pattern:
        shown = ", ".join(sorted(seen, key=lambda name: _distance(name, pattern))[:5])
        raise FileNotFoundError(f"{path.name} holds no {pattern!r}; nearest members: {shown or 'none at all'}")


def write_stream(stream, target: Path, temporary: Path) -> None:
    """Copy a stream to a file that is whole or absent; `temporary` is a path on the same file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            while chunk := stream.read(CHUNK_BYTES):
                file.write(chunk)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def matches(name: str, pattern: str) -> bool:
    """Whether a member's name is the file, lies in the folder (trailing "/") or fits the glob; "" fits all."""
    if not pattern or pattern.endswith("/"):
        return name.startswith(pattern)
    if not _is_glob(pattern):
        return name == pattern
    parts = [".*" if part == "**" else _glob_part(part) for part in pattern.split("/")]
    return re.fullmatch("/".join(parts).replace(".*/", "(?:.*/)?"), name) is not None


def fixed_folder(pattern: str) -> str:
    """The folder part before the first wildcard, with its slash: "a/b/" for "a/b/*.csv", "" for "c.txt"."""
    head = pattern.split("*")[0].split("?")[0].split("[")[0] if _is_glob(pattern) else pattern
    return head[: head.rfind("/") + 1]


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def _glob_part(part: str) -> str:
    return fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*")


def _distance(name: str, pattern: str) -> tuple[int, str]:
    return -len(os.path.commonprefix([name, pattern])), name


def _check_name(name: str, archive: Path) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or (len(name) > 1 and name[1] == ":"):
        raise UnsafeArchive(f"{archive.name}: member {name!r} would be written outside of its folder")


def _zip_members(path: Path, meter: "_Meter", wanted: Callable[[str], bool]) -> Iterator:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _check_name(info.filename, path)
            if info.is_dir() or not wanted(info.filename):
                continue
            if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                yield info.filename, None
                continue
            with archive.open(info) as stream:
                yield info.filename, _Bounded(stream, info.filename, meter)


def _tar_members(path: Path, meter: "_Meter", wanted: Callable[[str], bool]) -> Iterator:
    lower = path.name.lower()
    packed = lower.endswith((".zst", ".xz", ".bz2", ".gz", ".tgz", ".crate"))
    with _decompressed(path) if packed else open(path, "rb") as raw:
        # Skipping an unwanted member unpacks it too, so the meter sits under the tar reader as well.
        bounded = _Bounded(raw, path.name, _Meter(path, Bounds(meter.bounds.total_bytes, 1 << 62, meter.bounds.ratio)))
        with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Header) as archive:
            for info in archive:
                _check_name(info.name, path)
                name = info.name.removeprefix("./")
                if not info.isdir() and wanted(name):
                    yield name, _Bounded(archive.extractfile(info), name, meter) if info.isreg() else None


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header, and the end of the file, for the end of the archive: that is two blocks of zeros."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"at byte {archive.offset:,}: {error}") from error


def _decompressed(path: Path) -> BinaryIO:
    lower = path.name.lower()
    if lower.endswith((".gz", ".tgz", ".crate")):
        return gzip.open(path, "rb")
    if lower.endswith(".bz2"):
        return bz2.open(path, "rb")
    if lower.endswith(".xz"):
        return lzma.open(path, "rb")
    return pa.input_stream(path, compression="zstd")


def _broken(name: str, error: Exception) -> BrokenArchive:
    if machine_failed(error):
        raise error
    return BrokenArchive(f"{name}: broken archive ({type(error).__name__}: {error})")


class _Meter:
    """Counts what comes out of one archive."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.name, self.bounds, self.total = path.name, bounds, 0
        self.ratio_bytes = max(SMALL_BYTES, int(bounds.ratio * path.stat().st_size))

    def add(self, count: int) -> None:
        self.total += count
        if self.total > min(self.bounds.total_bytes, self.ratio_bytes):
            limit = f"{min(self.bounds.total_bytes, self.ratio_bytes):,} bytes"
            raise UnsafeArchive(f"{self.name}: unpacks to more than {limit}, stopped there")


class _Bounded:
    """A read-only stream that raises UnsafeArchive when a bound is passed."""

    def __init__(self, stream: BinaryIO, name: str, meter: _Meter) -> None:
        self.stream, self.name, self.meter, self.count = stream, name, meter, 0

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        try:
            data = self.stream.read(min(size, CHUNK_BYTES))
        except BROKEN as error:
            raise _broken(self.meter.name, error) from error
        self.count += len(data)
        if self.count > self.meter.bounds.member_bytes:
            limit = f"{self.meter.bounds.member_bytes:,}"
            raise UnsafeArchive(f"{self.meter.name}: member {self.name!r} unpacks to more than {limit} bytes")
        self.meter.add(len(data))
        return data
