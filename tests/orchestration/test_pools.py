"""As many runs work in a pool as the instance allows, whoever started them, and a killed one gives its slot back."""

import signal
import subprocess
import sys
import threading
import time

import dagster as dg
import pytest

from orchestration import pools
from orchestration.definitions import defs
from orchestration.instance import SETTINGS
from orchestration.store import CHECKOUT
from tests.conftest import MemoryLog

HOLD = """
import sys, time
import dagster as dg
from orchestration import pools
from tests.conftest import MemoryLog

with dg.DagsterInstance.get() as instance, pools.slot(instance, "gpu", "the other", MemoryLog()):
    print("holds", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(pools, "LOOK_AGAIN_S", 0.02)
    (tmp_path / "dagster.yaml").write_text(SETTINGS)
    with dg.DagsterInstance.get() as instance:
        yield instance


def waiting(instance, pool="gpu") -> tuple[threading.Thread, MemoryLog, threading.Event]:
    """A thread that wants a slot and gives it back at once, what it said, and whether it had it."""
    log, had = MemoryLog(), threading.Event()

    def work():
        with pools.slot(instance, pool, "the waiting one", log):
            had.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, log, had


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_second_waits_says_for_whom_and_goes_on_once_the_first_has_ended(instance):
    with pools.slot(instance, "gpu", "run 1a2b3c4d (scale laptop, process 7)", MemoryLog()):
        thread, log, had = waiting(instance)
        until(lambda: log.lines)
        assert log.lines == ["waits for the pool gpu: run 1a2b3c4d (scale laptop, process 7)"]
        time.sleep(0.2)
        assert not had.is_set() and len(log.lines) == 1, "it says so once"
        other, said, in_its_own = waiting(instance, "cpu")
        other.join(10)
        assert in_its_own.is_set() and not said.lines, "cleaning does not wait behind a training"
    thread.join(10)
    assert had.is_set()


def test_a_slot_comes_back_from_a_process_that_was_killed(instance):
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=CHECKOUT, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "holds\n"
        thread, log, had = waiting(instance)
        until(lambda: log.lines)
        assert log.lines == ["waits for the pool gpu: the other"] and not had.is_set()
        process.send_signal(signal.SIGKILL)
    thread.join(10)
    assert had.is_set()


def test_the_limit_is_the_instances_and_may_be_raised_meanwhile(instance):
    with pools.slot(instance, "gpu", "one", MemoryLog()):
        thread, log, had = waiting(instance)
        until(lambda: log.lines)
        instance.event_log_storage.set_concurrency_slots("gpu", 2)
        thread.join(10)
        assert had.is_set() and pools.limit_of(instance, "gpu") == 2 and pools.limit_of(instance, "cpu") == 1
        with pools.slot(instance, "gpu", "two", MemoryLog()):
            third, log, _ = waiting(instance)
            until(lambda: log.lines)
            assert log.lines == ["waits for the pool gpu: one, two"]
    third.join(10)
    instance.event_log_storage.set_concurrency_slots("gpu", 0)
    stopped, log, had = waiting(instance)
    until(lambda: log.lines)
    assert log.lines == ["waits for the pool gpu: its limit is 0"] and not had.is_set()
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    stopped.join(10)


def test_an_instance_without_limits_has_none(log):
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pools.slot(instance, "gpu", "one", log),
        pools.slot(instance, "gpu", "two", log),
    ):
        assert not log.lines


def test_every_asset_and_gate_of_a_job_is_in_one_pool():
    """A run holds every pool that a step of it names."""
    for name, pool in (("corpus", "cpu"), ("model", "gpu")):
        assert {node.definition.pool for node in defs.resolve_job_def(name).nodes} == {pool}
