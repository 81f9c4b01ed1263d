"""Stages on a real Ray cluster of two nodes: the bytes of torchrun, also after a lost node; nothing is left of lost workers."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import dagster as dg
import psutil
import pytest

from orchestration import devices, launchers, preflight, ray_workers, records
from orchestration.execution import StageError
from orchestration.listening import WorkerKilledError
from orchestration.machine import Machine
from orchestration.pools import try_lock
from orchestration.store import CHECKOUT, store
from tests import on_ray as rays
from tests.conftest import MemoryLog
from tests.orchestration.toy import toy

MARK = "a worker of test_ray_workers"
PEER = f"""
# {MARK}
import os, sys, time
print("step", os.environ["RANK"], flush=True)
if os.environ["RANK"] == "1":
    {{}}
time.sleep(600)
"""


@pytest.fixture(scope="module")
def cluster():
    with rays.cluster(2) as started:
        yield started


@pytest.fixture
def two_workers(cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("CRIA_LAUNCHER", "ray")
    monkeypatch.setenv("CRIA_RAY_WORKERS", "2")
    return cluster


@pytest.fixture(autouse=True)
def asked_anew():
    ray_workers.capacity.cache_clear()


class ListeningLog(MemoryLog):
    """Calls `hears` with each line at once."""

    def __init__(self, hears) -> None:
        super().__init__()
        self.hears = hears

    def info(self, text: str) -> None:
        super().info(text)
        self.hears(text)


def follow(code: str, log, **variables: str) -> list[str]:
    team = ray_workers.team(trains=True, needs_gpu=False)
    return ray_workers.follow("toy", [sys.executable, "-c", code], team, variables, log, store() / "heartbeat")


def of_workers(mark: str = MARK) -> list[psutil.Process]:
    """The processes of this machine whose command holds the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            found += [process] if mark in " ".join(process.cmdline()) else []
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


VARIABLES = """
import json, os, sys
import data_cleaning
names = "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE CUDA_VISIBLE_DEVICES CRIA_STORE CRIA_COMMIT TOY".split()
said = {name: os.environ.get(name) for name in names}
print(json.dumps({**said, "code": data_cleaning.__file__, "master": int(os.environ["MASTER_PORT"]) > 0}), flush=True)
"""


def test_workers_get_what_torch_needs_the_settings_and_the_code(two_workers, log):
    last = follow(VARIABLES, log, TOY="set before it starts")
    assert any(line.startswith("2 workers on 2 nodes of ") for line in log.lines)
    said = {line.startswith("[1]"): json.loads(line.removeprefix("[1] ")) for line in last}
    for rank in (0, 1):
        of_rank = said[rank == 1]
        assert {name: of_rank[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")} == {
            "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"
        }  # fmt: skip
        assert of_rank["CUDA_VISIBLE_DEVICES"] == "" and of_rank["TOY"] == "set before it starts" and of_rank["master"]
        assert of_rank["CRIA_STORE"] == os.environ["CRIA_STORE"]
        assert json.loads(of_rank["CRIA_COMMIT"]) == records.git_state()
        assert not Path(of_rank["code"]).is_relative_to(CHECKOUT), "workers are sent the code"
    assert not rays.ray.is_initialized()
    assert not list((store() / ".work").iterdir())


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("os.kill(os.getpid(), 9)", WorkerKilledError, "toy: SIGKILL ended the worker; started again, it continues"),
        ("sys.exit('no such file')", StageError, "toy: the worker stopped with 1: "),
        ("pass", WorkerKilledError, "toy: the worker hung: no line and no step for 0.2 minutes"),
        (
            "time.sleep(3); os.kill(os.getppid(), 9)",
            WorkerKilledError,
            "toy: the loss of a process or node of the Ray cluster ended",
        ),
    ],
    ids=["killed", "failed", "hung", "lost"],
)
def test_a_faulty_worker_shows_its_last_lines_and_its_peers_end(fault, error, said, two_workers, log, monkeypatch):
    monkeypatch.setattr(ray_workers, "SETTLE_S", 1.0)
    monkeypatch.setenv("CRIA_HEARTBEAT_MINUTES", "0.2")
    with pytest.raises(error, match=said) as raised:
        follow(PEER.format(fault), log)
    assert "[1] step 1" in str(raised.value)
    _, alive = psutil.wait_procs(of_workers(), timeout=20)
    assert not alive


@rays.on_a_quiet_machine
def test_lines_come_as_they_are_said_also_to_a_program_outside_the_cluster(two_workers, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", two_workers.client)
    monkeypatch.setenv("CRIA_RAY_WORKERS", "1")
    go = tmp_path / "go"
    code = f"import pathlib, time\nprint('asks', flush=True)\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.1)"
    assert follow(code, ListeningLog(lambda line: go.touch() if line == "asks" else None)) == ["asks"]


LAUNCHES = """
import os, sys
from pathlib import Path
from orchestration import ray_workers
class Log:
    def info(self, text): print(text, flush=True)
team = ray_workers.team(trains=True, needs_gpu=True)
ray_workers.follow("first", [sys.executable, "-c", sys.argv[1]], team, {}, Log(), Path("heartbeat"))
"""
NVIDIA_SMI = """#!/bin/sh
case "$1" in
  *memory.total*) echo 81559; echo 81559 ;;
  *) printf '0, GPU-one\\n1, GPU-two\\n' ;;
esac
"""


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """The lock of the second of two GPUs that this machine and its children have, by a driver without devices."""
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "cria-gpus").mkdir()
    return tmp_path / "cria-gpus" / "GPU-two.lock"


