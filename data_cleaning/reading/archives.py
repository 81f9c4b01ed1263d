"""Reads untrusted archives: no path leaves its folder, no link is followed, sizes and member lists are bounded.

Formats: zip (whl, jar), tar (also .gz .bz2 .xz .zst, .tgz, .crate), and single files under .gz .bz2 .xz .zst. Members
are streamed; sizes that an archive states are never trusted.
"""

import bz2
import errno
import fnmatch
import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow as pa

from data_cleaning.reading.archive_bounds import (
    BROKEN,
    CHUNK_BYTES,
    BoundedStream,
    Bounds,
    Meter,
    UnsafeArchive,
    broken,
)
from data_cleaning.reading.raw_records import Bad

LIST_BYTES = 256 << 20  # limit for the central directory of a zip, which zipfile reads into memory
LIST_ENTRY_BYTES = 1 << 20  # limit for the header of a tar member
PACKED_CRAWLS = (".warc.gz", ".warc.zst", ".wet.gz", ".wet.zst")
ZIP_ENTRY = b"PK\x01\x02"


def is_archive(path: Path | str) -> bool:
    """Decides by suffix. A packed crawl does not count as an archive: its reader unpacks it record by record."""
    name = str(path).lower()
    return not name.endswith(PACKED_CRAWLS) and name.endswith(
        (".zip", ".whl", ".jar", ".tar", ".tgz", ".crate", ".gz", ".bz2", ".xz", ".zst")
    )


def members(path: Path, bounds: Bounds, wanted: Callable[[str], bool] = lambda name: True) -> Iterator:
    """Yields (name, stream) of every file in the archive whose name is wanted, in the archive's order.

    Read a stream before you ask for the next member. The stream is None for links and devices, which are never
    followed. Raises UnsafeArchive for a path that leaves its folder, for an encrypted archive and, while reading, as
    soon as a bound is exceeded (names are not bounded here). Raises BrokenArchive for a truncated or damaged archive.
    """
    meter = Meter(path, bounds)
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
                    yield name, BoundedStream(stream, name, meter)
    except BROKEN as error:
        raise broken(path.name, error) from error
    except RuntimeError as error:  # zipfile raises it for an encrypted member
        raise UnsafeArchive(f"{path.name}: {error}") from error


def unpack(path: Path, pattern: str, into: Path, bounds: Bounds, left_out: list[tuple[str, Bad]]) -> None:
    """Writes the members that `pattern` names under `into`; adds those that cannot be written, and why, to `left_out`.

    pattern: a file, a folder (trailing "/") or a glob, "" for all; paths are kept from the pattern's fixed folder on.
    Raises UnsafeArchive and BrokenArchive (see members; files written before stay), and FileNotFoundError if nothing
    matches. Each file is renamed from a temporary file beside `into`, which no member's path can name.
    """
    base = fixed_folder(pattern)
    written, seen = set(), []
    temporary = into.with_name(f"{into.name}.part")

    def wanted(name: str) -> bool:
        seen.append(name)
        return matches(name, pattern)

    for name, stream in members(path, bounds, wanted):
        if fault := _left_out(name, stream, bounds):
            left_out.append((name[: bounds.name_bytes], Bad(0, fault, 0)))
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


def _left_out(name: str, stream: BoundedStream | None, bounds: Bounds) -> str | None:
    """Returns why a member is not unpacked, or None."""
    if stream is None:
        return "link in an archive, not followed"
    if len(os.fsencode(name)) > bounds.name_bytes:
        return f"member whose name is longer than {bounds.name_bytes:,} bytes"
    if name.count("/") > bounds.depth:
        return f"member in more than {bounds.depth} folders"
    return None


def write_stream(stream, target: Path, temporary: Path) -> None:
    """Copies a stream to a file, which is complete or absent; `temporary` is a path on the same file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            while chunk := stream.read(CHUNK_BYTES):
                file.write(chunk)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def matches(name: str, pattern: str) -> bool:
    """Returns whether a name is the file, is in the folder (trailing "/") or fits the glob; "" fits all."""
    if not pattern or pattern.endswith("/"):
        return name.startswith(pattern)
    if not _is_glob(pattern):
        return name == pattern
    parts = [".*" if part == "**" else _glob_part(part) for part in pattern.split("/")]
    return re.fullmatch("/".join(parts).replace(".*/", "(?:.*/)?"), name) is not None


def fixed_folder(pattern: str) -> str:
    """Returns the folder before the first wildcard, with its slash: "a/b/" for "a/b/*.csv", "" for "c.txt"."""
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


def _zip_members(path: Path, meter: Meter, wanted: Callable[[str], bool]) -> Iterator:
    with _Listing(path, meter) as file, zipfile.ZipFile(file) as archive:
        file.listed = True
        for info in archive.infolist():
            meter.add_member()
            _check_name(info.filename, path)
            if info.is_dir() or not wanted(info.filename):
                continue
            if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                yield info.filename, None
                continue
            with archive.open(info) as stream:
                yield info.filename, BoundedStream(stream, info.filename, meter)


def _tar_members(path: Path, meter: Meter, wanted: Callable[[str], bool]) -> Iterator:
    lower = path.name.lower()
    packed = lower.endswith((".zst", ".xz", ".bz2", ".gz", ".tgz", ".crate"))
    with _decompressed(path) if packed else open(path, "rb") as raw:
        # Skipping an unwanted member unpacks it too, so the tar reader reads through a meter as well.
        whole = BoundedStream(raw, path.name, Meter(path, replace(meter.bounds, member_bytes=1 << 62)))
        with tarfile.open(fileobj=whole, mode="r|", tarinfo=_header_of(whole)) as archive:
            for info in archive:
                meter.add_member()
                _check_name(info.name, path)
                name = info.name.removeprefix("./")
                if not info.isdir() and wanted(name):
                    yield name, BoundedStream(archive.extractfile(info), name, meter) if info.isreg() else None


def _header_of(whole: BoundedStream) -> type[tarfile.TarInfo]:
    class Header(tarfile.TarInfo):
        """A header of bounded size, because tarfile reads names and maps of sparse files into memory.

        tarfile treats a damaged header or the end of the file as the end of the archive, which must be two blocks of
        zeros: here, a damaged header raises ReadError.
        """

        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
            try:
                with whole.at_most(LIST_ENTRY_BYTES, "a header"):
                    return super().fromtarfile(archive)
            except tarfile.EOFHeaderError:
                raise
            except tarfile.HeaderError as error:
                raise tarfile.ReadError(f"at byte {archive.offset:,}: {error}") from error

    return Header


class _Listing(io.BufferedReader):
    """A zip file with a bounded list of members, because zipfile reads that list into memory in one go."""

    def __init__(self, path: Path, meter: Meter) -> None:
        super().__init__(io.FileIO(path))
        self.meter, self.listed = meter, False

    def read(self, size: int | None = -1) -> bytes:
        if self.listed:
            return super().read(size)
        if (size or 0) > LIST_BYTES:
            raise UnsafeArchive(f"{self.meter.name}: its list of members has more than {LIST_BYTES:,} bytes")
        data = super().read(size)
        if data.count(ZIP_ENTRY) > self.meter.bounds.members:
            raise self.meter.too_many()
        return data


def _decompressed(path: Path) -> BinaryIO:
    lower = path.name.lower()
    if lower.endswith((".gz", ".tgz", ".crate")):
        return gzip.open(path, "rb")
    if lower.endswith(".bz2"):
        return bz2.open(path, "rb")
    if lower.endswith(".xz"):
        return lzma.open(path, "rb")
    return pa.input_stream(path, compression="zstd")
