"""A run's share of the machine: a slot in a pool, held from the run's first stage with work to do until its end."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from data_cleaning.run_notice import announcing
from orchestration import devices, pools, preflight, records
from orchestration.launchers import ELSEWHERE, stated_launcher
from orchestration.processes import tags_of_this_process
from orchestration.stage import SCALE, Stage
from orchestration.store import artifact, store


class Machine:
    """One object per run; a run is one process, because jobs execute in process."""

    def __init__(
        self, instance: dg.DagsterInstance, run: dg.DagsterRun, held: contextlib.ExitStack, say: Callable[[str], None]
    ) -> None:
        self._instance, self._run, self._held, self._say = instance, run, held, say
        self._pools: set[str] = set()
        self._begun = 0

    def title(self, key: str, total: int) -> str:
        """Returns `[k/n] key`: the run begins its k-th stage of `total`, and announces it in the store."""
        self._begun += 1
        self._say(f"{key} ({self._begun} of {total})")
        return f"[{self._begun:2d}/{total}] {key}"

    def admit(self, stage: Stage, partition: str | None) -> None:
        """Raises StageError if nothing was made yet and the scale does not fit, before any other error is reported."""
        if stage.axis == SCALE and records.read(artifact(stage.key, partition)) is None:
            preflight.check_fit(partition)

    def take(self, stage: Stage, partition: str | None, log: Any) -> None:
        """Waits for a slot in the stage's pool, unless the run has one. StageError if scale or disk does not fit."""
        pool = pools.pool_of(stage)
        if pool in self._pools:
            return
        if stage.axis == SCALE:
            preflight.check_fit(partition)
        preflight.check_disk(stage.axis, partition)
        holder = (
            f"run {self._run.run_id[:8]} ({' '.join(filter(None, (stage.axis, partition)))}, process {os.getpid()})"
        )
        self._held.enter_context(pools.slot(self._instance, pool, holder, log))
        # On a Ray cluster, each worker holds its GPU itself (orchestration/ray_member.py): this machine may be a node.
        if pool == pools.GPU and stated_launcher(partition) not in ELSEWHERE:
            self._held.enter_context(devices.held(devices.visible_gpus(), holder, log))
        self._pools.add(pool)


@dg.resource(description="The run's slot in a pool of this machine, taken once it has work to do.")
def machine(context: dg.InitResourceContext) -> Iterator[Machine]:
    """Tags the run with its process, so that `close_dead_runs` detects a kill; frees the slots at the run's end."""
    context.instance.add_run_tags(context.run.run_id, tags_of_this_process(context.run.run_id))
    with contextlib.ExitStack() as held:
        yield Machine(context.instance, context.run, held, held.enter_context(announcing(store())))
