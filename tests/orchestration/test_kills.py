"""A build can be killed before any of its steps on disk, and two may meet: the artifact is the same, and nothing is left over."""

import multiprocessing
import os
import sys
import threading
import time

import pytest

from orchestration import execution, manifest
from orchestration.launchers import materialize
from orchestration.store import artifact, store
from tests.conftest import MemoryLog
from tests.orchestration.toy import toy

TOUCHES_THE_DISK = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


def trainer():
    return toy("model", module="tests.orchestration.toy_trainer")


def _die_before_touch(number: int) -> None:
    """Materializes, and dies before it touches the store for the `number`-th time, counted from 0."""
    touched = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal touched
        # rmtree names what it removes by file descriptor: relative paths count too.
        if event in TOUCHES_THE_DISK and not (os.path.isabs(arguments[0]) and str(store()) not in str(arguments[0])):
            if touched == number:
                os._exit(9)
            touched += 1

    sys.addaudithook(watch)
    materialize(trainer(), "tiny", MemoryLog())
    os._exit(0)


@pytest.mark.parametrize("damaged_before", [False, True])
def test_killed_before_any_touch_of_the_disk_it_ends_with_the_same_content(damaged_before, tmp_path, monkeypatch):
    whole, _ = materialize(trainer(), "tiny", MemoryLog())
    died = 0
    while True:
        monkeypatch.setenv("CRIA_STORE", str(tmp_path / f"killed-{died}"))
        if damaged_before:  # then there is something to replace
            materialize(trainer(), "tiny", MemoryLog())
            (artifact("model", "tiny") / "model").write_text("spoiled")
        process = multiprocessing.get_context("fork").Process(target=_die_before_touch, args=(died,))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        record, _ = materialize(trainer(), "tiny", MemoryLog())
        assert record["content"] == whole["content"], f"killed before touch {died}"
        assert manifest.verify(artifact("model", "tiny"), record) is None
        assert not list(execution.plan(trainer(), "tiny").work.parent.glob("*"))
        died += 1
    assert died > 30
    materialize(toy("next"), "tiny", MemoryLog())
    assert not list((store() / ".trash").iterdir())


def test_what_a_kill_left_in_the_trash_goes_with_the_next_build(log):
    left = store() / ".trash" / "checkpoints-of-a-killed-process"
    left.mkdir(parents=True)
    (left / "large").touch()
    materialize(toy("first"), "tiny", log)
    assert not left.exists()


def test_finished_work_is_published_without_running_the_stage_again_unless_it_was_damaged(log):
    stage = toy("first")
    whole, _ = materialize(stage, "tiny", log)
    planned = execution.plan(stage, "tiny")
    os.rename(planned.final, planned.work)  # where a kill before the last rename leaves it
    assert materialize(stage, "tiny", log) == (whole, True)
    assert "was finished before it was stopped" in log.lines
    os.rename(planned.final, planned.work)
    (planned.work / "1.txt").write_text("spoiled")
    record, reused = materialize(stage, "tiny", log)
    assert not reused and record["content"] == whole["content"] and record["metrics"]["made_now"] == 3


def _make(waits_for: str) -> None:
    os.environ["TOY_WAITS_FOR"] = waits_for
    materialize(toy("shared"), "tiny", MemoryLog())


def test_the_second_of_two_waits_for_the_first_and_takes_what_it_made(log, tmp_path):
    """As when two new snapshots, each in its run, need what both share."""
    go = tmp_path / "go"
    first = multiprocessing.get_context("spawn").Process(target=_make, args=(str(go),))
    first.start()
    outcome = []
    try:
        begun = execution.plan(toy("shared"), "tiny").work / "1.txt"
        while not begun.exists():
            assert first.is_alive()
            time.sleep(0.01)
        second = threading.Thread(target=lambda: outcome.append(materialize(toy("shared"), "tiny", log)), daemon=True)
        second.start()
        while not log.lines:
            assert second.is_alive()
            time.sleep(0.01)
        assert log.lines == [f"waits for process {first.pid}, which is making it now"]
    finally:
        go.touch()
        first.join()
    second.join()
    record, reused = outcome[0]
    assert reused and record["metrics"]["made_now"] == 3 and first.exitcode == 0
