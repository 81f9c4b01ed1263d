"""Gates as blocking asset checks: if one fails, nothing downstream starts, in this run or a later one."""

import importlib
import time
import warnings
from collections.abc import Callable

import dagster as dg

from data_cleaning import heap
from orchestration import execution, records
from orchestration.console import StageLog
from orchestration.partitions import BY_AXIS, asset_key, partition_of
from orchestration.pools import pool_of
from orchestration.stage import Gate, expanded_inputs, settings
from orchestration.store import artifact

# Partitioned checks are in preview: Dagster would warn in every command.
warnings.filterwarnings(
    "ignore", message="Specifying a partitions_def on an AssetCheckSpec", category=dg.PreviewWarning
)


def judge_gate(gate: Gate, partition: str | None, begin: Callable[[], None] = lambda: None) -> dict:
    """Returns the verdict on the published artifact and writes it beside the artifact; reuses an earlier pass if valid.

    Calls `begin` before it runs the gate. Raises StageError if the artifact does not exist, or if its parents have been
    replaced since it was made.
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
    begin()
    about = execution.about(gate, record)
    module, name = gate.function.split(":")
    recipe = gate.stage.recipe(settings(gate.stage.axis, partition))
    started = time.monotonic()
    try:
        passed, why, figures = getattr(importlib.import_module(module), name)(folder, inputs, recipe)
    finally:
        heap.trim()  # what a gate loaded is not left to the next stage
    figures = figures | {"seconds": round(time.monotonic() - started, 2)}
    said = {"passed": bool(passed), "why": why, "figures": figures, **about}
    execution.write_gate(gate.stage.key, partition, gate.name, said)
    return said


def build_check(gate: Gate) -> dg.AssetChecksDefinition:
    """Returns the blocking asset check of a gate."""

    @dg.asset_check(
        asset=asset_key(gate.stage),
        name=gate.name,
        description=gate.description,
        blocking=True,
        partitions_def=BY_AXIS[gate.stage.axis],
        pool=pool_of(gate.stage),
        required_resource_keys={"machine"},
    )
    def check(context: dg.AssetCheckExecutionContext):
        partition = partition_of(context, gate.stage)
        log = StageLog(gate.stage.key, context.log.info)
        try:
            said = judge_gate(gate, partition, lambda: context.resources.machine.take(gate.stage, partition, log))
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
