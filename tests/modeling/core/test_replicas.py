"""Chunks on several devices: the rows of one device, each chunk made once, whatever is killed on the way."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

from modeling.core import replicas, runtime
from tests.conftest import ROOT
from tests.modeling import toy_rlhf
from tests.modeling.core import toy_replicas

pytestmark = pytest.mark.timeout(600)  # each process imports torch
CHUNKS = 6


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return toy_rlhf.build(tmp_path_factory.mktemp("world"))["policy"]


@pytest.fixture
def notes(tmp_path, monkeypatch) -> Path:
    """A folder for notes; everything that toy_replicas.answers sets is set back."""
    toy_replicas.set_back(monkeypatch)
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


@pytest.mark.trains
def test_two_processes_one_of_them_killed_make_the_rows_of_one(policy, notes, tmp_path, log):
    expected = toy_replicas.alone(policy, tmp_path, log)
    (notes / "kill").touch()
    (notes / "processes").write_text("2")
    rows = toy_replicas.answers(policy, tmp_path / "two", notes, ["a", "b"], log)
    assert rows == expected and len({answer.text for row in rows for answer in row}) > 20
    assert str(os.getpid()) not in {said.split()[0] for said in toy_replicas.processes(notes)}
    assert {said.split(" ")[1] for said in toy_replicas.processes(notes)} == {"a", "b"}
    assert toy_replicas.made(notes) == {number: 1 + (number == 1) for number in range(CHUNKS)}
    assert any("was killed" in line for line in log.lines)
    assert {f"made chunk {number}" for number in range(CHUNKS)} <= set(log.lines)
    assert [step[0] for step in log.steps if step[1] == toy_replicas.PROMPTS][-1] == toy_replicas.PROMPTS
    for one in (tmp_path / "one").iterdir():
        assert one.read_bytes() == (tmp_path / "two" / one.name).read_bytes()


@pytest.mark.trains
def test_a_killed_stage_takes_its_processes_along_and_one_device_continues(policy, notes, tmp_path, log):
    expected = toy_replicas.alone(policy, tmp_path, log)
    scratch = tmp_path / "two"
    (notes / "hold").touch()
    command = [sys.executable, "-m", "tests.modeling.core.toy_replicas", str(policy), str(scratch), str(notes)]
    with subprocess.Popen(command, cwd=ROOT) as stage:
        while len(list(scratch.glob("0*.json"))) < CHUNKS - 1:
            assert stage.poll() is None
            time.sleep(0.05)
        children = psutil.Process(stage.pid).children(recursive=True)
        stage.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert len(children) >= 2 and not alive
    (notes / "hold").unlink()
    assert toy_replicas.answers(policy, scratch, notes, [], log) == expected
    assert toy_replicas.made(notes) == {number: 1 + (number == 3) for number in range(CHUNKS)}


class Thread:
    """A worker in a thread of this process. `make` may raise LostError, as if its process were killed."""

    def __init__(self, make: Callable[[int, list], list], ready: bool = True) -> None:
        self.call, self.ready, self.pool, self.ended = make, ready, ThreadPoolExecutor(1), 0

    def begin(self) -> Future:
        return self.pool.submit(list) if self.ready else Future()

    def make(self, number: int, items: list) -> Future:
        return self.pool.submit(lambda: (self.call(number, items), []))

    def error(self, future: Future) -> BaseException | None:
        return future.exception()

    def end(self) -> None:
        self.ended += 1
        self.pool.shutdown()


def share(make, count: int, log, devices=lambda: 2, ready: Callable[[int], bool] = lambda number: True):
    """(the results, the workers that were started)."""
    workers: list[Thread] = []

    def start() -> Thread:
        workers.append(Thread(make, ready(len(workers))))
        return workers[-1]

    found = {}
    error = None
    with contextlib.closing(replicas.shared(start, devices, ((n, [n]) for n in range(count)), count, log)) as results:
        try:
            for number, rows in results:
                assert number not in found
                found[number] = rows
        except (ValueError, RuntimeError) as raised:
            error = raised
    assert all(worker.ended == 1 for worker in workers)
    return found, workers, error


def test_the_exception_of_a_replica_ends_the_stage_and_the_other_finishes_its_chunk(log):
    calls = []

    def make(number, items):
        calls.append(number)
        if number == 3:
            raise ValueError("chunk 3 is broken")
        time.sleep(0.1)
        return items

    found, _, error = share(make, 50, log)
    assert isinstance(error, ValueError) and str(error) == "chunk 3 is broken"
    assert set(found) == set(calls) - {3} and len(calls) <= 6


def test_a_chunk_that_ends_every_process_is_given_up(log):
    def make(number, items):
        if number == 1:
            raise replicas.LostError("the process was killed")
        return items

    found, workers, error = share(make, 4, log)
    assert isinstance(error, RuntimeError)
    assert "chunk 1 ended 4 processes; the last time: the process was killed" in str(error)
    assert 1 not in found and len(workers) >= replicas.LOST_WORKERS + 1


def test_devices_that_come_later_help_and_one_that_never_comes_holds_up_nothing(log):
    seen = []

    def devices() -> int:
        seen.append(1)
        return 1 if len(seen) < 5 else 3

    def make(number, items):
        time.sleep(0.01)
        return items

    found, workers, error = share(make, 30, log, devices, ready=lambda number: number != 1)
    assert error is None and found == {n: [n] for n in range(30)} and len(workers) == 3


def test_chunks_are_read_when_a_replica_is_free(log):
    """Their items may be large: not all of them are in memory."""
    read, done = [], []

    def todo():
        for number in range(40):
            read.append(number)
            yield number, [number]

    for _ in replicas.shared(lambda: Thread(lambda number, items: items), lambda: 2, todo(), 40, log):
        done.append(1)
        assert len(read) - len(done) <= 3
    assert len(done) == 40


@pytest.mark.trains
def test_a_process_of_a_training_generates_alone(policy, notes, tmp_path, log, monkeypatch):
    """The other processes hold the other devices."""
    expected = toy_replicas.alone(policy, tmp_path, log)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert toy_replicas.answers(policy, tmp_path / "trained", notes, ["a", "b"], log) == expected
    assert {said.split()[0] for said in toy_replicas.processes(notes)} == {str(os.getpid())}


@pytest.mark.parametrize(
    ("stated", "count", "names"), [(None, 2, ["0", "1"]), ("5,3", 2, ["5", "3"]), ("", 0, []), ("7,-1,2", 1, ["7"])]
)
def test_gpus_are_named_as_cuda_visible_devices_names_them(stated, count, names, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert runtime.gpus() == names
