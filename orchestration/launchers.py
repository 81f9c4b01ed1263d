"""Where a stage runs: in this process, in a process of its own, under torchrun, on a Ray cluster, or as a Kubernetes Job.

No recipe contains it. `CRIA_LAUNCHER` overrides the choice of the scale: one of LAUNCHERS. A worker that neither prints a
line nor trains a step for `CRIA_HEARTBEAT_MINUTES` counts as hung and is ended.
"""

import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data_cleaning import ray_shards
from data_cleaning.paths import path_from
from data_cleaning.store_layout import HEARTBEAT
from orchestration import execution, k8s_jobs, k8s_manifest, records
from orchestration.listening import Listener
from orchestration.processes import environment_of_a_worker, kill_with_children, lines_of
from orchestration.stage import Gate, Stage
from orchestration.store import CHECKOUT

# By default glibc maps and unmaps tensors of a few MB at each step, and page faults dominate: these settings made CPU
# training five times faster. They affect only processes started after they are set. Blocks of 64 MB and more are mapped
# and given back at once: kept, they left holes, and the stages of one process filled 10 GB (LOG.md). One arena: the graph
# does not run on the main thread, whose arena is the only one that keeps freed memory.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1",
}
# No access to the hub at run time, and no progress bars or warnings of libraries between the progress lines.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "GRADIO_ANALYTICS_ENABLED": "False",
}
PATHS = ("CRIA_STORE", "CRIA_CACHE", "CRIA_SOURCES", "DAGSTER_HOME")
TRAINERS = {
    "modeling.pretraining.pretrain",
    "modeling.finetuning.sft",
    "modeling.rlhf.reward_model",
    "modeling.rlhf.policy",
    "modeling.rlhf.ppo.stage",
    "modeling.safety.chat_model",
}
BY_SCALE = {"gpu": "subprocess", "7b": "torchrun", "13b": "torchrun", "34b": "torchrun", "70b": "torchrun"}
LAUNCHERS = ("inline", "subprocess", "torchrun", "ray", "k8s")
ELSEWHERE = ("ray", "k8s")  # these give a stage its GPUs themselves
LOOK_AGAIN_S = 1.0
SEEN_WITHIN_S = 120.0  # an NFS client may show an old folder for a minute


def prepare_environment() -> bool:
    """Sets the environment of child processes; returns True if this process itself was started without it.

    Makes paths absolute, as a child may start in another folder. Raises ValueError if a path cannot be expanded.
    """
    for variable in PATHS:
        if os.environ.get(variable):
            os.environ[variable] = str(path_from(variable, CHECKOUT))
    missing = any(name not in os.environ for name in ALLOCATOR)
    for name, value in {**ALLOCATOR, **QUIET}.items():
        os.environ.setdefault(name, value)
    return missing


def stated_launcher(partition: str | None) -> str:
    """Returns the launcher of a scale, or the one that CRIA_LAUNCHER states. Raises StageError if that is none."""
    name = os.environ.get("CRIA_LAUNCHER", BY_SCALE.get(partition or "", "inline"))
    if name not in LAUNCHERS:
        raise execution.StageError(f"CRIA_LAUNCHER={name}: use one of {', '.join(LAUNCHERS)}")
    if name == "ray" and not ray_shards.wanted():
        raise execution.StageError("CRIA_LAUNCHER=ray needs a cluster: set RAY_ADDRESS to its address")
    if name == "k8s":
        k8s_jobs.launchable()
    return name


def launcher_name(stage: Stage, partition: str | None) -> str:
    """Returns the launcher: only stages of modeling leave this process, and torchrun starts those with a Trainer.

    Stages that generate use all devices from one process (modeling/core/replicas.py).
    """
    name = stated_launcher(partition)
    if not stage.module.startswith("modeling."):
        return "inline"
    return "subprocess" if name == "torchrun" and stage.module not in TRAINERS else name


def materialize(
    stage: Stage, partition: str | None, log: Any, gates: Sequence[Gate] = (), begin: Callable[[], None] = lambda: None
) -> tuple[dict, bool]:
    """Returns the artifact's record and whether it was reused; `gates` must have passed the parents.

    Calls `begin` if there is work to do. Raises StageError, WorkerKilledError, or the stage's own exception.
    """
    planned = execution.plan(stage, partition, gates)
    record = execution.reusable(planned)
    if record is not None:
        return record, True
    begin()
    name = launcher_name(stage, partition)
    if name == "inline":
        return execution.build(planned, log, execution.run_inline)
    record = execution.settle(planned, log)  # a worker's processes must agree on whether there is work
    if record is not None:
        return record, True
    return _by_a_worker(planned, log, name), False


def worker_command(stage: Stage, partition: str | None, torchrun: bool) -> list[str]:
    """Returns the command that starts the worker: one process, or one per device of the node."""
    start = [sys.executable, "-m"]
    if torchrun:
        start += ["orchestration.torchrun", "--standalone", "--nproc-per-node", "gpu", "-m"]
    return [*start, "orchestration.worker", stage.key, *([partition] if partition else [])]


def _by_a_worker(planned: execution.Plan, log: Any, launcher: str) -> dict:
    """Runs the worker and returns the record it published: an exit code of 0 alone proves nothing."""
    stage, heartbeat = planned.stage, planned.work / HEARTBEAT
    asked = k8s_manifest.stated_resources() if launcher == "k8s" else {}
    several = stage.module in TRAINERS and k8s_manifest.gpus(asked) > 1
    command = worker_command(stage, planned.partition, several or launcher == "torchrun")
    if launcher == "k8s":
        last = k8s_jobs.follow(stage.key, command, asked, {**ALLOCATOR, **QUIET}, log, heartbeat)
        record = _published(planned, SEEN_WITHIN_S)
    elif launcher == "ray":
        from orchestration import ray_workers

        team = ray_workers.team(stage.module in TRAINERS, planned.partition in BY_SCALE)
        last = ray_workers.follow(stage.key, command, team, {**ALLOCATOR, **QUIET}, log, heartbeat)
        record = _published(planned, SEEN_WITHIN_S)
    else:
        last = follow(stage.key, command, log, heartbeat)
        record = _published(planned)
    if record is None:
        said = "\nIts last lines:\n" + "\n".join(last) if last else ""
        raise execution.StageError(f"{stage.key}: the worker ended without publishing what was asked for{said}")
    return record


def _published(planned: execution.Plan, patience_s: float = 0.0) -> dict | None:
    """Returns the record of what was asked for once it appears here, within `patience_s`; else None."""
    deadline = time.monotonic() + patience_s
    while True:
        record = records.read(planned.final)
        if record is not None and execution.matches(planned, record):
            return record
        if time.monotonic() >= deadline:
            return None
        time.sleep(LOOK_AGAIN_S)


def follow(key: str, command: list[str], log: Any, heartbeat: Path | None = None) -> list[str]:
    """Runs the worker of stage `key`, forwards its output and returns its last lines.

    The worker touches the file `heartbeat` while it works without a word. Raises WorkerKilledError if a signal ended it
    or it hung, StageError if it failed. Both name its last lines.
    """
    listener = Listener(key, log, heartbeat)
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment_of_a_worker(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        lines = lines_of(process)
        while True:
            try:
                line = lines.get(timeout=LOOK_AGAIN_S)
            except queue.Empty:
                if listener.hung():
                    kill_with_children(process.pid)
                    raise listener.hung_error() from None
                continue
            if line is None:
                break
            listener.hear(line)
    if process.returncode:
        raise listener.error(process.returncode)
    return list(listener.last)
