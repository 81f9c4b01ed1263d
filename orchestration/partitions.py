"""The partition axes: corpora by snapshot (one per delivery of data), models by scale, plans by scale too."""

import dagster as dg

from orchestration import plans, scales
from orchestration.sources import snapshots
from orchestration.stage import PLANNED, SCALE, SNAPSHOT, Stage

SNAPSHOTS = dg.DynamicPartitionsDefinition(name=SNAPSHOT)
SCALES = dg.StaticPartitionsDefinition(list(scales.SCALES))
PLANNED_SCALES = dg.StaticPartitionsDefinition(plans.planned())
BY_AXIS = {SNAPSHOT: SNAPSHOTS, SCALE: SCALES, PLANNED: PLANNED_SCALES, None: None}


def asset_key(stage: Stage) -> dg.AssetKey:
    return dg.AssetKey(stage.key.split("/"))


def partition_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, stage: Stage) -> str | None:
    """Returns the partition that a step makes or judges; None for a stage without partitions."""
    return context.partition_key if stage.axis else None


def new_snapshots(instance: dg.DagsterInstance) -> list[str]:
    """Returns the snapshots that the table of sources names and the instance does not know yet."""
    known = set(instance.get_dynamic_partitions(SNAPSHOT))
    return [name for name in snapshots() if name not in known]


def declare_snapshots(instance: dg.DagsterInstance) -> list[str]:
    """Adds the snapshots of the table of sources to the instance. Returns all snapshots of the table."""
    if new := new_snapshots(instance):
        instance.add_dynamic_partitions(SNAPSHOT, new)
    return snapshots()
