"""Turns declared stages and gates into Dagster assets and checks: partition, record, reuse, launcher, retry in one place."""

import collections
import importlib
import os
import time
import warnings
from collections.abc import Sequence

import dagster as dg

from data_cleaning.report.units import duration
from orchestration import execution, metadata, records
from orchestration.console import StageLog
from orchestration.launchers import materialize
from orchestration.partitions import BY_AXIS
from orchestration.run import PID_TAG
from orchestration.source_code import code_version
from orchestration.stage import SCALE, SNAPSHOT, Gate, Stage, expanded_inputs, settings
from orchestration.store import artifact

# Partitioned checks are what we want, and every command would begin with a warning that they are young.
warnings.filterwarnings(
    "ignore", message="Specifying a partitions_def on an AssetCheckSpec", category=dg.PreviewWarning
)

# A killed step is tried again and continues; what a person has to mend is not.
RETRY = dg.RetryPolicy(max_retries=1)


def asset_key(stage: Stage) -> dg.AssetKey:
    return dg.AssetKey(stage.key.split("/"))


def _dependency(parent: Stage, child: Stage) -> dg.AssetDep:
    mapping = None
    if parent.axis == SNAPSHOT and child.axis == SCALE:
        mapping = dg.AllPartitionMapping()
    return dg.AssetDep(asset_key(parent), partition_mapping=mapping)


def _partition(context, stage: Stage) -> str | None:
    return context.partition_key if stage.axis else None


def _note_process(context) -> None:
    """Tags the run with its process, by which `close_dead_runs` sees that it was killed."""
    context.instance.add_run_tags(context.run.run_id, {PID_TAG: str(os.getpid())})


_started: dict[str, int] = collections.Counter()  # stages begun, by run


def _title(context: dg.AssetExecutionContext, stage: Stage) -> str:
    """`[k/n] key`: the k-th stage that this process began of the run's n (the jobs run in one process)."""
    _started[context.run_id] += 1
    total = len(context.job_def.asset_layer.executable_asset_keys)
    return f"[{_started[context.run_id]:2d}/{total}] {stage.key}"


def build_asset(stage: Stage, gates: Sequence[Gate] = ()) -> dg.AssetsDefinition:
    """The Dagster asset of a stage, which does not begin before `gates` have passed its parents."""

    @dg.asset(
        key=asset_key(stage),
        deps=[_dependency(parent, stage) for parent in dict.fromkeys(parent for _, parent in stage.inputs)],
        partitions_def=BY_AXIS[stage.axis],
        group_name=stage.group,
        description=f"{stage.description}\n\nPaper: {stage.paper}. Made by `{stage.module}.run`.",
        metadata={"paper": stage.paper, "module": stage.module},
        code_version=code_version(stage.module),
        kinds={"python"} | ({"pytorch"} if stage.module.startswith("modeling.") else set()),
        retry_policy=RETRY,
    )
    def made(context: dg.AssetExecutionContext):
        partition = _partition(context, stage)
        _note_process(context)
        log = StageLog(_title(context, stage), context.log.info)
        try:
            record, reused = materialize(stage, partition, log, gates)
        except (execution.StageError, ValueError, FileNotFoundError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        log.info("up to date" if reused else f"done in {duration(record['seconds'])}")
        known = reused and metadata.shown(context.instance, asset_key(stage), partition) == record["content"]
        return dg.MaterializeResult(
            metadata=metadata.of(artifact(stage.key, partition), record, reused, known),
            data_version=dg.DataVersion(record["content"]),
        )

    return made


def judge_gate(gate: Gate, partition: str | None) -> dict:
    """The verdict on the published artifact, kept beside it. The same code on the same artifact passed it before: that one.

    Raises StageError where the artifact is not there, or was made from other parents than lie there now.
    """
    folder = artifact(gate.stage.key, partition)
    inputs = {role: artifact(p.key, where) for role, (p, where) in expanded_inputs(gate.stage, partition).items()}
    record = records.read(folder)
    if record is None:
        raise execution.StageError(f"gate {gate.name} has nothing to judge: materialize {gate.stage.key} first")
    if not records.same_parents(record, {role: records.read(parent) for role, parent in inputs.items()}):
        raise execution.StageError(
            f"gate {gate.name} would compare {gate.stage.key} with other parents than those it was made from: "
            f"materialize {gate.stage.key} first"
        )
    before = execution.remembered_verdict(gate, partition, record)
    if before is not None:
        return before
    about = execution.about(gate, record)
    module, name = gate.function.split(":")
    recipe = gate.stage.recipe(settings(gate.stage.axis, partition))
    started = time.monotonic()
    passed, why, figures = getattr(importlib.import_module(module), name)(folder, inputs, recipe)
    figures = figures | {"seconds": round(time.monotonic() - started, 2)}
    said = {"passed": bool(passed), "why": why, "figures": figures, **about}
    execution.write_gate(gate.stage.key, partition, gate.name, said)
    return said


def build_check(gate: Gate) -> dg.AssetChecksDefinition:
    """The blocking asset check of a gate: where it fails, nothing downstream starts, in this run or a later one."""

    @dg.asset_check(
        asset=asset_key(gate.stage),
        name=gate.name,
        description=gate.description,
        blocking=True,
        partitions_def=BY_AXIS[gate.stage.axis],
    )
    def check(context: dg.AssetCheckExecutionContext):
        partition = _partition(context, gate.stage)
        _note_process(context)
        try:
            said = judge_gate(gate, partition)
        except execution.StageError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        if not said["passed"]:
            StageLog(gate.stage.key, context.log.warning).info(f"gate {gate.name} FAILED: {said['why']}")
        return dg.AssetCheckResult(
            passed=said["passed"],
            description=said["why"],
            metadata=said["figures"],
            severity=dg.AssetCheckSeverity.ERROR,
        )

    return check
