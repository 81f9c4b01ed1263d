"""The files of an artifact and their hashes: listed when it is sealed, verified whenever it is used."""

from pathlib import Path

from data_cleaning.files import remembered_sha256, sha256_of_all
from data_cleaning.store_layout import RECORD
from orchestration.store import SCRATCH

MEMORY = ".verified.json"  # size and modification time of each file when it was last hashed
# Files that are not part of the artifact; a kill may leave a partial record.
OWN = {RECORD, MEMORY, SCRATCH, f".{RECORD}.part", f".{MEMORY}.part"}


def names(folder: Path) -> list[str]:
    """Returns the paths of all files of the artifact, relative to its folder, sorted."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if path.parts[0] not in OWN)


def manifest_of(folder: Path) -> dict[str, dict]:
    """Returns relative path → bytes and sha256 for every file of the artifact."""
    listed = names(folder)
    hashes = remembered_sha256(folder, listed, folder / MEMORY)
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": hashes[name]} for name in listed}


def verify(folder: Path, record: dict, full: bool = False) -> str | None:
    """Returns None if the files are exactly those of the manifest, else what is wrong.

    Reads only files whose size or modification time has changed since the last call, as after a copy; all files if
    `full`.
    """
    return changed(folder, record["manifest"], full) or stranger(folder, record)


def changed(folder: Path, manifest: dict[str, dict], full: bool = False) -> str | None:
    """Returns None if every file of `manifest` (or a part of one) exists with its sha256, else what is wrong."""
    for name, entry in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != entry["bytes"]:
            return f"{path} has changed since it was recorded"
    hashes = sha256_of_all(folder, manifest) if full else remembered_sha256(folder, manifest, folder / MEMORY)
    wrong = next((name for name, entry in manifest.items() if hashes[name] != entry["sha256"]), None)
    return wrong and f"{folder / wrong} has changed since it was recorded"


def stranger(folder: Path, record: dict) -> str | None:
    """Returns a message about a file that is not in the manifest, or None: a stage would read it as its parent's."""
    name = next((name for name in names(folder) if name not in record["manifest"]), None)
    return name and f"{folder / name} does not belong to this artifact"
