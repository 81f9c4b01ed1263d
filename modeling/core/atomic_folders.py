"""Output folders: a kill leaves no partial file, and every user can read the result."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o644, 0o755
MODEL_FILES = ("*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json", "tokenizer.json",
               "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")  # fmt: skip


def model_files(folder: Path) -> list[Path]:
    """The files of a Hugging Face directory with its tokenizer, sorted; not what a stage writes beside them."""
    return sorted(path for pattern in MODEL_FILES for path in folder.glob(pattern))


@contextmanager
def filling(out: Path) -> Iterator[Path]:
    """Yields an empty scratch folder; at the end its files move into `out`, each by an atomic rename."""
    scratch = out / "_scratch" / "directory"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    readable_by_all(scratch)
    for path in sorted(scratch.iterdir()):
        os.replace(path, out / path.name)


def readable_by_all(folder: Path) -> None:
    """Gives files and folders the usual modes: safetensors, temporary files and some umasks admit only the owner."""
    for parent, _, names in os.walk(folder):
        set_mode(Path(parent), FOLDER_MODE)
        for name in names:
            set_mode(Path(parent, name), FILE_MODE)


def set_mode(path: Path, mode: int) -> None:
    """Changes the mode only if it differs: a file that already has it may belong to another user. Skips symlinks."""
    status = path.lstat()
    if not stat.S_ISLNK(status.st_mode) and stat.S_IMODE(status.st_mode) != mode:
        path.chmod(mode)
