"""Hugging Face directories, written so that a kill leaves no half file."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def filling(out: Path) -> Iterator[Path]:
    """An empty scratch folder; what is in it at the end is moved into `out`, file by file, readable as the umask says."""
    scratch = out / "_scratch" / "directory"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    mask = os.umask(0)
    os.umask(mask)
    for path in sorted(scratch.iterdir()):
        path.chmod(0o666 & ~mask)  # safetensors writes for its owner alone
        os.replace(path, out / path.name)
