"""Makes one artifact: reuses it where its record matches, else builds it where a kill leaves it, seals it, publishes it."""

import fcntl
import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration import records
from orchestration.source_code import code_version
from orchestration.stage import Stage, expanded_inputs, settings
from orchestration.store import artifact, gates_file, store, work


class StageError(Exception):
    """Something the person who runs the graph can mend; the message says how."""


@dataclass(frozen=True)
class Plan:
    """All that decides what will be made, before it is."""

    stage: Stage
    partition: str | None
    recipe: Any
    code: str
    inputs: dict[str, Path]
    parents: dict[str, dict]
    fingerprint: str


def plan(stage: Stage, partition: str | None) -> Plan:
    """Resolves recipe and parents. Raises StageError where a parent is missing or failed a gate."""
    recipe = stage.recipe(settings(stage.axis, partition))
    inputs, parents = {}, {}
    for role, (parent, parent_partition) in expanded_inputs(stage, partition).items():
        folder = artifact(parent.key, parent_partition)
        record = records.read(folder)
        if record is None:
            where = f" for {parent_partition}" if parent_partition else ""
            raise StageError(f"{stage.key} needs {parent.key}{where}: materialize it first ({folder} has no record)")
        _refuse_failed_gates(stage, parent, parent_partition, record)
        inputs[role], parents[role] = folder, record
    code = code_version(stage.module)
    identity = records.fingerprint(stage.key, partition, recipe, code, parents)
    return Plan(stage, partition, recipe, code, inputs, parents, identity)


def _refuse_failed_gates(stage: Stage, parent: Stage, partition: str | None, record: dict) -> None:
    for name, said in read_gates(parent.key, partition).items():
        if said["content"] == record["content"] and not said["passed"]:
            raise StageError(f"{stage.key} will not start: gate {name} of {parent.key} failed ({said['why']})")


def read_gates(key: str, partition: str | None) -> dict[str, dict]:
    path = gates_file(key, partition)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_gate(key: str, partition: str | None, name: str, said: dict) -> None:
    """Remembers a gate's verdict beside the artifact, so that a later run of a child alone is stopped too."""
    _write_json(gates_file(key, partition), {**read_gates(key, partition), name: said})


def _write_json(path: Path, value: Any) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
    os.replace(part, path)


def reusable(planned: Plan) -> dict | None:
    """The published record where it has the wanted fingerprint and its files verify."""
    folder = artifact(planned.stage.key, planned.partition)
    record = records.read(folder)
    if record is None or record["fingerprint"] != planned.fingerprint or records.verify(folder, record):
        return None
    return record


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process builds an artifact; the kernel frees the lock of a killed one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"another process is making {folder.name} now: wait for it, or stop it") from None
        yield


def build(planned: Plan, log: Any, launch: Callable[[Plan, Path, Any], dict]) -> dict:
    """Builds, seals and publishes the artifact; returns its record. `launch` runs the stage and returns its metrics."""
    out = work(planned.stage.key, planned.partition, planned.fingerprint)
    with _alone(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        for stale in out.parent.iterdir():  # unfinished work for another recipe, code or parent
            if stale != out:
                shutil.rmtree(stale)
        continues = out.is_dir()
        out.mkdir(exist_ok=True)
        if continues:
            log.info("continues where it was stopped")
        started = time.monotonic()
        metrics = launch(planned, out, log)
        seconds = time.monotonic() - started
        shutil.rmtree(out / records.SCRATCH, ignore_errors=True)
        record = records.build(
            planned.stage.key, planned.partition, planned.recipe, planned.fingerprint, planned.code,
            planned.parents, out, metrics, seconds,
        )  # fmt: skip
        _write_json(out / records.RECORD, record)
        _publish(out, artifact(planned.stage.key, planned.partition))
    return record


def _publish(out: Path, final: Path) -> None:
    """Renames `out` into place; what was there is moved away first, so a reader never sees half of each."""
    final.parent.mkdir(parents=True, exist_ok=True)
    old = store() / ".trash" / f"{final.parent.name}--{final.name}--{os.getpid()}"
    if final.exists():
        old.parent.mkdir(parents=True, exist_ok=True)
        os.rename(final, old)
    os.rename(out, final)
    if old.exists():
        shutil.rmtree(old)


def run_inline(planned: Plan, out: Path, log: Any) -> dict:
    """The stage's own `run`, in this process."""
    return importlib.import_module(planned.stage.module).run(planned.recipe, planned.inputs, out, log)
