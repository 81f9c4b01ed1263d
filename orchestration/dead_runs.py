"""Ends runs that no process executes any more: Dagster would count them as running and block others for ever."""

import time

import dagster as dg

from assets import EVERY
from orchestration.partitions import asset_key
from orchestration.processes import is_alive

JOBS = ("corpus", "model", "plan")
ASSET_JOB = "__ASSET_JOB"  # Dagster's name for a run of assets selected in the graph
ACTIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
GONE = "Its process was killed, or the machine restarted. Finished work is kept."


def _is_ours(run: dg.DagsterRun) -> bool:
    """Returns whether this project started the run: other code locations may share the instance."""
    keys = {asset_key(stage) for stage in EVERY.values()}
    return run.job_name in JOBS or (run.job_name == ASSET_JOB and bool((run.asset_selection or set()) & keys))


def _works(record: dg.RunRecord, grace: float) -> bool:
    """Returns whether a process executes the run. It is tagged as it begins: else it began just now or never."""
    alive = is_alive(record.dagster_run.run_id, record.dagster_run.tags)
    return time.time() - record.update_timestamp.timestamp() < grace if alive is None else alive


def close_dead_runs(instance: dg.DagsterInstance, grace: float | None = None) -> list[str]:
    """Ends the runs of this project that no process executes; returns their ids.

    Marks such a run as failed, so that Dagster retries it. Marks it as canceled if it was being canceled, or if Dagster
    cannot start it (`make run` did). `grace`: seconds that a launched run has to begin; by default the instance's own
    limit.
    """
    grace = instance.run_monitoring_start_timeout_seconds if grace is None else grace
    closed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=ACTIVE)):
        run = record.dagster_run
        if not _is_ours(run) or _works(record, grace):
            continue
        if run.status == dg.DagsterRunStatus.CANCELING or run.remote_job_origin is None:
            instance.report_run_canceled(run, message=GONE)
        else:
            instance.report_run_failed(run, message=GONE)
        closed.append(run.run_id)
    return closed
