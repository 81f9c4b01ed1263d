"""Checkpoints of a sharded training: each process writes its share, any number of processes continues from them.

torch.distributed.checkpoint stores weights and optimizer state by name and reads back what each process holds now. The
checkpoint of a single process can be continued by several, and the other way round. It holds no random state: nothing
in these trainings draws random numbers after the order of the data, which is a function of seed and step.
"""

from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_utils import rotate_checkpoints

from modeling.core.runtime import main_process
from modeling.core.sharding import Stored, fill, is_sharded

SHARES = "shares"  # folder in a checkpoint


class ShardedCheckpoints:
    """Mixin of a Trainer. A process that trains alone writes the Trainer's own checkpoints."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not is_sharded(self.model):
            super()._save_checkpoint(model, trial)
            return
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        shares = {
            "model": get_model_state_dict(self.model),
            "optimizer": get_optimizer_state_dict(self.model, self._optimizer()),
        }
        dcp.save(shares, checkpoint_id=folder / SHARES)
        if main_process():
            torch.save(self.lr_scheduler.state_dict(), folder / SCHEDULER_NAME)
            self.state.save_to_json(str(folder / TRAINER_STATE_NAME))
            rotate_checkpoints(self.args.output_dir, save_total_limit=self.args.save_total_limit, use_mtime=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if (folder / SHARES).is_dir():
            weights = get_model_state_dict(self.model)
            dcp.load({"model": weights}, checkpoint_id=folder / SHARES)
            set_model_state_dict(self.model, weights)
        elif is_sharded(self.model):
            fill(self.model, Stored(folder) if main_process() else None)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        folder = Path(checkpoint) if checkpoint else None
        if folder is None or not (is_sharded(self.model) or (folder / SHARES).is_dir()):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        optimizer = self._optimizer()
        if (folder / SHARES).is_dir():
            state = get_optimizer_state_dict(self.model, optimizer)
            dcp.load({"optimizer": state}, checkpoint_id=folder / SHARES)
            set_optimizer_state_dict(self.model, optimizer, state)
        else:
            state = named(self.model, optimizer, folder / OPTIMIZER_NAME) if main_process() else {}
            options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
            set_optimizer_state_dict(self.model, optimizer, state, options=options)
        self.lr_scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))

    def _optimizer(self) -> torch.optim.Optimizer:
        return getattr(self.optimizer, "optimizer", self.optimizer)  # accelerate wraps it


def named(model: torch.nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> dict:
    """A single process's optimizer state with the names of the weights in place of their numbers."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    order = [names[id(weight)] for group in optimizer.param_groups for weight in group["params"]]
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return {
        "state": {order[number]: state for number, state in saved["state"].items()},
        "param_groups": [
            {**group, "params": [order[number] for number in group["params"]]} for group in saved["param_groups"]
        ],
    }
