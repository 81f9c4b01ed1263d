"""Finds the stages that a run still has to make, judge or show, and all stages downstream of them."""

from collections.abc import Iterable, Sequence

import dagster as dg

from orchestration import execution
from orchestration.metadata import shown_content
from orchestration.partitions import asset_key
from orchestration.stage import Gate, Stage


def pending(
    stages: Iterable[Stage], partition: str, gates: Sequence[Gate], instance: dg.DagsterInstance
) -> list[Stage]:
    """Returns the stages of a job (parents before children) that a run has to begin; empty if all are done and shown.

    Includes the stages downstream of one that is rebuilt; the run reuses them if their parents' bytes do not change.
    """
    found: dict[str, Stage] = {}
    for stage in stages:
        where = partition if stage.axis else None
        after = any(parent.key in found for _, parent in stage.inputs)
        if after or not _done(stage, where, gates, instance):
            found[stage.key] = stage
    return list(found.values())


def _done(stage: Stage, partition: str | None, gates: Sequence[Gate], instance: dg.DagsterInstance) -> bool:
    """Returns whether the artifact is up to date, has passed its gates, and is shown by the instance."""
    try:
        record = execution.reusable(execution.plan(stage, partition, gates))
    except execution.StageError:  # the run itself will say what is wrong
        return False
    own = [gate for gate in gates if gate.stage is stage]
    if record is None or any(execution.remembered_verdict(gate, partition, record) is None for gate in own):
        return False
    return shown_content(instance, asset_key(stage), partition) == record["content"]
