"""What `make run` checks first, and that it stops at once when it is told to and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time

import dagster as dg
import pytest

from assets import STAGES
from data_cleaning.files import write_json
from orchestration import execution, records, run, stage
from orchestration.definitions import defs
from orchestration.store import CHECKOUT, store

# Dagster, on the main thread, would take the signal for a step that failed, try it again and go on.
PROGRAM = """
import subprocess, sys, time
import dagster as dg
from orchestration.run import interruptible

@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def first():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600)

@dg.op
def second():
    print("went on", flush=True)

@dg.job
def both():
    first(), second()

def work():
    both.execute_in_process(raise_on_error=False)
    return 0

sys.exit(interruptible(work))
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as status:
            return status.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_its_children(number, tmp_path):
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=CHECKOUT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        child = int(program.stdout.readline())
        program.send_signal(number)
        said, complained = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "went on" not in said and "the same command continues" in complained
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_what_the_work_returns_is_returned():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert run.interruptible(lambda: 3) == 3
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_one_run_and_in_it_one_step_at_a_time(tmp_path, monkeypatch):
    """Also of what a person picks in the UI, which is no named job."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(run.UNLIMITED)  # of an earlier version
    run.prepare_dagster_home()
    with dg.DagsterInstance.get() as instance:
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 1
        assert not instance.telemetry_enabled
    (tmp_path / "dagster.yaml").write_text("# a person's own\n")
    run.prepare_dagster_home()
    assert (tmp_path / "dagster.yaml").read_text() == "# a person's own\n"
    for job in (defs.resolve_implicit_global_asset_job_def(), *map(defs.resolve_job_def, ("corpus", "model"))):
        assert job.executor_def.name == "in_process"


def test_a_run_whose_process_is_gone_holds_up_no_other():
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        job, status = defs.resolve_job_def("model"), dg.DagsterRunStatus.STARTED
        dead, alive = (
            instance.create_run_for_job(job, status=status, tags={run.PID_TAG: str(pid)}).run_id
            for pid in (gone.pid, os.getpid())
        )
        run.close_dead_runs(instance)
        assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.CANCELED
        assert instance.get_run_by_id(alive).status == status


@pytest.mark.parametrize("command", [["orchestration.run", "tiny"], ["orchestration.serve", "--ui"]])
def test_a_table_of_sources_that_cannot_be_read_is_said_in_a_line(command, tmp_path):
    def started(table):
        environment = {**os.environ, "CRIA_SOURCES": str(table), "DAGSTER_HOME": str(tmp_path / "home")}
        environment["CRIA_UI_PORT"] = "3977"
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=CHECKOUT, env=environment, text=True, capture_output=True
        )

    (tmp_path / "typo.toml").write_text("[[source]]\nnmae = 'notes'\n")
    for table, told in (("typo.toml", "unknown field 'nmae'"), ("gone.toml", "is no file: name one in CRIA_SOURCES")):
        done = started(tmp_path / table)
        assert done.returncode == 1 and told in done.stderr and str(tmp_path / table) in done.stderr
        assert "Traceback" not in done.stderr


def test_disk_is_asked_for_only_where_something_has_to_be_made(monkeypatch):
    monkeypatch.setitem(run.FREE_BYTES, "tiny", 1e18)
    with pytest.raises(SystemExit, match="scale tiny needs about"):
        run.check_disk("tiny")
    for made in STAGES.values():
        for partition in {stage.SCALE: ["tiny"], stage.SNAPSHOT: stage.snapshots(), None: [None]}[made.axis]:
            planned = execution.plan(made, partition)
            planned.final.mkdir(parents=True)
            write_json(
                planned.final / "RECORD.json",
                {"asset": made.key, "partition": partition, "fingerprint": planned.fingerprint, "content": made.key,
                 "parents": records.named(planned.parents)},
            )  # fmt: skip
    run.check_disk("tiny")
    (planned.final / "RECORD.json").unlink()
    with pytest.raises(SystemExit, match="scale tiny needs about"):
        run.check_disk("tiny")


def test_what_a_stopped_run_has_made_counts(monkeypatch):
    with pytest.MonkeyPatch.context() as roomy:
        roomy.setitem(run.FREE_BYTES, "tiny", 0.0)
        run.check_disk("tiny")
    monkeypatch.setitem(run.FREE_BYTES, "tiny", 1e18)
    made = store() / "tiny" / "base_model"
    made.mkdir(parents=True)
    with (made / "model.safetensors").open("wb") as sparse:
        sparse.truncate(int(1e12))
    with pytest.raises(SystemExit) as stopped:
        run.check_disk("tiny")
    assert f"{(1e18 - 1e12) / 1e9:.1f} GB more" in stopped.value.code
