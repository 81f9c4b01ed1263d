"""Reads and validates the table of sources, sources.toml."""

import dataclasses
import itertools
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.reading import readers
from data_cleaning.recipes import Source
from data_cleaning.snapshots import FIRST_SNAPSHOT, snapshot_order
from data_cleaning.sources.addresses import refusal
from data_cleaning.sources.errors import SourceError

USES = (
    "corpus",
    "dialogues",
    "preferences",
    "prompts",
    "benchmarks",
    "checkpoint",
    "judge",
    "language_model",
    "toxicity",
)
DELIVERS = ("increment", "full")
FOLLOWED = ("https", "hf", "s3")  # schemes whose remote can be asked for its present version
MAIN = "main"  # the branch of a hub's repository that `follow = true` means
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


@dataclass(frozen=True)
class Entry:
    """One entry of a table. `follows` is "" for one that does not follow its remote, else the branch that a hub is asked for."""

    source: Source
    follows: str


def load_sources(path: Path, *more: Path) -> tuple[Source, ...]:
    """Returns the entries of sources.toml files, in order, without opt-in entries that CRIA_OPT_IN does not name.

    Local paths become absolute. An entry that follows its remote and states no sha256 is no source itself: its first
    delivery is the one that data_cleaning/sources/follow.py pins. Raises SourceError, whose one line says what to write,
    for unknown or missing fields, an unknown reader or use, a missing license, a snapshot that is no date, a full delivery
    of which only a part is read, an address that cannot be followed, or a name that is taken. A corpus source may repeat
    its name in another snapshot: its documents then replace those of the same identity, and if it delivers in full all
    others too (see deliveries).
    """
    return tuple(entry.source for entry in _chosen((path, *more)) if entry.source.sha256 or not entry.follows)


def followed(path: Path, *more: Path) -> tuple[Entry, ...]:
    """Returns the entries that follow their remote. Raises as `load_sources` does."""
    return tuple(entry for entry in _chosen((path, *more)) if entry.follows)


def delivered(*paths: Path) -> tuple[Source, ...]:
    """Returns the corpus entries of the tables that exist, opt-in ones too: what names of snapshots are taken."""
    entries = [entry for path in paths if path.is_file() for entry in _entries(path)]
    return tuple(entry.source for entry in entries if entry.source.use == "corpus")


def _chosen(paths: tuple[Path, ...]) -> list[Entry]:
    named = {name.strip() for name in os.environ.get("CRIA_OPT_IN", "").split(",") if name.strip()}
    entries = [entry for each in paths for entry in _entries(each)]
    for one, other in itertools.combinations(entries, 2):
        if one.source.name != other.source.name:
            continue
        if not one.source.use == other.source.use == "corpus" or one.source.snapshot == other.source.snapshot:
            raise SourceError(
                f"{paths[0]}: two sources are named {one.source.name!r}; a name is a folder, give one of them another (only a "
                "corpus source may come again under its name, in another snapshot)"
            )
        if one.follows and other.follows:
            raise SourceError(f"{paths[0]}: two entries of {one.source.name!r} follow their remote; let one do so")
    opt_in = {entry.source.name for entry in entries if entry.source.opt_in}
    if unknown := named - opt_in:
        raise SourceError(
            f"CRIA_OPT_IN names {', '.join(sorted(unknown))}: no opt-in source of that name in {paths[0]}"
        )
    return [entry for entry in entries if not entry.source.opt_in or entry.source.name in named]


def _entries(path: Path) -> list[Entry]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("source", [])
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path}: {error}") from error
    return [_entry(path, number, entry) for number, entry in enumerate(entries, start=1)]


def _entry(path: Path, number: int, stated: dict) -> Entry:
    where = f"{path}: source {stated.get('name', number)!r}"
    source = _source(path, where, {name: value for name, value in stated.items() if name != "follow"})
    follow = stated.get("follow", False)
    if follow is False:
        return Entry(source, "")
    scheme, mark, _ = source.uri.partition("://")
    if not mark or scheme not in FOLLOWED or source.use != "corpus":
        raise SourceError(
            f"{where}: only a corpus source at {', '.join(f'{each}://' for each in FOLLOWED)} can be followed"
        )
    if follow is not True and not (isinstance(follow, str) and follow and scheme == "hf"):
        raise SourceError(f"{where}: write follow = true (at hf:// it may name a branch instead)")
    return Entry(source, MAIN if follow is True else follow)


def _source(path: Path, where: str, entry: dict) -> Source:
    fields = {field.name for field in dataclasses.fields(Source)}
    if unknown := sorted(set(entry) - fields):
        raise SourceError(
            f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(sorted(fields | {'follow'}))}"
        )
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
