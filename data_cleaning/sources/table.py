"""Reads and validates the table of sources, sources.toml."""

import dataclasses
import itertools
import os
import re
import tomllib
from pathlib import Path

from data_cleaning.reading import readers
from data_cleaning.recipes import Source
from data_cleaning.snapshots import FIRST_SNAPSHOT, snapshot_order
from data_cleaning.sources.addresses import refusal
from data_cleaning.sources.errors import SourceError

USES = ("corpus", "dialogues", "preferences", "prompts", "benchmarks", "checkpoint", "judge", "language_model")
DELIVERS = ("increment", "full")
READERS = ("auto", "none", *readers.READERS)
DEFAULTS = {
    "sha256": "",
    "reader": "auto",
    "profile": "auto",
    "use": "corpus",
    "snapshot": FIRST_SNAPSHOT,
    "delivers": DELIVERS[0],
    "factual": False,
    "limit": 0,
    "opt_in": False,
}


def load_sources(path: Path, *more: Path) -> tuple[Source, ...]:
    """Returns the entries of sources.toml files, in order, without opt-in entries that CRIA_OPT_IN does not name.

    Local paths become absolute. Raises SourceError, whose one line says what to write, for unknown or missing fields,
    an unknown reader or use, a missing license, a snapshot that is no date, a full delivery of which only a part is
    read, or a name that is taken. A corpus source may repeat its name in another snapshot: its documents then replace
    those of the same identity, and if it delivers in full all others too (see deliveries).
    """
    named = {name.strip() for name in os.environ.get("CRIA_OPT_IN", "").split(",") if name.strip()}
    sources = [source for each in (path, *more) for source in _entries(each)]
    for one, other in itertools.combinations(sources, 2):
        delivered_again = one.use == other.use == "corpus" and one.snapshot != other.snapshot
        if one.name == other.name and not delivered_again:
            raise SourceError(
                f"{path}: two sources are named {one.name!r}; a name is a folder, give one of them another (only a corpus "
                "source may come again under its name, in another snapshot)"
            )
    if unknown := named - {source.name for source in sources if source.opt_in}:
        raise SourceError(f"CRIA_OPT_IN names {', '.join(sorted(unknown))}: no opt-in source of that name in {path}")
    return tuple(source for source in sources if not source.opt_in or source.name in named)


def _entries(path: Path) -> list[Source]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("source", [])
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path}: {error}") from error
    return [_source(path, number, entry) for number, entry in enumerate(entries, start=1)]


def _source(path: Path, number: int, entry: dict) -> Source:
    where = f"{path}: source {entry.get('name', number)!r}"
    fields = {field.name for field in dataclasses.fields(Source)}
    if unknown := sorted(set(entry) - fields):
        raise SourceError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(sorted(fields))}")
    values = DEFAULTS | entry
    for field in dataclasses.fields(Source):
        if field.name == "license" and not values.get("license") and not values["opt_in"]:
            raise SourceError(f"{where}: state its license, or set opt_in = true where none is known")
        if field.name not in values:
            raise SourceError(f"{where}: {field.name!r} is missing")
        if type(values[field.name]) is not field.type:
            raise SourceError(f"{where}: {field.name} must be of type {field.type.__name__}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", values["name"]):
        raise SourceError(f"{where}: a name is a folder, use a-z 0-9 - _ only")
    if values["reader"] not in READERS:
        raise SourceError(f"{where}: no reader {values['reader']!r}; there are {', '.join(READERS)}")
    if values["use"] not in USES:
        raise SourceError(f"{where}: no use {values['use']!r}; there are {', '.join(USES)}")
    if values["delivers"] not in DELIVERS:
        raise SourceError(f"{where}: it delivers no {values['delivers']!r}; write {' or '.join(DELIVERS)}")
    if values["delivers"] == "full" and (values["limit"] or values["use"] != "corpus"):
        raise SourceError(
            f'{where}: only a corpus source without a limit delivers "full": what is not read counts as retracted'
        )
    try:
        snapshot_order(values["snapshot"])
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error
    if why := refusal(values["uri"]):
        raise SourceError(f"{where}: {why}")
    if "://" not in values["uri"]:
        name, mark, member = values["uri"].partition("#")
        slash = "/" if name.endswith("/") else ""
        values["uri"] = str((path.parent / name).resolve()) + slash + mark + member
    return Source(**values)
