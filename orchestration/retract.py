"""Retracts documents: adds an entry to retractions.toml, and says what was trained on what it meets.

python -m orchestration.retract --id news:article-7 --reason "asked for by the author"
python -m orchestration.retract --url "https://example.org/people/*"
python -m orchestration.retract --text "some words that stand in each of the documents"
python -m orchestration.retract --list     says it of every entry, and adds none

The next run leaves the documents out. To take an entry back, delete it from the file.
"""

import argparse
import datetime
import fcntl
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data_cleaning import retractions
from data_cleaning.files import write_text
from data_cleaning.retractions import ENTRY, KINDS, Retraction, RetractionError
from data_cleaning.sources.errors import SourceError
from orchestration.console import say
from orchestration.exposure import PERHAPS, YES, Exposure, exposures

LONGEST = 100  # characters of an entry that are shown


def add(path: Path, entry: dict[str, str]) -> Retraction:
    """Writes an entry behind those of the file, which is there afterwards as it was or with the whole entry.

    One process at a time writes. Raises RetractionError for an entry that is unusable or there already.
    """
    path = path.resolve()  # a link stays one
    wanted = retractions.checked(entry, "this retraction")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = retractions.read(path)
        known = retractions.parse(text, path)
        for one in known:
            if one.key == wanted.key:
                since = f" since {one.since}" if one.since else ""
                raise RetractionError(f"{said(one)} is retracted{since} already, in {path}")
        lines = [f"[[{ENTRY}]]", *(f"{name} = {_quoted(value)}" for name, value in entry.items()), ""]
        text = "\n".join([*([text.rstrip("\n"), ""] if text.strip() else []), *lines])
        if len(retractions.parse(text, path)) != len(known) + 1:
            raise RetractionError(f"{path} cannot be added to: write [[{ENTRY}]] above each of its entries")
        write_text(path, text)
    return wanted


def _quoted(value: str) -> str:
    """Returns a TOML string: one of JSON, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def said(one: Retraction) -> str:
    """Returns what an entry retracts, on one line and without control characters."""
    text = f"{one.kind} {one.stated!r}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def told(one: Retraction, found: Exposure) -> str:
    """Returns what an entry meets, and what was trained on that; a line each."""
    count = sum(found.documents.values())
    lines = [f"{said(one)}{f', {one.reason!r}' if one.reason else ''}: {count:,} documents of the cleaned corpus"]
    lines += [f"  {source}, snapshot {snapshot}: {number:,}"
              for (source, snapshot), number in sorted(found.documents.items())]  # fmt: skip
    for kind, of in (("models", found.models), ("releases", found.releases)):
        for verdict, what in (
            (YES, "trained on them"),
            (PERHAPS, "perhaps trained on them, as what they were made from is gone"),
        ):
            if named := [name for name, one_said in of.items() if one_said == verdict]:
                lines.append(f"  {kind} {what}: {', '.join(named)}")
    if not found.models and not found.releases:
        lines.append("  no model in the store and no kept release was trained on them")
    return "\n".join(lines)


def report(entries: Sequence[Retraction]) -> str:
    """Returns what each entry meets. Raises SourceError."""
    found = exposures(entries) if entries else []
    return "\n".join(told(one, what) for one, what in zip(entries, found, strict=True)) or "nothing is retracted"


def main() -> int:
    parser = argparse.ArgumentParser(
        "retract", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--id", metavar="SOURCE:IDENTITY")
    chosen.add_argument("--url", metavar="PATTERN")
    chosen.add_argument("--text", metavar="WORDS")
    chosen.add_argument("--list", action="store_true")
    parser.add_argument("--reason", metavar="WHY")
    asked = vars(parser.parse_args())

    def happened() -> str:
        if asked["list"]:
            return report(retractions.listed())
        path = retractions.retractions_file()
        entry = {name: asked[name] for name in (*KINDS, "reason") if asked[name] is not None}
        added = add(path, entry | {"since": datetime.date.today().isoformat()})
        print(f"added to {path}; the next run leaves out what it meets", flush=True)
        return report([added])

    return say(happened, SourceError, OSError)


if __name__ == "__main__":
    sys.exit(main())
