"""What re-runs the graph by itself: a snapshot added to the table of sources starts the corpus job."""

import dagster as dg

from orchestration import records, stage
from orchestration.store import artifact


@dg.sensor(job_name="corpus", minimum_interval_seconds=60, description="Cleans each snapshot that sources.toml adds.")
def new_snapshots(context: dg.SensorEvaluationContext):
    """Adds the partitions of new snapshots and requests a corpus run for each that has no artifact yet."""
    named = stage.snapshots()
    known = set(context.instance.get_dynamic_partitions(stage.SNAPSHOT))
    new = [name for name in named if name not in known]
    waiting = [name for name in named if records.read(artifact("corpus_report", name)) is None]
    if not new and not waiting:
        return dg.SkipReason("every snapshot of the table of sources is cleaned")
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"snapshot-{name}", partition_key=name) for name in waiting],
        dynamic_partitions_requests=[dg.AddDynamicPartitionsRequest(stage.SNAPSHOT, new)] if new else [],
    )
