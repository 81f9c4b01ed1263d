"""A worker that a signal ended is tried again; one that failed by itself is for a person to mend."""

import signal
import subprocess
import sys

import psutil
import pytest

from orchestration.execution import StageError
from orchestration.launchers import follow
from orchestration.listening import LAST_LINES, WorkerKilledError, heartbeat_seconds
from orchestration.store import CHECKOUT

# What the tests run under may ignore a signal (nohup does), and children inherit that.
DIE = """
import os, signal, sys
number = int(sys.argv[1])
if number != signal.SIGKILL:
    signal.signal(number, signal.SIG_DFL)
print("step 7", flush=True)
os.kill(os.getpid(), number)
"""
# The last of two to come dies, so that the other is there to be ended by torchrun; it must not count.
ORPHAN = """
import sys, time
from orchestration.processes import end_with_the_launcher
end_with_the_launcher()
print("works", flush=True)
time.sleep(600)
"""
# Counts to 40, a file a step. The first attempt stops at step 30 as it is told.
FAULTY = """
import os, pathlib, sys, time
out = pathlib.Path(sys.argv[1])
for step in range(40):
    if not (out / str(step)).exists():
        (out / str(step)).touch()
        print("step", step, flush=True)
        if step == 30:
            {}
"""
QUIET = """
import pathlib, sys, time
for _ in range(60):
    time.sleep(0.1)
    pathlib.Path(sys.argv[1]).touch()
"""
LAUNCHES = """
import os, sys
from orchestration.launchers import follow
class Log:
    def info(self, text): print(os.getpid(), text, flush=True)
follow("toy", sys.argv[1:], Log())
"""
ONE_OF_TWO = """
import os, sys, time
if os.environ["RANK"] == "1":
    {}
time.sleep(600)
"""


def under_torchrun(code: str) -> list[str]:
    start = [sys.executable, "-m", "orchestration.torchrun", "--standalone", "--nproc-per-node", "2", "--no-python"]
    return [*start, sys.executable, "-c", ONE_OF_TWO.format(code)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_is_named_and_is_no_error_of_the_stage(number, log):
    with pytest.raises(WorkerKilledError, match=f"toy: {number.name} ended the worker.*step 7"):
        follow("toy", [sys.executable, "-c", DIE, str(int(number))], log)
    assert log.lines == ["step 7"]


def test_a_worker_that_fails_by_itself_is_not_tried_again(log):
    with pytest.raises(StageError, match="toy: the worker stopped with 3: no such recipe"):
        follow("toy", [sys.executable, "-c", "print('no such recipe'); raise SystemExit(3)"], log)


def test_one_of_several_workers_killed(log):
    with pytest.raises(WorkerKilledError, match="SIGKILL ended the worker"):
        follow("toy", under_torchrun("os.kill(os.getpid(), 9)"), log)


def test_torchrun_itself_killed(log):
    with pytest.raises(WorkerKilledError, match="SIGTERM ended the worker"):
        follow("toy", under_torchrun("os.kill(os.getppid(), 15)"), log)


def test_one_of_several_workers_failed(log):
    with pytest.raises(StageError, match="the worker stopped with 1"):
        follow("toy", under_torchrun("sys.exit(3)"), log)


@pytest.mark.parametrize("torchrun", [False, True])
def test_workers_end_with_the_run_that_launched_them(torchrun):
    """Killed, it tells them nothing; they would train beside the run that continues it."""
    command = [sys.executable, "-c", ORPHAN]
    if torchrun:
        command = [sys.executable, "-m", "orchestration.torchrun", "--standalone", "--nproc-per-node", "2", "--no-python",
                   *command]  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", LAUNCHES, *command], cwd=CHECKOUT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as run:  # fmt: skip
        line = ""
        while "works" not in line:
            line = run.stdout.readline()
            assert line
        workers = psutil.Process(int(line.split()[0])).children(recursive=True)
        assert len(workers) >= (3 if torchrun else 1)
        run.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("os.kill(os.getpid(), 9)", WorkerKilledError, "toy: SIGKILL ended the worker; started again, it continues"),
        ("sys.exit('no such file')", StageError, "toy: the worker stopped with 1: no such file"),
        ("time.sleep(600)", WorkerKilledError, "toy: the worker hung: no line and no step for 0.05 minutes"),
    ],
)
def test_a_faulty_worker_shows_its_last_lines_and_the_same_command_continues(
    fault, error, said, tmp_path, log, monkeypatch
):
    monkeypatch.setenv("CRIA_HEARTBEAT_MINUTES", "0.05")
    command = [sys.executable, "-c", FAULTY.format(fault), str(tmp_path)]
    with pytest.raises(error, match=said) as raised:
        follow("toy", command, log)
    lines = str(raised.value).splitlines()
    assert lines[1] == "Its last lines:" and len(lines) == 2 + LAST_LINES
    assert "step 30" in lines[-2:] and "step 5" not in lines
    assert follow("toy", command, log) == [f"step {step}" for step in range(31, 40)]
    assert len(list(tmp_path.iterdir())) == 40


def test_one_of_several_workers_hangs_and_none_is_left(log, monkeypatch):
    monkeypatch.setenv("CRIA_HEARTBEAT_MINUTES", "0.2")
    before = set(psutil.Process().children(recursive=True))  # the database of other tests, for example
    with pytest.raises(WorkerKilledError, match="the worker hung"):
        follow("toy", under_torchrun("time.sleep(600)"), log)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_worker_that_trains_without_a_word_is_alive(tmp_path, log, monkeypatch):
    monkeypatch.setenv("CRIA_HEARTBEAT_MINUTES", "0.05")
    heartbeat = tmp_path / "heartbeat"
    follow("toy", [sys.executable, "-c", QUIET, str(heartbeat)], log, heartbeat)
    with pytest.raises(WorkerKilledError, match="the worker hung"):
        follow("toy", [sys.executable, "-c", QUIET, str(heartbeat)], log, tmp_path / "another")


def test_a_bound_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("CRIA_HEARTBEAT_MINUTES", "an hour")
    with pytest.raises(StageError, match="CRIA_HEARTBEAT_MINUTES=an hour: use a number of minutes"):
        heartbeat_seconds()
