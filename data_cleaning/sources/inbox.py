"""The inbox: files that people or programs drop become pinned sources of a new snapshot, without an edit by hand.

    inbox/
      handbook/               a source; its name is the folder's
        source.toml           license = "CC-BY-4.0", and any other field of a source but name, uri, sha256 and snapshot
        chapter-9.md          what is delivered: files or folders
      taken/2026-12-01/handbook/chapter-9.md    where `take` moves it
      inbox.toml              the entries that `take` writes, in the form of sources.toml

Something is complete once nothing in it changed for SETTLED_S, or at once if an empty file NAME.done lies beside it. Names
that begin with "." or end like an unfinished copy are left alone. All that is complete at one moment is one snapshot.
"""

import datetime
import fcntl
import json
import shutil
import time
import tomllib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.files import remembered_sha256, write_text
from data_cleaning.snapshots import newer_name
from data_cleaning.sources.errors import SourceError
from data_cleaning.sources.local import digest, folder_files, listing
from data_cleaning.sources.table import delivered

TABLE, TAKEN, STATED, DONE = "inbox.toml", "taken", "source.toml", ".done"
MEMORY, LOCK = ".hashes.json", ".lock"
UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".swp", "~")
SETTLED_S = 60.0
OWN_FIELDS = ("name", "uri", "sha256", "snapshot")  # of an entry, which the inbox fills in


@dataclass(frozen=True)
class Found:
    """What a look into the inbox found."""

    delivered: tuple[Path, ...]  # complete and new
    waiting: tuple[str, ...]  # why something else stays where it is, one line each


def look(inbox: Path, now: float | None = None) -> Found:
    """Returns what is complete. It moves nothing. `now`: seconds since 1970."""
    now = time.time() if now is None else now
    complete, waiting = [], []
    for folder in sorted(path for path in inbox.glob("*") if path.is_dir() and path.name != TAKEN and not hidden(path)):
        for path in sorted(folder.iterdir()):
            if path.name == STATED or path.suffix == DONE or hidden(path) or path.name.endswith(UNFINISHED):
                continue
            name = f"{folder.name}/{path.name}"
            if not path.with_name(path.name + DONE).exists() and now - newest(path) < SETTLED_S:
                waiting.append(f"{name} is still being written")
            else:
                complete.append(path)
    taken = sorted((inbox / TAKEN).glob("*/*/*"))
    content = contents(inbox, [*taken, *complete])
    known = {(path.parent.name, content[path]): path.parent.parent.name for path in taken}
    delivered = []
    for path in complete:
        if again := known.get((path.parent.name, content[path])):
            waiting.append(f"{path.parent.name}/{path.name} was delivered before, in snapshot {again}: delete it")
        else:
            delivered.append(path)
    return Found(tuple(delivered), tuple(waiting))


def contents(inbox: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """The digest of each file or folder. Reads only files whose size or modification time changed since the last call."""
    files = {path: [path / name for name in folder_files(path)[0]] if path.is_dir() else [path] for path in paths}
    names = sorted(each.relative_to(inbox).as_posix() for inside in files.values() for each in inside)
    hashes = remembered_sha256(inbox, names, inbox / MEMORY)

    def of(path: Path, inside: list[Path]) -> str:
        found = {each: hashes[each.relative_to(inbox).as_posix()] for each in inside}
        return (
            listing({each.relative_to(path).as_posix(): found[each] for each in inside})
            if path.is_dir()
            else found[path]
        )

    return {path: of(path, inside) for path, inside in files.items()}


def take(
    inbox: Path, used: Callable[[], Collection[str]], today: datetime.date, now: float | None = None
) -> tuple[str | None, Found]:
    """Looks, and makes one snapshot of what was delivered: (its name, or None if nothing was; what the look found).

    `used`: returns the names of all snapshots so far; it is asked while no other process can add one. One process at a
    time takes; others wait. The files move to TAKEN, then the table is written: after a kill in between, the next call
    finishes the work. Raises SourceError, before anything moves, if a source does not state what it must.
    """
    if not inbox.is_dir():
        return None, Found((), ())
    with (inbox / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = look(inbox, now)
        return _take(inbox, found, used(), today), found


def _take(inbox: Path, found: Found, used: Collection[str], today: datetime.date) -> str | None:
    left = unfinished(inbox)
    if not found.delivered and not left:
        return None
    snapshot = left or newer_name(used, today)
    table = inbox / TABLE
    begun = table.read_text(encoding="utf-8") if table.is_file() else ""
    names = {path.parent.name for path in found.delivered}
    names |= {path.name for path in (inbox / TAKEN / snapshot).glob("*")}
    stated = {name: read_stated(inbox / name) for name in sorted(names)}
    for path in found.delivered:
        place = inbox / TAKEN / snapshot / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place / path.name)
        path.with_name(path.name + DONE).unlink(missing_ok=True)
    entries = [
        entry(name, fields, f"{TAKEN}/{snapshot}/{name}", digest(inbox / TAKEN / snapshot / name), snapshot)
        for name, fields in stated.items()
    ]
    write_text(table, "\n".join(filter(None, [begun.rstrip("\n"), *entries])) + "\n")
    return snapshot


def unfinished(inbox: Path) -> str | None:
    """The snapshot whose files were moved before a kill, and which the table does not name; None if there is none."""
    named = {source.snapshot for source in delivered(inbox / TABLE)}
    return next((path.name for path in sorted((inbox / TAKEN).glob("*")) if path.name not in named), None)


def read_stated(folder: Path) -> dict:
    """The fields in source.toml of a folder of the inbox. Raises SourceError if they make no source."""
    path = folder / STATED
    if not path.is_file():
        raise SourceError(f'{path} is missing: write license = "…" into it, and what else the source needs')
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: {error}") from error
    if own := sorted(set(fields) & set(OWN_FIELDS)):
        raise SourceError(f"{path}: {own[0]!r} is filled in by the inbox: delete it")
    if fields.get("use", "corpus") != "corpus":
        raise SourceError(f"{path}: the inbox takes text for the corpus; write other sources into sources.toml")
    trial = folder / f".{STATED}"
    write_text(trial, entry(folder.name, fields, "delivery", "", "2000"))
    try:
        delivered(trial)
    except SourceError as error:
        raise SourceError(str(error).replace(str(trial), str(path))) from error
    finally:
        trial.unlink()
    return fields


def entry(name: str, fields: dict, uri: str, sha256: str, snapshot: str) -> str:
    """One entry of a sources.toml. TOML's strings, numbers and booleans are JSON's."""
    values = {"name": name, "uri": uri, "sha256": sha256, "snapshot": snapshot} | fields
    return "\n".join(
        ["[[source]]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()), ""]
    )


def newest(path: Path) -> float:
    """The latest modification time of a file, or in a folder."""
    return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))


def hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.is_symlink()
