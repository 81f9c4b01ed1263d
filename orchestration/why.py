"""Says why an artifact would be made again, field by field, and what changed without effect.

Usage: python -m orchestration.why store/laptop/base_model   (an artifact's folder, or any file in it)
"""

import dataclasses
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cleaning.sources.errors import SourceError
from orchestration import execution, manifest, records
from orchestration.execution import Plan, StageError
from orchestration.lineage import artifact_of
from orchestration.source_code import definitions
from orchestration.stage import Stage, expanded_inputs
from orchestration.store import artifact, store
from release.lineage import LineageError, name_of

ABSENT = "(absent)"
LONGEST = 120  # characters of a value that are shown


@dataclass(frozen=True)
class Difference:
    """A line about one change, and whether the artifact is made again because of it."""

    text: str
    counts: bool


def differences(planned: Plan, record: dict) -> list[Difference]:
    """Returns all differences between the record and the artifact as it would be made now, damaged files included."""
    found = list(_recipe(record["recipe"], records.as_json(planned.recipe), planned.recipe, "recipe"))
    found += _code(record["code"], definitions(planned.stage.module))
    for role, parent in planned.parents.items():
        before = record["parents"].get(role, {}).get("content", ABSENT)
        if before != parent["content"]:
            text = f"parent {role} ({name_of(parent)}): content {before[:12]} → {parent['content'][:12]}"
            found.append(Difference(text, True))
    gone = sorted(record["parents"].keys() - planned.parents.keys())
    found += [Difference(f"parent {role}: no longer read", True) for role in gone]
    wrong = manifest.verify(planned.final, record)
    found += [Difference(f"files: {wrong}", True)] if wrong else []
    before, now = record["libraries"], records.libraries()
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            found.append(Difference(f"library {name}: {before.get(name, ABSENT)} → {now.get(name, ABSENT)}", False))
    return found


def _recipe(before: Any, now: Any, value: Any, path: str, counts: bool = True) -> Iterator[Difference]:
    """Returns the leaves in which the recorded JSON `before` and `now` differ; `value` is the recipe (or part) of `now`."""
    if dataclasses.is_dataclass(value) and isinstance(before, dict):
        for field in dataclasses.fields(value):
            marked = field.metadata.get("identity")
            same = field.name in before and marked is not None and not _told_apart(value, field.name, marked, before)
            inner = (before.get(field.name, ABSENT), now[field.name], getattr(value, field.name))
            yield from _recipe(*inner, f"{path}.{field.name}", counts and not same)
        for name in before.keys() - now.keys():
            yield Difference(f"{path}.{name}: {_short(before[name])} → {ABSENT}", counts)
    elif isinstance(now, list) and isinstance(before, list):
        for number, items in enumerate(itertools.zip_longest(before, now, value, fillvalue=ABSENT)):
            yield from _recipe(*items, f"{path}[{number}]", counts)
    elif before != now:
        yield Difference(f"{path}: {_short(before)} → {_short(now)}", counts)


def _told_apart(value: Any, name: str, marked: str, before: dict) -> bool:
    """Returns whether a marked field's earlier value gives another identity than its present value."""
    then = dataclasses.replace(value, **{name: before[name]})
    return bool(marked) and getattr(then, marked) != getattr(value, marked)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _code(before: dict[str, dict], now: dict[str, dict]) -> Iterator[Difference]:
    """Returns a line for each module in which definitions changed that the stage runs."""
    for module in sorted(before.keys() | now.keys()):
        old, new = before.get(module, {}), now.get(module, {})
        kinds = {
            "changed": [name for name in new if name in old and old[name] != new[name]],
            "new": [name for name in new if name not in old],
            "no longer used": [name for name in old if name not in new],
        }
        told = [f"{', '.join(sorted(names))} {kind}" for kind, names in kinds.items() if names]
        if told:
            yield Difference(f"code of {module}: {'; '.join(told)}", True)


def outdated_before(stage: Stage, partition: str | None) -> list[str]:
    """Returns the names of direct and indirect parents that would themselves be made again first."""
    todo, seen, found = [(stage, partition)], set(), []
    while todo:
        for parent, where in expanded_inputs(*todo.pop()).values():
            if (parent, where) not in seen:
                seen.add((parent, where))
                todo.append((parent, where))
                if not _up_to_date(parent, where):
                    found.append(name_of({"asset": parent.key, "partition": where}))
    return sorted(found)


def _up_to_date(stage: Stage, partition: str | None) -> bool:
    try:
        return execution.reusable(execution.plan(stage, partition)) is not None
    except StageError:  # one of its own parents is not there, or it holds a file that is not its own
        return False


def explain(folder: Path, stages: dict[str, Stage]) -> str:
    """Returns the text for a person. Raises StageError if a parent is missing, LineageError if no stage makes `folder`."""
    record = records.read(folder)
    if record["asset"] not in stages:
        raise LineageError(f"{folder} is an artifact of {record['asset']}, which is no stage of this graph")
    stage, partition = stages[record["asset"]], record["partition"]
    if artifact(stage.key, partition).resolve() != folder.resolve():
        raise LineageError(f"{folder} is in another store than {store()}: set CRIA_STORE to the one it is in")
    if "identity" not in record:
        return f"{name_of(record)} would be made again: an earlier version of this program made its record"
    found = differences(execution.plan(stage, partition), record)
    reasons = [f"  {one.text}" for one in found if one.counts]
    others = [f"  {one.text}" for one in found if not one.counts]
    lines = [f"{name_of(record)} would be made again:" if reasons else f"{name_of(record)} is up to date", *reasons]
    if others:
        lines += [f"Changed, and no reason to make it again (to do so all the same, remove {folder}):", *others]
    if first := outdated_before(stage, partition):
        lines += ["Would be made again first; with other bytes than now they are a reason too:"]
        lines += [f"  {name}" for name in first]
    return "\n".join(lines)


def main() -> None:
    from assets import EVERY

    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestration.why FILE   (a file or artifact folder of the store)")
    path = Path(sys.argv[1]).absolute()
    try:
        print(explain(artifact_of(path), EVERY))
    except (LineageError, SourceError, StageError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
