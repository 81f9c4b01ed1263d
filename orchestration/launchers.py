"""Where a stage runs: in this process, in one of its own, or under torchrun. Never part of a recipe.

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
from orchestration.stage import Gate, Stage
from orchestration.store import CHECKOUT

# glibc maps and unmaps large tensors at each step and page faults dominate: these made CPU training five times faster.
# They hold only for processes started after they are set. One arena: the graph runs beside the main thread, whose arena alone
# keeps what it was given.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1",
}
# No hub at run time, and the libraries' own bars and warnings stay out of the progress lines.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "GRADIO_ANALYTICS_ENABLED": "False",
}
PATHS = ("CRIA_STORE", "CRIA_CACHE", "CRIA_SOURCES", "DAGSTER_HOME")
TRAINERS = {
    "modeling.pretraining.base_model",
    "modeling.finetuning.sft",
    "modeling.rlhf.reward_model",
    "modeling.rlhf.policy",
    "modeling.safety.chat_model",
}
BY_SCALE = {"gpu": "subprocess", "7b": "torchrun", "13b": "torchrun", "34b": "torchrun", "70b": "torchrun"}


class WorkerKilledError(Exception):
    """A signal ended the worker. Nothing a person has to mend first: tried again, it continues."""


def prepare_environment() -> bool:
    """Sets what child processes need; True where this process itself was started without it.

    Paths are made absolute here, once: a child may be started in another folder. Raises ValueError where one cannot be expanded.
    """
    for variable in PATHS:
        if os.environ.get(variable):
            os.environ[variable] = str(path_from(variable, CHECKOUT))
    missing = any(name not in os.environ for name in ALLOCATOR)
    for name, value in {**ALLOCATOR, **QUIET}.items():
        os.environ.setdefault(name, value)
    return missing


def launcher_name(stage: Stage, partition: str | None) -> str:
    """Only stages of modeling leave this process; of those, only the ones built on a Trainer use every device."""
    name = os.environ.get("CRIA_LAUNCHER", BY_SCALE.get(partition or "", "inline"))
    if name not in ("inline", "subprocess", "torchrun"):
        raise execution.StageError(f"CRIA_LAUNCHER={name}: use inline, subprocess or torchrun")
    if not stage.module.startswith("modeling."):
        return "inline"
    return "subprocess" if name == "torchrun" and stage.module not in TRAINERS else name


def materialize(
    stage: Stage, partition: str | None, log: Any, gates: Sequence[Gate] = (), begin: Callable[[], None] = lambda: None
) -> tuple[dict, bool]:
    """The artifact's record and whether it was reused; `gates` have to have passed the parents.

    `begin` is called where there is something to make. Raises StageError, WorkerKilledError, or what the stage raised.
    """
    planned = execution.plan(stage, partition, gates)
    record = execution.reusable(planned)
    if record is not None:
        return record, True
    begin()
    name = launcher_name(stage, partition)
    if name == "inline":
        return execution.build(planned, log, execution.run_inline)
    record = execution.settle(planned, log)  # the processes of a worker must not disagree on whether there is work
    if record is not None:
        return record, True
    return _in_a_process(planned, log, torchrun=name == "torchrun"), False


def worker_command(stage: Stage, partition: str | None, torchrun: bool) -> list[str]:
    """What starts the worker: one process, or one a device of the node."""
    start = [sys.executable, "-m"]
    if torchrun:
        start += ["orchestration.torchrun", "--standalone", "--nproc-per-node", "gpu", "-m"]
    return [*start, "orchestration.worker", stage.key, *([partition] if partition else [])]


def _in_a_process(planned: execution.Plan, log: Any, torchrun: bool) -> dict:
    """Runs the worker and trusts only the record it published: an exit code of 0 alone proves nothing."""
    follow(planned.stage.key, worker_command(planned.stage, planned.partition, torchrun), log)
    record = records.read(planned.final)
    if record is None or record["fingerprint"] != planned.fingerprint:
        raise execution.StageError(f"{planned.stage.key}: the worker ended without publishing what was asked for")
    return record


def follow(key: str, command: list[str], log: Any) -> None:
    """Runs the worker of stage `key` and passes on what it says. Raises WorkerKilledError, or StageError where it failed."""
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        last = ""
        for line in process.stdout:
            last = line.rstrip() or last
            log.info(line.rstrip())
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise WorkerKilledError(f"{key}: {name} ended the worker; started again, it continues. It said last: {last}")
    if process.returncode:
        raise execution.StageError(f"{key}: the worker stopped with {process.returncode}: {last}")
