"""What re-runs the graph by itself: a snapshot added to the table of sources starts the corpus job."""

import datetime

import dagster as dg

from orchestration import records, stage
from orchestration.store import artifact

SNAPSHOT_TAG = "cria/new_snapshot"
# Runs that may fail within a PERIOD: a lost network passes, and a source that is gone must not fill the history.
ATTEMPTS = 3
PERIOD = datetime.timedelta(days=1)


@dg.sensor(job_name="corpus", minimum_interval_seconds=60, description="Cleans each snapshot that sources.toml adds.")
def new_snapshots(context: dg.SensorEvaluationContext):
    """Adds the partitions of new snapshots and requests a corpus run for each that has no artifact yet.

    A run that failed is requested again, at most ATTEMPTS times a PERIOD; one that a person canceled is not.
    """
    named = stage.snapshots()
    known = set(context.instance.get_dynamic_partitions(stage.SNAPSHOT))
    new = [name for name in named if name not in known]
    waiting = [name for name in named if records.read(artifact("corpus_report", name)) is None]
    requests = [request for name in waiting if (request := _request(context.instance, name))]
    skipped = (
        f"{', '.join(waiting)} failed {ATTEMPTS} times within {PERIOD}" if waiting else "every snapshot is cleaned"
    )
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests or new else skipped,
        dynamic_partitions_requests=[dg.AddDynamicPartitionsRequest(stage.SNAPSHOT, new)] if new else [],
    )


def _request(instance: dg.DagsterInstance, name: str) -> dg.RunRequest | None:
    """The run for a snapshot, or None where too many failed lately. Dagster starts no second run with the same key."""
    filters = dg.RunsFilter(tags={SNAPSHOT_TAG: name}, statuses=[dg.DagsterRunStatus.FAILURE])
    failed = [record.create_timestamp for record in instance.get_run_records(filters)]
    since = datetime.datetime.now(datetime.UTC) - PERIOD
    if sum(when > since for when in failed) >= ATTEMPTS:
        return None
    return dg.RunRequest(run_key=f"{name}-{len(failed)}", partition_key=name, tags={SNAPSHOT_TAG: name})
