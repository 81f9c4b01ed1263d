"""Compares every file of the store, or of one artifact, with its record. Exits with 1 if something is wrong.

Usage: python -m orchestration.verify [store/laptop/base_model]
"""

import sys
from pathlib import Path

from data_cleaning.store_layout import RECORD
from orchestration import manifest, records
from orchestration.lineage import artifact_of
from orchestration.store import store
from release.lineage import LineageError


def artifacts() -> list[Path]:
    """Returns the folders of all published artifacts of the store, sorted."""
    folders = (path.parent for path in store().rglob(RECORD))
    return sorted(folder for folder in folders if not folder.relative_to(store()).parts[0].startswith("."))


def main() -> None:
    try:
        folders = [artifact_of(Path(sys.argv[1]).absolute())] if len(sys.argv) > 1 else artifacts()
    except LineageError as error:
        sys.exit(str(error))
    wrong = [said for folder in folders if (said := manifest.verify(folder, records.read(folder), full=True))]
    print("\n".join(wrong or [f"as recorded: {len(folders)} of {len(folders)}"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
