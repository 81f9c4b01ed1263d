"""Follows remote sources: what is new at an address becomes a pinned source of a new snapshot, without an edit by hand.

    inbox/
      followed.toml     the entries that `look` writes, in the form of sources.toml
      followed.txt      what the last look said
      .followed.json    source → [address, version, sha256] of what was last seen there

An entry of sources.toml with `follow = true` is the template: it stays as it is, and each delivery copies its fields. All
that is new in one look is one snapshot. What is new is known by its bytes: they differ from those of the last delivery
from an address. A version that the remote states (see data_cleaning/sources/remote.py) only saves a download.
"""

import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.files import write_json, write_text
from data_cleaning.recipes import Source
from data_cleaning.snapshots import newer_name, snapshot_order
from data_cleaning.sources import inbox, remote, transport
from data_cleaning.sources.addresses import shown
from data_cleaning.sources.errors import FetchError, SourceError, Unreachable
from data_cleaning.sources.table import DEFAULTS, Entry, delivered

TABLE, SAID = "followed.toml", "followed.txt"
MEMORY, LOCK = ".followed.json", ".followed.lock"
EMPTY = hashlib.sha256().hexdigest()


@dataclass(frozen=True)
class Seen:
    uri: str  # of the version, as the table may state it
    version: str  # "" if the remote states none
    sha256: str


def look(templates: Sequence[Entry], table: Path, folder: Path, today: datetime.date, log) -> tuple[str, ...]:
    """Looks at the remote of each template and pins what is new in `folder`. Returns what happened, a line each.

    `table`: the one that people write; `folder`: the inbox, whose deliveries count too. The failure of one source is one
    line and stops no other. One process at a time looks; another one says so and ends. After a kill at any moment the next
    call goes on: nothing is pinned twice, and no complete download is made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ("another process is looking at the remote sources",)
        tables = (table, folder / inbox.TABLE, folder / TABLE)
        told = _look(templates, tables, folder, today, log)
        write_text(folder / SAID, "".join(f"{line}\n" for line in told))
        return told


def _look(
    templates: Sequence[Entry], tables: Sequence[Path], folder: Path, today: datetime.date, log
) -> tuple[str, ...]:
    memory, last = _recalled(folder / MEMORY), _last_deliveries(tables)
    new, told = [], []
    for template in templates:
        source = template.source
        before, remembered = last.get(source.name), memory.get(source.name, [])
        try:
            seen = _present(template, remembered, before, log)
            memory[source.name] = [source.uri, seen.version, seen.sha256]
            write_json(folder / MEMORY, memory)
        except Exception as error:  # noqa: BLE001 (a store's client may raise anything, and the other sources go on)
            told.append(_failed(source, error))
            continue
        if before is None or seen.sha256 != before.sha256:
            new.append(dataclasses.replace(source, uri=seen.uri, sha256=seen.sha256))
        elif seen.version and remembered[:2] == [source.uri, seen.version]:
            told.append(f"{source.name}: nothing new since snapshot {before.snapshot}")
        else:
            told.append(f"{source.name}: the same bytes as in snapshot {before.snapshot}, nothing pinned")
    if new:
        snapshot = _pin(new, tables, folder, today)
        told.insert(0, f"snapshot {snapshot}: {', '.join(source.name for source in new)}, pinned in {folder / TABLE}")
    return tuple(told)


def _present(template: Entry, remembered: list[str], before: Source | None, log) -> Seen:
    """Asks for the present version, and downloads it unless its sha256 is known."""
    source = template.source
    _, version, sha256 = remembered if remembered[:1] == [source.uri] else ("", "", "")
    present = remote.version(source, template.follows, version, log)
    uri = remote.at(source.uri, present)
    if not present or present != version:
        pinned = source.uri.startswith("hf://") and uri == source.uri  # the template names this commit
        sha256 = source.sha256 if pinned else ""
    is_new = before is None or sha256 != before.sha256
    if not sha256 or (is_new and not transport.is_held(sha256)):
        sha256 = transport.obtain_present(dataclasses.replace(source, uri=uri, sha256=""), log)
    if sha256 == EMPTY:  # as a failed export leaves it; in full deliveries it would retract everything
        raise FetchError(f"{source.name}: {shown(source.uri)} is an empty file now, which is not pinned")
    return Seen(uri, present, sha256)


def _pin(new: Sequence[Source], tables: Sequence[Path], folder: Path, today: datetime.date) -> str:
    """Adds the new deliveries to the table as one snapshot. Returns its name; the inbox names none meanwhile."""
    table = folder / TABLE
    with (folder / inbox.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        used = {source.snapshot for source in delivered(*tables)}
        used |= {name for name in [inbox.unfinished(folder)] if name}
        snapshot = newer_name(used, today)
        begun = table.read_text(encoding="utf-8") if table.is_file() else ""
        entries = [inbox.entry(source.name, _copied(source), source.uri, source.sha256, snapshot) for source in new]
        write_text(table, "\n".join(filter(None, [begun.rstrip("\n"), *entries])) + "\n")
    return snapshot


def _copied(source: Source) -> dict:
    """The fields that a delivery has from its template, without those that have their default."""
    fields = dataclasses.asdict(source)
    return {k: v for k, v in fields.items() if k not in inbox.OWN_FIELDS and (k not in DEFAULTS or v != DEFAULTS[k])}


def _last_deliveries(tables: Sequence[Path]) -> dict[str, Source]:
    """The newest pinned delivery of each name from an address."""
    pinned = [source for source in delivered(*tables) if source.sha256 and "://" in source.uri]
    return {source.name: source for source in sorted(pinned, key=lambda source: snapshot_order(source.snapshot))}


def _recalled(memory: Path) -> dict[str, list[str]]:
    return json.loads(memory.read_text(encoding="utf-8")) if memory.is_file() else {}


def _failed(source: Source, error: Exception) -> str:
    """Says in one line why a source failed. Errors of other kinds are only named: their texts may hold secrets."""
    if isinstance(error, SourceError | Unreachable):
        return str(error)
    why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
    return f"{source.name}: failed ({why})"
