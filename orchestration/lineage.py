"""The chain of records of any file in the store, down to source packages and hashes.

Usage: python -m orchestration.lineage store/laptop/bundle/model.safetensors
"""

import sys
from pathlib import Path

from data_cleaning.sources.errors import SourceError
from data_cleaning.store_layout import RECORD
from orchestration import manifest
from orchestration.sources import sources
from orchestration.store import store
from release.licenses import stated
from release.lineage import LineageError, as_markdown, read, store_lookup, walk


def artifact_of(path: Path) -> Path:
    """Returns the artifact folder that contains `path`. Raises LineageError if there is none."""
    for folder in (path, *path.parents):
        if (folder / RECORD).is_file():
            return folder
    raise LineageError(f"{path} is in no artifact: no {RECORD} beside it or above it")


def lineage_of(path: Path) -> str:
    """Returns the chain as Markdown: the file, artifacts in order of creation, the sources with current licenses."""
    if not path.exists():
        raise LineageError(f"{path} does not exist")
    artifact = read(artifact_of(path))
    listed = artifact.record["manifest"]
    name = path.relative_to(artifact.folder).as_posix()
    files = {name: listed[name]} if name in listed else listed
    wrong = manifest.changed(artifact.folder, files)
    if wrong:
        raise LineageError(wrong)
    chain = walk([artifact], store_lookup(store()), stated(sources()))
    text = as_markdown(chain, {name: {**entry, "from": artifact.name} for name, entry in files.items()})
    return text + "".join(f"\nReplaced since: {sentence}.\n" for sentence in chain.replaced)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestration.lineage FILE   (a file or artifact folder of the store)")
    try:
        print(lineage_of(Path(sys.argv[1]).absolute()))
    except (LineageError, SourceError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
