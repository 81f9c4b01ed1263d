"""Where a stage runs: in this process, in a process of its own, or under torchrun. No recipe contains it.

`CRIA_LAUNCHER` overrides the choice of the scale: inline | subprocess | torchrun.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from data_cleaning.paths import path_from
from orchestration import execution, records
from orchestration.processes import environment_of_a_worker
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
    "modeling.safety.chat_model",
}
BY_SCALE = {"gpu": "subprocess", "7b": "torchrun", "13b": "torchrun", "34b": "torchrun", "70b": "torchrun"}


class WorkerKilledError(Exception):
    """A signal ended the worker. A retry continues it; the user need not correct anything."""


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


def launcher_name(stage: Stage, partition: str | None) -> str:
    """Returns the launcher: only stages of modeling leave this process, only those with a Trainer use all devices."""
    name = os.environ.get("CRIA_LAUNCHER", BY_SCALE.get(partition or "", "inline"))
    if name not in ("inline", "subprocess", "torchrun"):
        raise execution.StageError(f"CRIA_LAUNCHER={name}: use inline, subprocess or torchrun")
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
    return _in_a_process(planned, log, torchrun=name == "torchrun"), False


def worker_command(stage: Stage, partition: str | None, torchrun: bool) -> list[str]:
    """Returns the command that starts the worker: one process, or one per device of the node."""
    start = [sys.executable, "-m"]
    if torchrun:
        start += ["orchestration.torchrun", "--standalone", "--nproc-per-node", "gpu", "-m"]
    return [*start, "orchestration.worker", stage.key, *([partition] if partition else [])]


def _in_a_process(planned: execution.Plan, log: Any, torchrun: bool) -> dict:
    """Runs the worker and returns the record it published: an exit code of 0 alone proves nothing."""
    follow(planned.stage.key, worker_command(planned.stage, planned.partition, torchrun), log)
    record = records.read(planned.final)
    if record is None or record["fingerprint"] != planned.fingerprint:
        raise execution.StageError(f"{planned.stage.key}: the worker ended without publishing what was asked for")
    return record


def follow(key: str, command: list[str], log: Any) -> None:
    """Runs the worker of stage `key` and forwards its output. Raises WorkerKilledError, or StageError if it failed."""
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment_of_a_worker(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        last = ""
        for line in process.stdout:
            last = line.rstrip() or last
            log.info(line.rstrip())
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise WorkerKilledError(f"{key}: {name} ended the worker; started again, it continues. It said last: {last}")
    if process.returncode:
        raise execution.StageError(f"{key}: the worker stopped with {process.returncode}: {last}")
