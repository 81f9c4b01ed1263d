"""Tells the launcher that a training is alive: its log says nothing for ten steps, which can take hours."""

from pathlib import Path

from transformers import TrainerCallback

from data_cleaning.store_layout import HEARTBEAT


class Heartbeat(TrainerCallback):
    """Touches a file in the folder `out` after each micro-batch. If one of several processes hangs, all wait for it."""

    def __init__(self, out: Path) -> None:
        self.file = out / HEARTBEAT

    def on_substep_end(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.on_substep_end(args, state, control)
