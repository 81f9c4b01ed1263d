"""Finds the table of sources: CRIA_SOURCES, or sources.toml of the checkout."""

import functools
import os
from pathlib import Path

from data_cleaning.paths import path_from
from data_cleaning.recipes import Source
from data_cleaning.snapshots import snapshot_order
from data_cleaning.sources.errors import SourceError
from data_cleaning.sources.table import load_sources
from orchestration.store import CHECKOUT


def sources_file() -> Path:
    """Returns the table's path. Raises ValueError if CRIA_SOURCES cannot be expanded."""
    return path_from("CRIA_SOURCES", CHECKOUT / "sources.toml")


@functools.lru_cache(maxsize=4)
def _sources(path: Path, modified: float, opt_in: str) -> tuple[Source, ...]:
    return load_sources(path)


def sources() -> tuple[Source, ...]:
    """Returns the sources of the table, opt-in ones only if CRIA_OPT_IN names them. Raises SourceError."""
    path = sources_file()
    if not path.is_file():
        raise SourceError(f"{path}, the table of sources, is no file: name one in CRIA_SOURCES, or unset it")
    return _sources(path, path.stat().st_mtime, os.environ.get("CRIA_OPT_IN", ""))


def snapshots() -> list[str]:
    """Returns the names of the deliveries of data, the oldest first."""
    return sorted({source.snapshot for source in sources() if source.use == "corpus"}, key=snapshot_order)
