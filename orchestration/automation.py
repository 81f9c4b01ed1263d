"""What re-runs the graph by itself, once a person switches it on: new snapshots start the corpus job, new data the model job."""

import datetime

import dagster as dg

from assets import STAGES
from assets.gates import GATES
from orchestration import execution, records, scales, stage
from orchestration.store import artifact

SNAPSHOT_TAG = "cria/new_snapshot"
# Runs that may fail within a PERIOD: a lost network passes, and a source that is gone must not fill the history.
ATTEMPTS = 3
PERIOD = datetime.timedelta(days=1)
PAUSE = datetime.timedelta(minutes=10)  # after the first failure; twice as long after each further one


@dg.sensor(job_name="corpus", minimum_interval_seconds=60, description="Cleans each snapshot that sources.toml adds.")
def new_snapshots(context: dg.SensorEvaluationContext):
    """Adds the partitions of new snapshots and requests a corpus run for each that has no artifact yet.

    A run that failed is requested again after a PAUSE, at most ATTEMPTS times a PERIOD; one that a person canceled is not.
    """
    named = stage.snapshots()
    known = set(context.instance.get_dynamic_partitions(stage.SNAPSHOT))
    new = [name for name in named if name not in known]
    waiting = [name for name in named if not _cleaned(name)]
    asked = [_corpus_run(context.instance, name) for name in waiting]
    requests = [request for request in asked if isinstance(request, dg.RunRequest)]
    refused = "; ".join(why for why in asked if isinstance(why, str))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests or new else refused or "every snapshot is cleaned",
        dynamic_partitions_requests=[dg.AddDynamicPartitionsRequest(stage.SNAPSHOT, new)] if new else [],
    )


def _cleaned(snapshot: str) -> bool:
    return records.read(artifact("corpus_report", snapshot)) is not None


def _corpus_run(instance: dg.DagsterInstance, name: str) -> dg.RunRequest | str:
    """The run for a snapshot, or why there is none now.

    Dagster starts no second run with the same key, ever: one that has not ended or was canceled keeps its key, and each that
    ended makes a new one, so that a snapshot is cleaned again where the store was deleted.
    """
    ended = instance.get_run_records(
        dg.RunsFilter(tags={SNAPSHOT_TAG: name}, statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS])
    )
    now = datetime.datetime.now(datetime.UTC)
    failed = [_end(record) for record in ended if record.dagster_run.status == dg.DagsterRunStatus.FAILURE]
    lately = [when for when in failed if when > now - PERIOD]
    if len(lately) >= ATTEMPTS:
        return f"{name} failed {ATTEMPTS} times within {PERIOD}"
    if lately and (again := max(lately) + PAUSE * 2 ** (len(lately) - 1)) > now:
        return f"{name} failed and is tried again at {again:%H:%M} UTC"
    return dg.RunRequest(run_key=f"{name}-{len(ended)}", partition_key=name, tags={SNAPSHOT_TAG: name})


def _end(record: dg.RunRecord) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(record.end_time, datetime.UTC)


@dg.sensor(job_name="model", minimum_interval_seconds=60, description="Makes each released scale anew from new data.")
def new_data(context: dg.SensorEvaluationContext):
    """Requests a model run for each scale that has been released from another corpus than the one that is cleaned now.

    It waits until every snapshot is cleaned and judged. A run is requested once for a corpus; a failed one is for a person.
    """
    released = [name for name in scales.SCALES if records.read(artifact("bundle", name)) is not None]
    requests, refused = [], []
    for name in released:
        try:
            planned = execution.plan(STAGES["mixture"], name, GATES)
        except execution.StageError as error:
            refused.append(str(error))
            continue
        mixed = records.read(planned.final)
        if mixed is None or not records.same_parents(mixed, planned.parents):
            requests.append(dg.RunRequest(run_key=f"{name}-{planned.work.name}", partition_key=name))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "; ".join(refused) or "every released scale has read the corpus as it is",
    )
