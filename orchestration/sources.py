"""The table of sources that this run reads: CRIA_SOURCES, or sources.toml of the checkout."""

import functools
import os
from pathlib import Path

from data_cleaning.paths import path_from
from data_cleaning.recipes import Source
from data_cleaning.sources.errors import SourceError
from data_cleaning.sources.table import load_sources
from orchestration.store import CHECKOUT


def sources_file() -> Path:
    """The table's path. Raises ValueError where CRIA_SOURCES cannot be expanded."""
    return path_from("CRIA_SOURCES", CHECKOUT / "sources.toml")


@functools.lru_cache(maxsize=4)
def _sources(path: Path, modified: float, opt_in: str) -> tuple[Source, ...]:
    return load_sources(path)


def sources() -> tuple[Source, ...]:
    """The sources of the table, without those that are opt-in and not named in CRIA_OPT_IN. Raises SourceError."""
    path = sources_file()
    if not path.is_file():
        raise SourceError(f"{path}, the table of sources, is no file: name one in CRIA_SOURCES, or unset it")
    return _sources(path, path.stat().st_mtime, os.environ.get("CRIA_OPT_IN", ""))


def snapshots() -> list[str]:
    """Deliveries of data, oldest first by name."""
    return sorted({source.snapshot for source in sources() if source.use == "corpus"})
