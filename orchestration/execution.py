"""Makes one artifact: reuses it if its record matches, else builds (or continues), seals and publishes it."""

import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cleaning import heap
from data_cleaning.files import write_json
from modeling.core.atomic_folders import FOLDER_MODE, readable_by_all, set_mode
from orchestration import identity as identities
from orchestration import manifest, records
from orchestration.source_code import code_version, code_version_now, definitions
from orchestration.stage import Gate, Stage, expanded_inputs, settings
from orchestration.staging import alone, begin_attempt, different, discard, empty_trash, others
from orchestration.store import SCRATCH, artifact, gates_file, store, work


class StageError(Exception):
    """An error that the user can correct; the message says how."""


@dataclass(frozen=True)
class Plan:
    """All inputs that determine an artifact, before it is made."""

    stage: Stage
    partition: str | None
    recipe: Any
    code: str
    inputs: dict[str, Path]
    parents: dict[str, dict]
    identity: dict[str, str]  # hashes of recipe, code and parents

    @property
    def fingerprint(self) -> str:
        return identities.fingerprint(self.stage.key, self.partition, self.identity)

    @property
    def work(self) -> Path:
        """The folder it is built in, the same in every participating process."""
        return work(self.stage.key, self.partition, self.fingerprint)

    @property
    def final(self) -> Path:
        """The folder it is published in."""
        return artifact(self.stage.key, self.partition)


def plan(stage: Stage, partition: str | None, gates: Sequence[Gate] = ()) -> Plan:
    """Resolves recipe and parents. Raises StageError if a parent is missing, failed a gate or awaits one of `gates`."""
    recipe = stage.recipe(settings(stage.axis, partition))
    inputs, parents = {}, {}
    for role, (parent, parent_partition) in expanded_inputs(stage, partition).items():
        folder = artifact(parent.key, parent_partition)
        record = records.read(folder)
        where = f" for {parent_partition}" if parent_partition else ""
        if record is None:
            raise StageError(f"{stage.key} needs {parent.key}{where}: materialize it first ({folder} has no record)")
        verdicts = _verdicts(parent, parent_partition, record)
        for name, said in verdicts.items():
            if not said["passed"]:
                raise StageError(f"{stage.key} will not start: gate {name} of {parent.key} failed ({said['why']})")
        for gate in gates:
            if gate.stage.key == parent.key and gate.name not in verdicts:
                raise StageError(
                    f"{stage.key} will not start: gate {gate.name} has not judged {parent.key}{where} as it is now. "
                    f"Materialize {parent.key}{where} with its checks: if it is up to date, only its gates run"
                )
        inputs[role], parents[role] = folder, record
    code = code_version(stage.module)
    return Plan(stage, partition, recipe, code, inputs, parents, identities.of(recipe, code, parents))


def _verdicts(stage: Stage, partition: str | None, record: dict) -> dict[str, dict]:
    """Returns the gates' verdicts on exactly this artifact."""
    said = read_gates(stage.key, partition)
    return {name: verdict for name, verdict in said.items() if verdict["content"] == record["content"]}


def read_gates(key: str, partition: str | None) -> dict[str, dict]:
    path = gates_file(key, partition)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_gate(key: str, partition: str | None, name: str, said: dict) -> None:
    """Writes a gate's verdict beside the artifact, so that it also blocks a later run of a child alone."""
    write_json(gates_file(key, partition), {**read_gates(key, partition), name: said})


def remembered_verdict(gate: Gate, partition: str | None, record: dict) -> dict | None:
    """Returns the verdict by which the same gate code passed this artifact and its parents before, or None."""
    verdict = read_gates(gate.stage.key, partition).get(gate.name)
    return verdict if verdict and verdict["passed"] and about(gate, record).items() <= verdict.items() else None


def about(gate: Gate, record: dict) -> dict[str, str]:
    """Returns all that determines a verdict: if it is unchanged, so is the verdict."""
    return {
        "content": record["content"],
        "fingerprint": record["fingerprint"],
        "code": code_version(*gate.function.split(":")),
    }


def _wanted(planned: Plan, folder: Path) -> dict | None:
    """Returns the record in `folder` if it has the wanted fingerprint and its files verify, else None.

    Raises StageError for a file that the manifest does not list: a rebuild would delete a file that somebody put there.
    """
    record = records.read(folder)
    if record is None or not matches(planned, record):
        return None
    if stranger := manifest.stranger(folder, record):
        raise StageError(f"{planned.stage.key} will not be used: {stranger}. Move that file elsewhere")
    return None if manifest.changed(folder, record["manifest"]) else record


