"""What starts runs, once switched on: new snapshots start the corpus job, new data and votes the model job.

One sensor is always on: it ends runs that no process executes any more, so that they block nothing and Dagster retries
them.
"""

import datetime
from collections.abc import Sequence

import dagster as dg

from assets import STAGES
from assets.gates import GATES
from data_cleaning.sources.errors import SourceError
from modeling.rlhf.ratings.store import RatingsError
from orchestration import alerts, execution, follow, inbox, partitions, records, scales
from orchestration.dead_runs import close_dead_runs
from orchestration.sources import snapshots
from orchestration.stage import SCALE, SNAPSHOT, settings
from orchestration.store import artifact

PARTITION_TAG = "dagster/partition"
SNAPSHOT_TAG, DATA_TAG = "cria/new_snapshot", "cria/new_data"
# Failed runs allowed per PERIOD: enough to outlast a network failure, but a missing source must not fill the history.
ATTEMPTS = 3
PERIOD = datetime.timedelta(days=1)
PAUSE = datetime.timedelta(minutes=10)  # after the first failure; doubles with each further one
REASON_TAG = "dagster/failure_reason"
OF_ITSELF = {"STEP_FAILURE", "JOB_INITIALIZATION_FAILURE", "RUN_EXCEPTION"}  # of runs that were not killed


@dg.sensor(minimum_interval_seconds=60, description="Makes a snapshot of the files that were dropped into the inbox.")
def inbox_files(context: dg.SensorEvaluationContext):
    """Takes what is complete; `new_snapshots` cleans it. Says what happened, and what stays and why."""
    try:
        return dg.SkipReason(inbox.take())
    except SourceError as error:
        return dg.SkipReason(str(error))


@dg.schedule(
    job_name="corpus", cron_schedule="0 3 * * *", description="Makes a snapshot of what is new at the followed sources."
)
def remote_sources(context: dg.ScheduleEvaluationContext):
    """Looks at 03:00 UTC and pins what is new; `new_snapshots` cleans it. Says what happened at each source."""
    try:
        return dg.SkipReason(follow.look_aside())
    except SourceError as error:
        return dg.SkipReason(str(error))


@dg.sensor(job_name="corpus", minimum_interval_seconds=60, description="Cleans each snapshot that sources.toml adds.")
def new_snapshots(context: dg.SensorEvaluationContext):
    """Adds the partitions of new snapshots and requests a corpus run for each snapshot without an artifact.

    A failed run is requested again after a PAUSE, at most ATTEMPTS times per PERIOD; a canceled run is not.
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
    """Returns the run request for a snapshot, or why there is none now.

    Dagster never starts a second run with the same key. A canceled run keeps its key, so it is not repeated. Each
    failed or successful run changes the key, so a snapshot is cleaned again if the store was deleted.
    """
    runs = instance.get_run_records(dg.RunsFilter(tags={SNAPSHOT_TAG: name}))
    failed = [record for record in runs if record.dagster_run.status == dg.DagsterRunStatus.FAILURE]
    succeeded = [record for record in runs if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS]
    why = _why_not_now(name, runs, failed)
    key = f"{name}-{len(failed) + len(succeeded)}"
    return why or dg.RunRequest(run_key=key, partition_key=name, tags={SNAPSHOT_TAG: name})


def _why_not_now(name: str, runs: Sequence[dg.RunRecord], failed: Sequence[dg.RunRecord]) -> str | None:
    """Returns why no further run is requested, from all `runs` of a target and the `failed` ones; None: request one."""
    if any(not record.dagster_run.is_finished for record in runs):
        return f"a run for {name} is queued or running"
    now = datetime.datetime.now(datetime.UTC)
    ended = [datetime.datetime.fromtimestamp(record.end_time, datetime.UTC) for record in failed]
    lately = [when for when in ended if when > now - PERIOD]
    if len(lately) >= ATTEMPTS:
        return f"{name} failed {ATTEMPTS} times within {PERIOD}"
    if lately and (again := max(lately) + PAUSE * 2 ** (len(lately) - 1)) > now:
        return f"{name} failed; the pipeline retries at {again:%H:%M} UTC"
    return None


@dg.sensor(job_name="model", minimum_interval_seconds=60, description="Rebuilds each released scale from new data.")
def new_data(context: dg.SensorEvaluationContext):
    """Requests a model run for each released scale whose corpus differs from the current one, or if people retracted more.

    Waits until every snapshot is cleaned and has passed its gates. Requests one run per corpus, and another only if
    that run was killed: after a failure, the user must correct the cause.
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
        known = (mixed or {}).get("recipe", {}).get("retractions", [])
        if mixed is None or not records.same_parents(mixed, planned.parents) or known != [*planned.recipe.retractions]:
            asked = _model_run(context.instance, name, f"{name}-{planned.work.name}")
            (requests if isinstance(asked, dg.RunRequest) else refused).append(asked)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "; ".join(refused) or "every released scale is made from the current corpus",
    )


