"""Folders that others read: written so that a kill leaves no half file, with modes that let every user in."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o644, 0o755


@contextmanager
def filling(out: Path) -> Iterator[Path]:
    """An empty scratch folder; what is in it at the end is moved into `out`, file by file."""
    scratch = out / "_scratch" / "directory"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    readable_by_all(scratch)
    for path in sorted(scratch.iterdir()):
        os.replace(path, out / path.name)


def readable_by_all(folder: Path) -> None:
    """Gives files and folders the usual modes: safetensors, temporary files and some umasks let in their owner alone."""
    for parent, _, names in os.walk(folder):
        set_mode(Path(parent), FOLDER_MODE)
        for name in names:
            set_mode(Path(parent, name), FILE_MODE)


def set_mode(path: Path, mode: int) -> None:
    """Where it is another: of what has it already, another user may be the owner."""
    status = path.lstat()
    if not stat.S_ISLNK(status.st_mode) and stat.S_IMODE(status.st_mode) != mode:
        path.chmod(mode)
