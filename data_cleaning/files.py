"""Files that are whole or absent, and their SHA-256: what every stage and the store write and check with."""

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

# A file system's clock ticks in steps (2 s on FAT): a file that changed so lately may change again at the same time.
CLOCK_STEP_NS = 2_000_000_000


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which then replaces `path` in one step: a reader, or a kill, sees the old file or the new one."""
    part = path.with_name(f".{path.name}.part")
    yield part
    os.replace(part, path)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """In ASCII: a name of a file that is no UTF-8 can be written in no other way. ValueError for NaN and infinity: no JSON."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 by name of files in `folder`, several read at once: hashing leaves the interpreter to others."""
    names = list(names)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(names, pool.map(sha256_of, map(folder.joinpath, names)), strict=True))


def remembered_sha256(folder: Path, names: Iterable[str], memory: Path) -> dict[str, str]:
    """As `sha256_of_all`, but only those are read whose size or time of modification is not that of the last time.

    `memory` is a JSON file of what was read before: name → [bytes, modified (ns), SHA-256].
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
        with contextlib.suppress(OSError):  # of a store that is read-only or full: it is read again next time
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_json(memory, {name: entry for name, entry in now.items() if name not in lately}, indent=None)
    return found


def _recalled(memory: Path) -> dict[str, list]:
    try:
        return json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):  # none yet, or two processes wrote it at once
        return {}


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
