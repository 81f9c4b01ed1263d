"""Retractions by a person: a list of documents that no mixture trains on or holds out, in retractions.toml.

    [[retraction]]
    url = "https://example.org/people/*"    # or id = "source:identity", or text = "some words"
    reason = "asked for by the author"      # optional, like `since`
    since = 2026-12-01

`id` is what the source calls a document (every version of it, in every snapshot), or a document's whole id. `url` is
compared with the canonical URL; a `*` stands for any characters. `text` means each cleaned document that contains these
words one after another, whatever their case, spacing and punctuation. Documents with the same words as a retracted one
are retracted with it.

A recipe holds hashes of the entries, never the entries: records are published with a release. Reasons, dates, comments
and order are no part of it, so a dropped document has the reason that was stated when its mixture was made.
"""

import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_cleaning.filters.words import normalised
from data_cleaning.heldout import word_digests
from data_cleaning.paths import CHECKOUT, path_from
from data_cleaning.reading.identity import identity_of
from data_cleaning.reading.urls import canonical_url
from data_cleaning.sources.errors import SourceError

VARIABLE = "CRIA_RETRACTIONS"
ENTRY, KINDS, OTHERS = "retraction", ("id", "url", "text"), ("reason", "since")
NO_WORDS = word_digests(pa.array([""]))[0]


class RetractionError(SourceError):
    """The list of retractions is unusable; the message is one line and says what to do."""


@dataclass(frozen=True)
class Retraction:
    """One entry. `stated` is what the person wrote, `value` what documents are compared with."""

    kind: str  # of KINDS
    stated: str
    value: str
    reason: str  # "" where none is stated
    since: str  # ISO date, "" where none is stated

    @property
    def key(self) -> str:
        """A hash of what is retracted."""
        return hashlib.sha256(json.dumps([self.kind, self.value]).encode()).hexdigest()[:32]

    @property
    def detail(self) -> str:
        """What is written beside a document that it retracts."""
        return f"by a person: {self.reason}" if self.reason else "by a person"


def retractions_file() -> Path:
    """Returns the path of the list. Raises ValueError if CRIA_RETRACTIONS cannot be expanded."""
    return path_from(VARIABLE, CHECKOUT / "retractions.toml")


def listed() -> tuple[Retraction, ...]:
    """Returns the entries of the list, none if there is no file. Raises RetractionError.

    A file that CRIA_RETRACTIONS names must be there: a slip in its name would train on what was retracted.
    """
    path = retractions_file()
    if path.is_file():
        return parse(read(path), path)
    if os.environ.get(VARIABLE):
        raise RetractionError(
            f"{VARIABLE} names {path}, which is no file: make it (it may be empty), or unset {VARIABLE}"
        )
    return ()


def keys_of(retractions: Sequence[Retraction]) -> tuple[str, ...]:
    """Returns what a recipe holds of retractions: a hash of each one, in the order of the hashes."""
    return tuple(sorted({one.key for one in retractions}))


def of_recipe(keys: tuple[str, ...]) -> tuple[Retraction, ...]:
    """Returns the retractions of a recipe. Raises RetractionError if the list was changed since the recipe was made."""
    found = listed() if keys else ()
    if keys_of(found) != keys:
        raise RetractionError("retractions were added or removed since this run was planned: run it again")
    return found


def read(path: Path) -> str:
    """Returns the text of a list, "" if there is no file. Raises RetractionError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise RetractionError(f"{path} cannot be read: {error}") from error


def parse(text: str, path: Path) -> tuple[Retraction, ...]:
    """Returns the entries of the text of a file, in the order of their hashes; `path` is named in errors.

    Raises RetractionError for what is no TOML, for an unknown key, and for an entry that `checked` refuses.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RetractionError(f"{path}: {error}") from error
    entries = table.pop(ENTRY, [])
    if table or not isinstance(entries, list):
        raise RetractionError(f"{path}: unknown key {next(iter(table), ENTRY)!r}; write [[{ENTRY}]] above each entry")
    found = [checked(entry, f"{path}: {ENTRY} {number}") for number, entry in enumerate(entries, start=1)]
    return tuple(sorted(found, key=lambda one: one.key))


def checked(entry: object, where: str) -> Retraction:
    """Returns an entry. Raises RetractionError, which begins with `where`, if it names nothing or more than one thing."""
    known = (*KINDS, *OTHERS)
    if not isinstance(entry, dict) or (unknown := [name for name in entry if name not in known]):
        what = f"unknown key {unknown[0]!r}" if isinstance(entry, dict) else "no table"
        raise RetractionError(f"{where}: {what}; an entry has one of {', '.join(KINDS)}, and may have reason and since")
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise RetractionError(f"{where}: write exactly one of {', '.join(KINDS)}, not {' and '.join(kinds) or 'none'}")
    (kind,) = kinds
    for name in (kind, *(name for name in entry if name == "reason")):
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise RetractionError(f'{where}: {name} must be text between quotes, and not empty: {name} = "…"')
        if any("\ud800" <= character <= "\udfff" for character in entry[name]):
            raise RetractionError(f"{where}: {name} is no valid Unicode")
    stated = entry[kind].strip()
    try:
        value = {"id": _id, "url": _glob, "text": _words}[kind](stated)
    except ValueError as error:
        raise RetractionError(f"{where}: {error}") from error
    return Retraction(kind, stated, value, entry.get("reason", "").strip(), _date(entry.get("since", ""), where))


