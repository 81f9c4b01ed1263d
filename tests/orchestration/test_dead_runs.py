"""A run that no process works on is ended, whatever state the kill left it in; one that may live is left alone."""

import os
import platform
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from orchestration import dead_runs, processes
from orchestration.definitions import defs
from orchestration.machine import machine
from orchestration.processes import HOST_TAG, PROCESS_TAG

STATES = {
    dg.DagsterRunStatus.STARTING: dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.STARTED: dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELING: dg.DagsterRunStatus.CANCELED,
}
LONG_AGO, JUST_NOW = 0.0, 180.0  # seconds of grace that have passed for every run of these tests, or for none


def origin(job: str) -> RemoteJobOrigin:
    """As the UI and the sensors launch a run: Dagster can start it again."""
    target = LoadableTargetOrigin(executable_path=sys.executable, python_file="orchestration/definitions.py")
    return RemoteJobOrigin(RemoteRepositoryOrigin(InProcessCodeLocationOrigin(target), "__repository__"), job)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def left(instance, status, tags=None, job="model", launched=True, **about) -> str:
    """A run in a state, tagged for itself; its id."""
    run_id = dg._core.utils.make_new_run_id()
    tags = {name: value.format(run=run_id[:8]) for name, value in (tags or {}).items()}
    run = dg.DagsterRun(job_name=job, run_id=run_id, status=status, tags=tags,
                        remote_job_origin=origin(job) if launched else None, **about)  # fmt: skip
    instance.add_run(run)
    return run_id


def tagged(process: str, host: str | None = None) -> dict[str, str]:
    return {HOST_TAG: host or platform.node(), PROCESS_TAG: f"{{run}}/{process}"}


def gone() -> str:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        known = processes.identity(process.pid)
        process.kill()
    return known


def another_process_of_the_same_id() -> str:
    boot, pid, start = processes.identity(os.getpid()).split("/")
    return f"{boot}/{pid}/{int(start) - 1}"


def of_an_earlier_boot() -> str:
    _, pid, start = processes.identity(os.getpid()).split("/")
    return f"00000000/{pid}/{start}"


DEAD = {
    "its process is gone": lambda: (tagged(gone()), JUST_NOW),
    "its id belongs to another process": lambda: (tagged(another_process_of_the_same_id()), JUST_NOW),
    "the machine was restarted": lambda: (tagged(of_an_earlier_boot()), JUST_NOW),
    "it never began": lambda: ({}, LONG_AGO),
    "it has only the tag of the run that it retries": lambda: (
        {HOST_TAG: platform.node(), PROCESS_TAG: f"anotherr/{processes.identity(os.getpid())}"},
        LONG_AGO,
    ),
}
ALIVE = {
    "its process works": lambda: (tagged(processes.identity(os.getpid())), LONG_AGO),
    "another host works on it": lambda: (tagged(gone(), host="another"), LONG_AGO),
    "it was launched just now": lambda: ({}, JUST_NOW),
    "it retries a run that is gone, just now": lambda: (
        {HOST_TAG: platform.node(), PROCESS_TAG: f"anotherr/{gone()}"},
        JUST_NOW,
    ),
}


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("what", DEAD)
def test_a_dead_run_is_ended(what, status, instance):
    tags, grace = DEAD[what]()
    run = left(instance, status, tags)
    assert dead_runs.close_dead_runs(instance, grace) == [run]
    assert instance.get_run_by_id(run).status == STATES[status]
    assert not instance.get_run_records(dg.RunsFilter(statuses=dead_runs.ACTIVE)), "the queue counts none"


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("what", ALIVE)
def test_a_run_that_may_live_is_left_alone(what, status, instance):
    tags, grace = ALIVE[what]()
    run = left(instance, status, tags)
    assert dead_runs.close_dead_runs(instance, grace) == []
    assert instance.get_run_by_id(run).status == status


def test_a_process_that_has_ended_and_is_not_yet_collected_is_gone():
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert processes.identity(process.pid) is None


def test_a_run_that_dagster_cannot_start_again_is_canceled_and_no_failure(instance):
    run = left(instance, dg.DagsterRunStatus.STARTED, tagged(gone()), launched=False)
    dead_runs.close_dead_runs(instance)
    assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.CANCELED


def test_picked_assets_are_ours_and_other_code_locations_are_not(instance):
    picked = {"job": dead_runs.ASSET_JOB, "asset_selection": frozenset({dg.AssetKey("mixture")})}
    foreign = {"job": dead_runs.ASSET_JOB, "asset_selection": frozenset({dg.AssetKey("sales")})}
    ours = left(instance, dg.DagsterRunStatus.STARTED, **picked)
    for about in (foreign, {"job": "nightly_report"}):
        left(instance, dg.DagsterRunStatus.STARTED, **about)
    assert dead_runs.close_dead_runs(instance, LONG_AGO) == [ours]


def test_a_run_is_tagged_before_its_first_step(instance):
    seen = {}

    @dg.op(required_resource_keys={"machine"})
    def look(context):
        seen.update(context.instance.get_run_by_id(context.run_id).tags)

    @dg.job(resource_defs={"machine": machine})
    def job():
        look()

    run = job.execute_in_process(instance=instance).dagster_run
    assert processes.is_alive(run.run_id, seen) is True
    assert seen[PROCESS_TAG] == f"{run.run_id[:8]}/{processes.identity(os.getpid())}"


def test_the_sensor_that_ends_them_is_on(instance):
    (sensor,) = (sensor for sensor in defs.sensors if sensor.name == "dead_runs")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    run = left(instance, dg.DagsterRunStatus.STARTED, tagged(gone()))
    said = sensor(dg.build_sensor_context(instance=instance))
    assert said.skip_message == f"ended {run}" and instance.get_run_by_id(run).is_finished