def matches(planned: Plan, record: dict) -> bool:
    """Returns whether the record matches the plan."""
    return record["fingerprint"] == planned.fingerprint


def reusable(planned: Plan) -> dict | None:
    """Returns the published record if the artifact is up to date, else None."""
    return _wanted(planned, planned.final)


def settle(planned: Plan, log: Any) -> dict | None:
    """Waits until no other process makes the artifact; returns its record if it is finished then, else None."""
    with alone(planned.work.parent, log):
        return _settled(planned, log)


def _settled(planned: Plan, log: Any) -> dict | None:
    """Returns the record if another process has published the artifact; publishes one finished before a kill."""
    record = reusable(planned)
    if record is None and (planned.work / records.RECORD).is_file():
        record = _wanted(planned, planned.work)
        if record is None:
            discard(planned.work)  # damaged after it was sealed, when the scratch to continue from was gone
        else:
            log.info("was finished before it was stopped")
            _publish(planned)
    return record


def build(planned: Plan, log: Any, launch: Callable[[Plan, Path, Any], dict]) -> tuple[dict, bool]:
    """Builds, seals and publishes the artifact; returns its record and whether it existed already.

    `launch` runs the stage and returns its metrics. Raises StageError if source code or parents change meanwhile.
    """
    out = planned.work
    with alone(out.parent, log):
        record = _settled(planned, log)
        if record is not None:
            return record, True
        out.parent.mkdir(parents=True, exist_ok=True)
        for other in others(out):
            log.info(f"set aside: unfinished work in {other} (what differs: {different(other, planned.identity)}). It is "
                     "continued once that is as it was, and deleted once this is published")  # fmt: skip
        if out.is_dir():
            log.info("continues where it was stopped")
        _refuse_changes(planned)
        _refuse_damage(planned)
        earlier = begin_attempt(out, planned.identity)
        started = time.monotonic()
        metrics = launch(planned, out, log)
        seconds = earlier + time.monotonic() - started
        _refuse_changes(planned)
        record = records.build(
            planned.stage.key, planned.partition, planned.recipe, planned.identity, definitions(planned.stage.module),
            planned.parents, out, metrics, seconds,
        )  # fmt: skip
        write_json(out / records.RECORD, record)
        _publish(planned)
    return record, False


def _refuse_changes(planned: Plan) -> None:
    """Raises StageError if code or parents no longer match the fingerprint and the record."""
    key = planned.stage.key
    if code_version_now(planned.stage.module) != planned.code:
        raise StageError(f"{key}: its source was edited after this run began, so its code version is unknown. "
                         "Start the run again; undo the edit first to keep what this stage has done")  # fmt: skip
    for role, parent in planned.parents.items():
        current = records.read(planned.inputs[role])
        if current is None or current["content"] != parent["content"]:
            raise StageError(f"{key}: its parent {parent['asset']} was replaced meanwhile. Materialize {key} again")


def _refuse_damage(planned: Plan) -> None:
    """Raises StageError if a parent's files differ from its record: the new record would name bytes never read."""
    for role, parent in planned.parents.items():
        wrong = manifest.verify(planned.inputs[role], parent)
        if wrong:
            where = f" for {parent['partition']}" if parent["partition"] else ""
            raise StageError(f"{planned.stage.key} will not start: {wrong}. Materialize {parent['asset']}{where} again")


def _publish(planned: Plan) -> None:
    """Renames the sealed work into place. Each step is one rename; after a kill between two, `_settled` completes them.

    Removes the scratch first, once the record is written: a stage that continued from half of it would make other
    bytes.
    """
    discard(planned.work / SCRATCH)
    readable_by_all(planned.work)
    planned.final.parent.mkdir(parents=True, exist_ok=True)
    for parent in planned.final.relative_to(store()).parents[:-1]:  # the store's own permissions are the owner's choice
        set_mode(store() / parent, FOLDER_MODE)
    gates_file(planned.stage.key, planned.partition).unlink(missing_ok=True)  # verdicts on the replaced artifact
    for other in others(planned.work):
        discard(other)
    discard(planned.final)
    os.rename(planned.work, planned.final)
    empty_trash()


def run_inline(planned: Plan, out: Path, log: Any) -> dict:
    """Calls the stage's own `run` in this process. What it freed goes back to the system, not to the next stage."""
    try:
        return importlib.import_module(planned.stage.module).run(planned.recipe, planned.inputs, out, log)
    finally:
        heap.trim()