def _id(stated: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*:.+", stated, re.DOTALL):
        raise ValueError(f'id {stated!r} names no document: write "source:identity", as in the column id')
    return stated


def _glob(stated: str) -> str:
    """Returns a pattern of which the parts are spelled as in canonical URLs; one that begins with * stays as it is.

    Raises ValueError. Parameters with a * among them keep their order.
    """
    pattern = re.sub(r"\*+", "*", stated.partition("#")[0])
    if re.search(r"\s", pattern) or not re.search(r"\w", pattern):
        raise ValueError(
            f"url {stated!r} is no pattern of URLs: write letters, and * for any characters, without blanks"
        )
    if re.search(r"%[0-9A-Fa-f]?\*", pattern):
        raise ValueError(f"url {stated!r} has a * within an escape: put it before the %, or behind two digits")
    if pattern.startswith("*"):
        return pattern
    place, mark, query = pattern.partition("?")
    kept = mark + query if "*" in query else ""
    seen = unquote(pattern).lower()
    any_characters = next(word for word in (f"w{number}w" for number in itertools.count()) if word not in seen)
    found = canonical_url((place if kept else pattern).replace("*", any_characters))
    if not found or "/" not in place.partition("://")[2]:
        raise ValueError(f'url {stated!r} is no URL with a path: write "https://host/path", with * for any characters')
    return found.replace(any_characters, "*") + kept


def _words(stated: str) -> str:
    words = normalised(pa.array([stated]))[0].as_py()
    if not words:
        raise ValueError(f"text {stated!r} has no letter or digit")
    return words


def _date(stated: object, where: str) -> str:
    if isinstance(stated, str) and stated:
        try:
            stated = datetime.date.fromisoformat(stated)
        except ValueError:
            stated = None
    if stated == "" or (isinstance(stated, datetime.date) and not isinstance(stated, datetime.datetime)):
        return str(stated)
    raise RetractionError(f"{where}: since is no date: write since = 2026-12-01")


def fits(pattern: str, url: str) -> bool:
    """Returns whether a pattern is a whole URL; a * is any characters. Each part is searched for once: time is linear."""
    first, *others = pattern.split("*")
    if not others:
        return url == first
    *middle, last = others
    place, end = len(first), len(url) - len(last)
    if end < place or not url.startswith(first) or not url.endswith(last):
        return False
    for part in middle:
        found = url.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def matching(retractions: Sequence[Retraction], table: pa.Table, texts: pa.Array | None) -> pa.Array:
    """Returns the numbers of the retractions that each document meets, list<int32> [documents].

    table: id and meta. texts: its normalised texts; with None no text is looked at.
    """
    found: list[list[int]] = [[] for _ in range(table.num_rows)]
    of = {kind: {one.value: number for number, one in enumerate(retractions) if one.kind == kind} for kind in KINDS}
    if of["id"]:
        for row, name in enumerate(table["id"].to_pylist()):
            found[row] += [of["id"][key] for key in {name, identity_of(name)} if key in of["id"]]
    if of["url"]:
        for row, meta in enumerate(table["meta"].to_pylist()):
            if url := _url(meta):
                found[row] += [number for pattern, number in of["url"].items() if fits(pattern, url)]
    if of["text"] and texts is not None:
        padded = pc.binary_join_element_wise("", texts, "", " ")  # a blank before and behind each word
        for words, number in of["text"].items():
            for row in np.flatnonzero(pc.match_substring(padded, f" {words} ").to_numpy(zero_copy_only=False)).tolist():
                found[row].append(number)
    return pa.array([sorted(numbers) for numbers in found], pa.list_(pa.int32()))


def _url(meta: str) -> str:
    """Returns the canonical URL that a document carries, "" if it has none."""
    url = json.loads(meta).get("url") if '"url"' in meta else None
    return canonical_url(url) if isinstance(url, str) else ""


@dataclass
class Scan:
    """Documents as retractions see them; columns of equal length."""

    names: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # (snapshot, id)
    digests: list[bytes] = dataclasses.field(default_factory=list)  # of their words
    numbers: list[set[int]] = dataclasses.field(default_factory=list)  # of the retractions that each one meets

    def add(self, snapshot: str, table: pa.Table) -> None:
        """Adds a table of id, digest and retractions."""
        self.names += [(snapshot, name) for name in table["id"].to_pylist()]
        self.digests += table["digest"].to_pylist()
        self.numbers += map(set, table["retractions"].to_pylist())

    def spread(self) -> dict[bytes, set[int]]:
        """Retracts the copies of what is retracted. Returns digest → the numbers of its retractions."""
        of: dict[bytes, set[int]] = {}
        for digest, numbers in zip(self.digests, self.numbers, strict=True):
            if numbers and digest != NO_WORDS:
                of.setdefault(digest, set()).update(numbers)
        for digest, numbers in zip(self.digests, self.numbers, strict=True):
            numbers |= of.get(digest, set())
        return of


def scanned(retractions: Sequence[Retraction], table: pa.Table, cleaned: bool) -> pa.Table:
    """Returns id, digest and retractions of each document of a table; text selectors concern only `cleaned` documents."""
    texts = normalised(table["text"])
    digests = pa.array(word_digests(texts), pa.binary(16))
    return pa.table({
        "id": table["id"], "digest": digests, "retractions": matching(retractions, table, texts if cleaned else None),
    })  # fmt: skip


def join(clean: Scan, delivered: Scan) -> dict[bytes, set[int]]:
    """Retracts the copies of retracted documents among clean ones. Returns what `Scan.spread` does, for the clean ones.

    delivered: documents before any filter. A copy is in the corpus in the place of a retracted document if
    deduplication chose it as the one that stays.
    """
    delivered.spread()
    of: dict[tuple[str, str], set[int]] = {}
    for name, numbers in zip(delivered.names, delivered.numbers, strict=True):
        if numbers:
            of.setdefault(name, set()).update(numbers)
    for name, numbers in zip(clean.names, clean.numbers, strict=True):
        numbers |= of.get(name, set())
    return clean.spread()
