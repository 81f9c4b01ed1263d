"""What re-runs the graph by itself, once a person switches it on: new snapshots start the corpus job, new data the model job.

Always on: runs that no process works on any more are ended, so that they hold nothing back and are started again.
"""

import datetime
from collections.abc import Sequence

import dagster as dg

from assets import STAGES
from assets.gates import GATES
from orchestration import execution, partitions, records, scales
from orchestration.dead_runs import close_dead_runs
from orchestration.sources import snapshots
from orchestration.stage import SNAPSHOT
from orchestration.store import artifact

SNAPSHOT_TAG, CORPUS_TAG = "cria/new_snapshot", "cria/new_corpus"
# Runs that may fail within a PERIOD: a lost network passes, and a source that is gone must not fill the history.
ATTEMPTS = 3
PERIOD = datetime.timedelta(days=1)
PAUSE = datetime.timedelta(minutes=10)  # after the first failure; twice as long after each further one
REASON_TAG = "dagster/failure_reason"
OF_ITSELF = {"STEP_FAILURE", "JOB_INITIALIZATION_FAILURE", "RUN_EXCEPTION"}  # reasons of a run that was not killed


@dg.sensor(job_name="corpus", minimum_interval_seconds=60, description="Cleans each snapshot that sources.toml adds.")
def new_snapshots(context: dg.SensorEvaluationContext):
    """Adds the partitions of new snapshots and requests a corpus run for each that has no artifact yet.

    A run that failed is requested again after a PAUSE, at most ATTEMPTS times a PERIOD; one that a person canceled is not.
    """
    new = partitions.new_snapshots(context.instance)
    waiting = [name for name in snapshots() if records.read(artifact("corpus_report", name)) is None]
    asked = [_corpus_run(context.instance, name) for name in waiting]
    requests = [request for request in asked if isinstance(request, dg.RunRequest)]
    refused = "; ".join(why for why in asked if isinstance(why, str))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests or new else refused or "every snapshot is cleaned",
        dynamic_partitions_requests=[dg.AddDynamicPartitionsRequest(SNAPSHOT, new)] if new else [],
    )


def _corpus_run(instance: dg.DagsterInstance, name: str) -> dg.RunRequest | str:
    """The run for a snapshot, or why there is none now.

    Dagster starts no second run with the same key, ever: one that was canceled keeps its key, and each that ended makes a new
    one, so that a snapshot is cleaned again where the store was deleted.
    """
    runs = instance.get_run_records(dg.RunsFilter(tags={SNAPSHOT_TAG: name}))
    failed = [record for record in runs if record.dagster_run.status == dg.DagsterRunStatus.FAILURE]
    succeeded = [record for record in runs if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS]
    why = _why_not_now(name, runs, failed)
    key = f"{name}-{len(failed) + len(succeeded)}"
    return why or dg.RunRequest(run_key=key, partition_key=name, tags={SNAPSHOT_TAG: name})


def _why_not_now(name: str, runs: Sequence[dg.RunRecord], failed: Sequence[dg.RunRecord]) -> str | None:
    """Why no further run is requested, of all `runs` for the same and of those among them that `failed`; None: one is."""
    if any(not record.dagster_run.is_finished for record in runs):
        return f"a run for {name} is on its way"
    now = datetime.datetime.now(datetime.UTC)
    ended = [datetime.datetime.fromtimestamp(record.end_time, datetime.UTC) for record in failed]
    lately = [when for when in ended if when > now - PERIOD]
    if len(lately) >= ATTEMPTS:
        return f"{name} failed {ATTEMPTS} times within {PERIOD}"
    if lately and (again := max(lately) + PAUSE * 2 ** (len(lately) - 1)) > now:
        return f"{name} failed and is tried again at {again:%H:%M} UTC"
    return None


@dg.sensor(job_name="model", minimum_interval_seconds=60, description="Makes each released scale anew from new data.")
def new_data(context: dg.SensorEvaluationContext):
    """Requests a model run for each scale that has been released from another corpus than the one that is cleaned now.

    It waits until every snapshot is cleaned and judged. A run is requested once for a corpus, and again only where it was
    killed: a failed one is for a person.
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
            asked = _model_run(context.instance, name, f"{name}-{planned.work.name}")
            (requests if isinstance(asked, dg.RunRequest) else refused).append(asked)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "; ".join(refused) or "every released scale has read the corpus as it is",
    )


def _model_run(instance: dg.DagsterInstance, name: str, corpus: str) -> dg.RunRequest | str:
    """The run for a scale and a corpus, or why there is none now."""
    runs = instance.get_run_records(dg.RunsFilter(tags={CORPUS_TAG: corpus}))
    failed = [record.dagster_run for record in runs if record.dagster_run.status == dg.DagsterRunStatus.FAILURE]
    killed = [record for record in runs if record.dagster_run in failed and _was_killed(record.dagster_run)]
    key = f"{corpus}-{len(killed)}" if killed else corpus
    why = _why_not_now(name, runs, killed)
    return why or dg.RunRequest(run_key=key, partition_key=name, tags={CORPUS_TAG: corpus})


def _was_killed(run: dg.DagsterRun) -> bool:
    return run.tags.get(REASON_TAG) not in OF_ITSELF


@dg.sensor(
    name="dead_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process was killed, so that they hold nothing back and Dagster's retries continue them.",
)
def dead_runs(context: dg.SensorEvaluationContext):
    """Ends the runs of this project that no process works on any more."""
    closed = close_dead_runs(context.instance)
    return dg.SkipReason(f"ended {', '.join(closed)}" if closed else "every run has its process")
