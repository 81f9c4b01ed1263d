"""Finds the tables of sources: CRIA_SOURCES, or sources.toml of the checkout, and what was pinned without an edit.

Those are the inbox's table, and that of the remote sources which are followed.
"""

import functools
import os
from pathlib import Path

from data_cleaning.paths import path_from
from data_cleaning.recipes import Source
from data_cleaning.snapshots import snapshot_order
from data_cleaning.sources import follow, inbox, table
from data_cleaning.sources.errors import SourceError
from orchestration.store import CHECKOUT


def sources_file() -> Path:
    """Returns the table's path. Raises ValueError if CRIA_SOURCES cannot be expanded."""
    return path_from("CRIA_SOURCES", CHECKOUT / "sources.toml")


def inbox_folder() -> Path:
    """Returns the inbox's path. Raises ValueError if CRIA_INBOX cannot be expanded."""
    return path_from("CRIA_INBOX", CHECKOUT / "inbox")


def tables() -> tuple[Path, ...]:
    """Returns the tables that exist. Raises SourceError if the first one, which people write, is not there."""
    path = sources_file()
    if not path.is_file():
        raise SourceError(f"{path}, the table of sources, is no file: name one in CRIA_SOURCES, or unset it")
    return (path, *(each for name in (inbox.TABLE, follow.TABLE) if (each := inbox_folder() / name).is_file()))


@functools.lru_cache(maxsize=4)
def _sources(paths: tuple[Path, ...], modified: tuple[int, ...], opt_in: str) -> tuple[Source, ...]:
    return table.load_sources(*paths)


def sources() -> tuple[Source, ...]:
    """Returns the sources of the tables, opt-in ones only if CRIA_OPT_IN names them. Raises SourceError."""
    paths = tables()
    return _sources(paths, tuple(each.stat().st_mtime_ns for each in paths), os.environ.get("CRIA_OPT_IN", ""))


def followed() -> tuple[table.Entry, ...]:
    """Returns the entries that follow their remote, opt-in ones only if CRIA_OPT_IN names them. Raises SourceError."""
    return table.followed(*tables())


def snapshots() -> list[str]:
    """Returns the names of the deliveries of data, the oldest first."""
    return sorted({source.snapshot for source in sources() if source.use == "corpus"}, key=snapshot_order)


def used_snapshots() -> set[str]:
    """Returns the names that no new delivery may have: those of `snapshots` and of all opt-in sources."""
    return {source.snapshot for source in table.delivered(*tables())}
