"""`make run` stops at once when it is told to and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from orchestration import interrupts
from orchestration.store import CHECKOUT

# Dagster, on the main thread, would take the signal for a step that failed, try it again and go on.
PROGRAM = """
import subprocess, sys, time
import dagster as dg
from orchestration.interrupts import interruptible

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
        assert interrupts.interruptible(lambda: 3) == 3
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
