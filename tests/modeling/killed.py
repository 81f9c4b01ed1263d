"""A training killed at a step: what it leaves behind must continue to the same bytes."""

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from modeling.core import training


def assert_kill_changes_no_byte(
    run: Callable, recipe, inputs: dict, folder: Path, log, monkeypatch, files: Sequence[str], every: int, step: int
) -> None:
    """Run once whole and once killed (SIGKILL) after `step` steps, with a checkpoint `every` so many, and compare `files`."""

    class Killed(training.Checkpoints):
        def on_step_end(self, args, state, control, **kwargs):
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)

    whole, killed = folder / "whole", folder / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", functools.partial(training.fit, checkpoint_steps=every))
        run(recipe, inputs, whole, log)
        patch.setattr(training, "Checkpoints", Killed)
        victim = multiprocessing.get_context("fork").Process(target=run, args=(recipe, inputs, killed, log))
        victim.start()
        victim.join()
    assert victim.exitcode == -signal.SIGKILL
    last = f"checkpoint-{step // every * every}"
    assert (killed / "_scratch/checkpoints" / last / training.COMPLETE).exists()
    run(recipe, inputs, killed, log)
    assert f"Continuing from {last}" in log.lines
    for name in files:
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
