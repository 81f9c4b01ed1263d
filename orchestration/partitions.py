"""The two partition axes: corpora by snapshot (one per delivery of data), models by scale."""

import dagster as dg

from orchestration import scales, stage

SNAPSHOTS = dg.DynamicPartitionsDefinition(name=stage.SNAPSHOT)
SCALES = dg.StaticPartitionsDefinition(list(scales.SCALES))
BY_AXIS = {stage.SNAPSHOT: SNAPSHOTS, stage.SCALE: SCALES, None: None}


def declare_snapshots(instance: dg.DagsterInstance) -> list[str]:
    """Adds the snapshots named in the table of sources that the instance does not know yet; returns all of the table."""
    named = stage.snapshots()
    known = set(instance.get_dynamic_partitions(stage.SNAPSHOT))
    new = [name for name in named if name not in known]
    if new:
        instance.add_dynamic_partitions(stage.SNAPSHOT, new)
    return named
