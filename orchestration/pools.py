"""Pools limit how many runs of a kind may work on this machine at once, however they were started.

Dagster's queue limits runs that the UI or a sensor launches, but `make run` bypasses the queue. Both take a slot here:
a file lock, which the kernel frees when the process ends.
"""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.stage import SCALE, Stage

CPU, GPU = "cpu", "gpu"
LOOK_AGAIN_S = 1.0


def pool_of(stage: Stage) -> str:
    """Returns the stage's pool: corpora and models have separate pools, so neither waits for the other's long runs."""
    return GPU if stage.axis == SCALE else CPU


def limit_of(instance: dg.DagsterInstance, pool: str) -> int | None:
    """Returns the number of runs that may work in a pool at once (the instance's settings); None without a limit."""
    limits = {
        known.name: known.limit for known in instance.event_log_storage.get_pool_limits() if not known.from_default
    }
    return limits.get(pool, instance.global_op_concurrency_default_limit)


def try_lock(file: Path, holder: str) -> Any | None:
    """Returns the open, locked file of a slot; None if another process holds it."""
    slot = file.open("a+", encoding="utf-8")
    try:
        fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        slot.close()
        return None
    slot.truncate(0)
    slot.write(holder)
    slot.flush()
    return slot


@contextlib.contextmanager
def slot(instance: dg.DagsterInstance, pool: str, holder: str, log: Any) -> Iterator[None]:
    """Holds one slot of a pool for `holder`. Waits while all are taken, and logs once who has them.

    It reads the limit again at each attempt, so that a person can raise it meanwhile.
    """
    folder = Path(instance.root_directory) / "pools"
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while (limit := limit_of(instance, pool)) is not None:
        files = [folder / f"{pool}-{number}.lock" for number in range(limit)]
        held = next((held for file in files if (held := try_lock(file, holder))), None)
        if held:
            with held:
                yield
            return
        if not told:
            holders = ", ".join(file.read_text(encoding="utf-8") or "a run that has just begun" for file in files)
            log.info(f"waits for the pool {pool}: {holders or f'its limit is {limit}'}")
            told = True
        time.sleep(LOOK_AGAIN_S)
    yield
