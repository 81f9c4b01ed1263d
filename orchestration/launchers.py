"""Where a stage runs: in this process, in a process of its own, or under torchrun. No recipe contains it.

`CRIA_LAUNCHER` overrides the choice of the scale: inline | subprocess | torchrun. A worker that neither prints a line nor
trains a step for `CRIA_HEARTBEAT_MINUTES` counts as hung and is ended.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_cleaning.paths import path_from
from data_cleaning.store_layout import HEARTBEAT
from orchestration import execution, records
from orchestration.processes import environment_of_a_worker, kill_with_children
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
LAST_LINES = 20  # of a failed worker's output
LOOK_AGAIN_S = 1.0
# Longer than the silence between two lines of any stage, and than processes of one training wait for each other
# (modeling/core/runtime.py: LONGEST_WAIT).
HEARTBEAT_MINUTES = 180.0


class WorkerKilledError(Exception):
    """A signal ended the worker, or it hung. A retry continues it; the user need not correct anything."""


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
    """Returns the launcher: only stages of modeling leave this process, and torchrun starts those with a Trainer.

    Stages that generate use all devices from one process (modeling/core/replicas.py).
    """
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
    command = worker_command(planned.stage, planned.partition, torchrun)
    last = follow(planned.stage.key, command, log, planned.work / HEARTBEAT)
    record = records.read(planned.final)
    if record is None or record["fingerprint"] != planned.fingerprint:
        raise execution.StageError(
            f"{planned.stage.key}: the worker ended without publishing what was asked for{_tail(last)}"
        )
    return record


def heartbeat_seconds() -> float:
    """Returns how long a worker may be silent, from CRIA_HEARTBEAT_MINUTES. Raises StageError if that is no number."""
    stated = os.environ.get("CRIA_HEARTBEAT_MINUTES", HEARTBEAT_MINUTES)
    try:
        return 60 * float(stated)
    except ValueError:
        raise execution.StageError(f"CRIA_HEARTBEAT_MINUTES={stated}: use a number of minutes") from None


def follow(key: str, command: list[str], log: Any, heartbeat: Path | None = None) -> list[str]:
    """Runs the worker of stage `key`, forwards its output and returns its last lines.

    The worker touches the file `heartbeat` while it works without a word. Raises WorkerKilledError if a signal ended it
    or it hung, StageError if it failed. Both name its last lines.
    """
    bound = heartbeat_seconds()
    last: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment_of_a_worker(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        hung = False
        for line in _lines(process, heartbeat, bound):
            hung = line is None
            if line:
                last.append(line)
                log.info(line)
        if hung:
            kill_with_children(process.pid)
    said = last[-1] if last else ""
    if hung:
        raise WorkerKilledError(
            f"{key}: the worker hung: no line and no step for {bound / 60:g} minutes (CRIA_HEARTBEAT_MINUTES). "
            f"It was ended; started again, it continues. It said last: {said}{_tail(last)}"
        )
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise WorkerKilledError(
            f"{key}: {name} ended the worker; started again, it continues. It said last: {said}{_tail(last)}"
        )
    if process.returncode:
        raise execution.StageError(f"{key}: the worker stopped with {process.returncode}: {said}{_tail(last)}")
    return list(last)


def _lines(process: subprocess.Popen, heartbeat: Path | None, bound: float) -> Iterator[str | None]:
    """Yields the lines of a process until it ends its output; None and no more after `bound` silent seconds."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    heard = time.time()
    while True:
        try:
            line = lines.get(timeout=LOOK_AGAIN_S)
        except queue.Empty:
            if heartbeat is not None and heartbeat.exists():
                heard = max(heard, heartbeat.stat().st_mtime)
            if time.time() - heard > bound:
                yield None
                return
            continue
        if line is None:
            return
        heard = time.time()
        yield line


def _tail(last: Sequence[str]) -> str:
    """Returns the last lines as a block under a message; nothing if the message names the only one."""
    return "\nIts last lines:\n" + "\n".join(last) if len(last) > 1 else ""