SAYS_GPUS = (
    f"# {MARK}\nimport os\nprint(*(os.environ[name] for name in ('CUDA_VISIBLE_DEVICES', 'LOCAL_RANK')), flush=True)\n"
)


@rays.on_a_quiet_machine
def test_no_gpu_belongs_to_two_stages_and_a_killed_launcher_gives_its_gpus_back(two_workers, lock, monkeypatch):
    """And a run without Ray may hold one of them."""
    node = two_workers.add_node(num_cpus=2, num_gpus=2)
    two_workers.wait_for_nodes()
    monkeypatch.delenv("CRIA_RAY_WORKERS")
    command = [sys.executable, "-c", LAUNCHES, SAYS_GPUS + "import time; time.sleep(600)"]
    with (
        subprocess.Popen(command, cwd=CHECKOUT, text=True, stdout=subprocess.PIPE) as first,
        contextlib.ExitStack() as other,
    ):
        told: list[str] = []
        while len(told) < 2:
            line = first.stdout.readline()
            assert line
            told += [line.strip()] if "0,1" in line else []
        assert sorted(told) == ["0,1 0", "[1] 0,1 1"]
        held = of_workers()

        def hears(line: str) -> None:
            if line.startswith("waits for 2 workers, each with 1 cores and 1 GPUs: the Ray cluster has"):
                assert try_lock(lock, "the other run") is None
                first.kill()
                other.enter_context(devices.held(["GPU-two"], "the other run", MemoryLog()))
            elif line.startswith("waits for the GPU"):
                other.close()

        log = ListeningLog(hears)
        assert sorted(follow(SAYS_GPUS, log)) == ["0,1 0", "[1] 0,1 1"]
        assert "waits for the GPU GPU-two: the other run" in log.lines
        _, alive = psutil.wait_procs(held, timeout=20)
        assert len(held) >= 2 and not alive
    preflight.check_fit("7b")
    with pytest.raises(StageError, match="scale 70b does not fit the Ray cluster: .*the Ray cluster has 171 GB"):
        preflight.check_fit("70b")
    two_workers.remove_node(node)


@pytest.mark.parametrize(("launcher", "free"), [("inline", False), ("ray", True)])
def test_a_run_on_ray_leaves_the_gpus_of_its_machine_to_the_workers(launcher, free, lock, log, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setenv("CRIA_LAUNCHER", launcher)
    monkeypatch.setattr(preflight, "check_fit", lambda scale: None)
    with dg.DagsterInstance.ephemeral() as instance, contextlib.ExitStack() as held:
        run = dg.DagsterRun(job_name="model", run_id="0" * 32)
        Machine(instance, run, held, print).take(toy("first"), "tiny", log)
        assert (try_lock(lock, "the other run") is not None) == free


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("CRIA_LAUNCHER", "ray")
        with pytest.raises(StageError, match="no Ray cluster answers at 127.0.0.1:.*: set RAY_ADDRESS"):
            preflight.check_fit("70b")


def test_a_scale_for_gpus_does_not_start_on_a_cluster_without(two_workers):
    preflight.check_fit("laptop")
    with pytest.raises(StageError, match="scale gpu does not fit the Ray cluster.*the Ray cluster has no GPU"):
        preflight.check_fit("gpu")


@rays.on_a_quiet_machine
@pytest.mark.timeout(1800)  # two minutes on an idle machine: six processes load torch and train
def test_a_lost_node_and_the_same_stage_again_end_with_the_bytes_of_torchrun(two_workers, log, tmp_path, monkeypatch):
    from tests.orchestration import toy_pretraining as toys
    from tests.orchestration import toy_pretraining_worker as worker

    command = ["-m", worker.__name__, toys.STAGE.key, "tiny"]
    torchrun = ["-m", "orchestration.torchrun", "--standalone", "--nproc-per-node", "2"]
    with monkeypatch.context() as patch:
        for name, value in {**launchers.ALLOCATOR, "CRIA_LAUNCHER": "torchrun"}.items():
            patch.setenv(name, value)
        patch.setenv("CRIA_STORE", str(tmp_path / "of-torchrun"))
        patch.setattr(launchers, "worker_command", lambda *_: [sys.executable, *torchrun, *command])
        for part in toys.PARTS.values():
            launchers.materialize(part, "tiny", log)
        expected, _ = launchers.materialize(toys.STAGE, "tiny", log)
    for part in toys.PARTS.values():
        launchers.materialize(part, "tiny", log)
    monkeypatch.setattr(launchers, "worker_command", lambda *_: [sys.executable, *command])
    (store() / worker.HOLD).touch()

    def end_the_node() -> None:
        while not (store() / worker.HELD).exists():
            time.sleep(0.1)
        (store() / worker.HOLD).unlink()
        doomed = rays.node_of(two_workers, int((store() / worker.HELD).read_text()))
        two_workers.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=end_the_node, daemon=True)
    killer.start()
    with pytest.raises(WorkerKilledError, match="toy_model: the loss of a process or node of the Ray cluster"):
        launchers.materialize(toys.STAGE, "tiny", log)
    killer.join()
    _, alive = psutil.wait_procs(of_workers(worker.__name__), timeout=20)
    assert not alive
    two_workers.add_node(num_cpus=1)
    log.lines.clear()
    record, reused = launchers.materialize(toys.STAGE, "tiny", log)
    assert not reused and any(f"Continuing from checkpoint-{worker.HELD_STEP}" in line for line in log.lines)
    assert record["content"] == expected["content"]
    assert record["git"] == records.git_state()
