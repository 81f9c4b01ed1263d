"""Manages the folder in which an artifact is built: its lock, the time of earlier attempts, and a trash."""

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_cleaning.files import write_json
from data_cleaning.store_layout import RECORD
from orchestration.store import SCRATCH, store

NOTE = Path(SCRATCH) / "attempts.json"


@contextmanager
def alone(folder: Path, log: Any) -> Iterator[None]:
    """Lets one process at a time build in `folder`. Others wait; the kernel frees the lock of a killed process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            log.info(f"waits for process {file.read() or 'unknown'}, which is making it now")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def others(out: Path) -> list[Path]:
    """Returns the other work folders of the stage: unfinished work for another recipe, code or parent."""
    return sorted(folder for folder in out.parent.iterdir() if folder != out)


def different(other: Path, identity: dict[str, str]) -> str:
    """Returns in words how the work in `other` differs from work of this identity (recipe, code, parents)."""
    for noted in (other / NOTE, other / RECORD):  # finished work has lost its scratch
        if noted.is_file():
            before = json.loads(noted.read_text(encoding="utf-8")).get("identity", {})
            return ", ".join(name for name in identity if before.get(name) != identity[name])
    return "not noted"


def begin_attempt(out: Path, identity: dict[str, str]) -> float:
    """Notes in the scratch of `out` that an attempt begins, with its identity. Returns the seconds of earlier attempts.

    A killed attempt cannot write its end, so the time of its newest file counts as its end.
    """
    note = out / NOTE
    earlier = 0.0
    if note.is_file():
        last = json.loads(note.read_text(encoding="utf-8"))
        newest = max(path.lstat().st_mtime for path in out.rglob("*"))
        earlier = last["earlier_seconds"] + max(0.0, newest - last["began"])
    note.parent.mkdir(parents=True, exist_ok=True)
    write_json(note, {"earlier_seconds": earlier, "began": time.time(), "identity": identity})
    return earlier


def _trash() -> Path:
    return store() / ".trash"


def discard(folder: Path) -> None:
    """Removes a folder in one step: a kill leaves all of it or nothing, never a part that work could continue from."""
    if folder.exists():
        _trash().mkdir(parents=True, exist_ok=True)
        os.rename(folder, _trash() / f"{folder.name}--{uuid.uuid4().hex}")


def empty_trash() -> None:
    """Frees the disk, also of what a killed process left. Several processes may do so at once."""
    for folder in _trash().glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
