"""Atomic file writes and SHA-256 hashes, for every stage and the store."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# File times have a coarse resolution (2 s on FAT): a file changed this recently may change again with the same time
# stamp.
CLOCK_STEP_NS = 2_000_000_000


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path, which replaces `path` at the end: readers see the old file or the complete new one."""
    part = path.with_name(f".{path.name}.part")
    yield part
    os.replace(part, path)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Writes JSON in ASCII, so that file names that are not UTF-8 survive. Raises ValueError for NaN and infinity."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False))


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns name → SHA-256 for files in `folder`; reads several in threads, as hashing releases the GIL."""
    names = list(names)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(names, pool.map(sha256_of, map(folder.joinpath, names)), strict=True))


def remembered_sha256(folder: Path, names: Iterable[str], memory: Path) -> dict[str, str]:
    """Like `sha256_of_all`, but reads only files whose size or modification time has changed since the last call.

    `memory` is a JSON file of earlier hashes: name → [bytes, modified (ns), SHA-256].
    """
    known = _recalled(memory)
    stamps = {name: _stamp(folder / name) for name in names}
    unknown = {name for name, stamp in stamps.items() if known.get(name, [])[:2] != stamp}
    read = sha256_of_all(folder, unknown)
    found = {name: read.get(name) or known[name][2] for name in stamps}
    if unknown:
        settled = time.time_ns() - CLOCK_STEP_NS
        lately = {name for name, stamp in stamps.items() if stamp[1] > settled}
        now = known | {name: [*stamp, found[name]] for name, stamp in stamps.items()}
        with contextlib.suppress(OSError):  # the store is read-only or full: the next call reads the files again
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_json(memory, {name: entry for name, entry in now.items() if name not in lately}, indent=None)
            memory.chmod(0o644)  # whatever the umask: it lies among files that every user may read and copy
    return found


def _recalled(memory: Path) -> dict[str, list]:
    try:
        return json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):  # none yet, another user's, or two processes wrote it at once
        return {}


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
