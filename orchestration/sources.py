"""Finds the tables of sources: CRIA_SOURCES, or sources.toml of the checkout, and what came through the inbox."""

import functools
import os
from pathlib import Path

from data_cleaning.paths import path_from
from data_cleaning.recipes import Source
from data_cleaning.snapshots import snapshot_order
from data_cleaning.sources import inbox
from data_cleaning.sources.errors import SourceError
from data_cleaning.sources.table import load_sources
from orchestration.store import CHECKOUT


def sources_file() -> Path:
    """Returns the table's path. Raises ValueError if CRIA_SOURCES cannot be expanded."""
    return path_from("CRIA_SOURCES", CHECKOUT / "sources.toml")


def inbox_folder() -> Path:
    """Returns the inbox's path. Raises ValueError if CRIA_INBOX cannot be expanded."""
    return path_from("CRIA_INBOX", CHECKOUT / "inbox")


@functools.lru_cache(maxsize=4)
def _sources(paths: tuple[Path, ...], modified: tuple[int, ...], opt_in: str) -> tuple[Source, ...]:
    return load_sources(*paths)


def sources() -> tuple[Source, ...]:
    """Returns the sources of the tables, opt-in ones only if CRIA_OPT_IN names them. Raises SourceError."""
    path, delivered = sources_file(), inbox_folder() / inbox.TABLE
    if not path.is_file():
        raise SourceError(f"{path}, the table of sources, is no file: name one in CRIA_SOURCES, or unset it")
    paths = (path, delivered) if delivered.is_file() else (path,)
    return _sources(paths, tuple(each.stat().st_mtime_ns for each in paths), os.environ.get("CRIA_OPT_IN", ""))


def snapshots() -> list[str]:
    """Returns the names of the deliveries of data, the oldest first."""
    return sorted({source.snapshot for source in sources() if source.use == "corpus"}, key=snapshot_order)
