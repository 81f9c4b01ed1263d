"""With a real daemon: a killed run is started again and continues, `make run` shares its pools, a failure is told."""

import os
import signal
import subprocess
import sys
import time

import dagster as dg
import pytest

from orchestration import records
from orchestration.instance import prepare_dagster_home
from orchestration.processes import PROCESS_TAG
from orchestration.store import CHECKOUT, artifact

LOCATION = ["-f", "tests/orchestration/toy_location.py", "-d", str(CHECKOUT)]
IN_THIS_TERMINAL = """
import dagster as dg
from orchestration.run import run_job
from tests.orchestration.toy_location import defs

with dg.DagsterInstance.get() as instance:
    raise SystemExit(not run_job(defs.resolve_job_def("model"), "tiny", instance))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The environment of a daemon, its code server and its runs; toys wait for the file `go` before their last step."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("CRIA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TOY_WAITS_FOR", str(tmp_path / "go"))
    monkeypatch.setenv("CRIA_ON_FAILURE", f"cat >> {tmp_path / 'told'}")
    monkeypatch.setenv("DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS", "1")
    prepare_dagster_home()
    with dg.DagsterInstance.get() as instance:
        instance.get_runs()  # two processes at once could not make its tables
    return tmp_path


@pytest.fixture
def daemon(home):
    """Dagster's daemon with a code server of its own, as `dagster dev` starts it; all of its processes end with the test."""
    command = [sys.executable, "-m", "dagster._daemon", "run", *LOCATION]
    with (home / "daemon.log").open("w") as said:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=said, stderr=said, start_new_session=True)
    yield home / "daemon.log"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def launch(job: str) -> None:
    """Puts a run into the queue, as the UI does."""
    command = [sys.executable, "-m", "dagster", "job", "launch", "-j", job, *LOCATION]
    subprocess.run([*command, "--tags", '{"dagster/partition": "tiny"}'], cwd=CHECKOUT, check=True, capture_output=True)


def until(condition, log, seconds=60.0):
    """What `condition` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, log.read_text()[-5000:]
        time.sleep(0.1)
    return value


@pytest.mark.timeout(240)
def test_a_killed_run_continues_and_a_failed_one_is_told(home, daemon):
    launch("model")
    with dg.DagsterInstance.get() as instance:

        def runs(job, *statuses):
            return instance.get_runs(dg.RunsFilter(job_name=job, statuses=statuses or None))

        begun = until(lambda: list((home / "store" / ".work").rglob("1.txt")), daemon)
        (killed,) = runs("model", dg.DagsterRunStatus.STARTED)
        here = subprocess.Popen([sys.executable, "-c", IN_THIS_TERMINAL], cwd=CHECKOUT, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        try:
            assert here.stdout.readline().strip() == (
                f"[ 1/2] first  waits for the pool gpu: run {killed.run_id[:8]} (scale tiny, process {_pid(killed)})"
            )
            written = begun[0].stat().st_mtime_ns
            os.kill(_pid(killed), signal.SIGKILL)
            queued = [dg.DagsterRunStatus.QUEUED]
            (again,) = until(
                lambda: [run for run in runs("model", *queued) if run.parent_run_id == killed.run_id], daemon
            )
            assert instance.get_run_by_id(killed.run_id).status == dg.DagsterRunStatus.FAILURE
            time.sleep(6)  # the queue looks every five seconds
            assert instance.get_run_by_id(again.run_id).status in queued, "it waits for the run of the terminal"
            (home / "go").touch()
            said, _ = here.communicate(timeout=60)
        finally:
            here.kill()
        assert here.returncode == 0 and "[ 1/2] first  continues where it was stopped" in said
        assert (artifact("first", "tiny") / "1.txt").stat().st_mtime_ns == written, "what was made was not made again"
        until(lambda: instance.get_run_by_id(again.run_id).status == dg.DagsterRunStatus.SUCCESS, daemon)
        assert records.read(artifact("second", "tiny")) and not (home / "told").exists(), (
            "nobody is told of what passes"
        )
        (artifact("first", "tiny") / records.RECORD).unlink()
        launch("second_alone")
        until(lambda: (home / "told").exists() and (home / "told").read_text().endswith("record)"), daemon)
        (failed,) = runs("second_alone")  # what a person must mend is not started again
        assert (
            (home / "told")
            .read_text()
            .startswith(
                f"Cria: run {failed.run_id} (second_alone, tiny) failed.\nsecond: second needs first for tiny: materialize"
            )
        )


def _pid(run: dg.DagsterRun) -> int:
    return int(run.tags[PROCESS_TAG].split("/")[2])