@dg.sensor(
    job_name="model", minimum_interval_seconds=60, description="Trains each released scale on new votes of people."
)
def new_votes(context: dg.SensorEvaluationContext):
    """Requests a model run for each released scale once a batch of votes is complete that its reward models have not seen.

    Requests one run per batch, and another only if that run was killed.
    """
    requests, refused = [], []
    for name in scales.SCALES:
        if records.read(artifact("bundle", name)) is None:
            continue
        try:
            wanted = settings(SCALE, name).with_votes()
        except RatingsError as error:
            refused.append(str(error))
            continue
        made = records.read(artifact("ratings", name))
        known = (made or {}).get("recipe", {}).get("digest", "")
        if wanted.digest != known:
            asked = _model_run(context.instance, name, f"{name}-votes-{wanted.votes}-{wanted.digest}")
            (requests if isinstance(asked, dg.RunRequest) else refused).append(asked)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "; ".join(refused) or "no batch of votes is complete that is not trained on",
    )


def _model_run(instance: dg.DagsterInstance, name: str, data: str) -> dg.RunRequest | str:
    """Returns the run request for a scale and new `data` (a corpus or a batch of votes), or why there is none now."""
    runs = instance.get_run_records(dg.RunsFilter(tags={DATA_TAG: data}))
    failed = [record.dagster_run for record in runs if record.dagster_run.status == dg.DagsterRunStatus.FAILURE]
    killed = [record for record in runs if record.dagster_run in failed and _was_killed(record.dagster_run)]
    key = f"{data}-{len(killed)}" if killed else data
    why = _why_not_now(name, runs, killed)
    return why or dg.RunRequest(run_key=key, partition_key=name, tags={DATA_TAG: data})


def _was_killed(run: dg.DagsterRun) -> bool:
    return run.tags.get(REASON_TAG) not in OF_ITSELF


@dg.run_status_sensor(
    name="promotion",
    run_status=dg.DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes a new bundle the current release if it is not significantly worse; else tells a person.",
)
def promotion(context: dg.RunStatusSensorContext):
    """Judges the bundle of the scale whose model run has ended. A candidate is told as CRIA_ON_FAILURE says."""
    from orchestration import promote  # here, because it loads what the other sensors do not need

    scale = context.dagster_run.tags.get(PARTITION_TAG)
    if context.dagster_run.job_name != "model" or scale not in scales.SCALES:
        return dg.SkipReason("no model run")
    outcome = promote.promote(scale)
    if outcome is None:
        return dg.SkipReason(f"{scale} has no bundle yet")
    if not outcome.current and alerts.configured():
        alerts.send(promote.said(scale, outcome))
    return dg.SkipReason(promote.said(scale, outcome))


@dg.sensor(
    name="dead_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process was killed, so that they block no other run and Dagster retries them.",
)
def dead_runs(context: dg.SensorEvaluationContext):
    """Ends the runs of this project that no process executes any more."""
    closed = close_dead_runs(context.instance)
    return dg.SkipReason(f"ended {', '.join(closed)}" if closed else "every run has its process")
