"""Two runs never hold the same GPU, also with two pools, and a killed one gives its GPUs back."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from orchestration import devices
from orchestration.store import CHECKOUT
from tests.conftest import MemoryLog

HOLD = """
import sys, time
from orchestration import devices
from tests.conftest import MemoryLog
with devices.held(sys.argv[1:], "the other run", MemoryLog()):
    print("holds", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the locks, for this process and its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(devices, "LOOK_AGAIN_S", 0.02)


def test_a_run_waits_for_a_gpu_that_another_holds_until_that_one_is_killed():
    with subprocess.Popen([sys.executable, "-c", HOLD, "GPU-b", "GPU-c"], cwd=CHECKOUT, text=True,
                          stdout=subprocess.PIPE) as other:  # fmt: skip
        assert other.stdout.readline() == "holds\n"
        with devices.held(["GPU-a"], "this run", MemoryLog()):
            pass
        log, had = MemoryLog(), threading.Event()

        def work() -> None:
            with devices.held(["GPU-c", "GPU-a"], "this run", log):
                had.set()

        waiting = threading.Thread(target=work, daemon=True)
        waiting.start()
        while not log.lines:
            assert waiting.is_alive()
        assert log.lines == ["waits for the GPU GPU-c: the other run"] and not had.is_set()
        other.send_signal(signal.SIGKILL)
        other.wait()
        waiting.join()
        assert had.is_set()


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        (None, ["GPU-one", "GPU-two"]),
        ("1", ["GPU-two"]),
        ("GPU-two, 0", ["GPU-one", "GPU-two"]),
        ("", []),
        ("-1", []),
        ("MIG-seven", ["MIG-seven"]),
    ],
)
def test_the_gpus_are_those_that_the_process_may_use(stated, found, tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, GPU-one\\n1, GPU-two\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if stated is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    assert devices.visible_gpus() == found


def test_a_machine_without_the_tool_has_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible_gpus() == []


def test_the_locks_are_in_the_folder_of_temporary_files(tmp_path):
    with devices.held(["GPU-a"], "this run", MemoryLog()):
        assert (tmp_path / "cria-gpus" / "GPU-a.lock").read_text() == "this run"
    assert Path(tempfile.gettempdir()) == tmp_path
