"""The chain of records of any file in the store, down to source packages and hashes.

Usage: python -m orchestration.lineage store/laptop/bundle/model.safetensors
"""

import sys
from pathlib import Path

from orchestration import records
from orchestration.store import store
from release.lineage import RECORD, LineageError, as_markdown, read, store_lookup, walk


def artifact_of(path: Path) -> Path:
    """The artifact folder that holds `path`. Raises LineageError where none does."""
    for folder in (path, *path.parents):
        if (folder / RECORD).is_file():
            return folder
    raise LineageError(f"{path} is in no artifact: no {RECORD} beside it or above it")


def lineage_of(path: Path) -> str:
    """The chain as Markdown: the file, the artifacts in the order they were made, the sources."""
    if not path.exists():
        raise LineageError(f"{path} does not exist")
    artifact = read(artifact_of(path))
    manifest = artifact.record["manifest"]
    name = path.relative_to(artifact.folder).as_posix()
    files = {name: manifest[name]} if name in manifest else manifest
    for changed, entry in files.items():
        if records.file_sha256(artifact.folder / changed) != entry["sha256"]:
            raise LineageError(f"{artifact.folder / changed} has changed since it was recorded")
    chain = walk([artifact], store_lookup(store()))
    text = as_markdown(chain, {name: {**entry, "from": artifact.name} for name, entry in files.items()})
    return text + "".join(f"\nReplaced since: {sentence}.\n" for sentence in chain.replaced)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestration.lineage FILE   (a file or artifact folder of the store)")
    try:
        print(lineage_of(Path(sys.argv[1]).absolute()))
    except LineageError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
