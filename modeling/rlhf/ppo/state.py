"""The state of PPO between iterations and its checkpoints: safetensors and JSON, written atomically.

All randomness of an iteration follows from the recipe's seed and the iteration's number, so the number stands for the
random state and the position in the data. A checkpoint adds the weights and the optimizer moments.
"""

import json
import math
import os
import shutil
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from data_cleaning.files import replacing
from modeling.core import json_text, ranks, runtime, sharding
from modeling.core.recipes import OptimizerRecipe


@dataclass
class Progress:
    """The progress of a run, in plain values that JSON keeps unchanged."""

    iteration: int = 0
    history: list[dict] = field(default_factory=list)  # one row an iteration, row 0 is the policy PPO began with
    best: int = 0  # iteration with the highest held-out objective among those that no veto keeps back
    waited: int = 0  # evaluations since the best one
    first_refused: list[float] = field(default_factory=list)  # by ordinary held-out prompt, iteration 0
    first_texts: list[str] = field(default_factory=list)  # held-out responses of iteration 0
    best_texts: list[str] = field(default_factory=list)  # held-out responses of the best iteration

    def best_row(self) -> dict:
        """The row of the best iteration."""
        return next(row for row in self.history if row["iteration"] == self.best)


@dataclass(frozen=True)
class Learner:
    """A network and its AdamW optimizer."""

    model: nn.Module
    optimizer: torch.optim.Optimizer

    def step(self, gradient_clip: float) -> float:
        """Clip gradients, update, clear gradients. Returns the norm before clipping; skips the update if not finite."""
        norm = float(sharding.whole(nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip)))
        if math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm


def learner(model: nn.Module, recipe: OptimizerRecipe) -> Learner:
    """AdamW at a constant learning rate without warm-up (paper 3.2.3), no weight decay on norms and biases.

    It moves the parameters that require a gradient. Raises ValueError for a recipe with another schedule or warm-up.
    """
    if recipe.schedule != "constant" or recipe.warmup_steps or recipe.warmup_ratio:
        raise ValueError("PPO runs at a constant learning rate: schedule='constant', warmup_steps=0, warmup_ratio=0")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2), eps=recipe.epsilon, fused=True
    )
    return Learner(model, optimizer)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that learn by name, whole, on the CPU; a tied parameter appears once.

    Of processes that share a model all must call it. Only the main one gets them: no other has to hold a whole model.
    """
    return _whole(learning(model).items())


def _whole(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    found = {}
    for name, tensor in tensors:
        gathered = sharding.whole(tensor.detach())
        if runtime.main_process():
            found[name] = gathered.cpu().contiguous()
    return found


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def set_weights(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Copy the result of `weights` into a model with the same frozen layers. Raises ValueError if names differ."""
    parameters = learning(model)
    if parameters.keys() != saved.keys():
        raise ValueError(f"the checkpoint is of another model: {sorted(parameters.keys() ^ saved.keys())[:4]} differ")
    for name, parameter in parameters.items():
        parameter.copy_(sharding.share_of(saved[name], parameter))


def save_best(folder: Path, iteration: int, model: nn.Module) -> None:
    """Save the weights of an iteration beside the checkpoints, for release."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(_best(folder, iteration)) if runtime.main_process() else nullcontext() as part:
        _write(weights(model), part)
    ranks.wait()


def _write(tensors: dict[str, torch.Tensor], path: Path | None) -> None:
    """The main process alone has the tensors, and writes them."""
    if runtime.main_process():
        save_file(tensors, path)


def load_best(folder: Path, progress: Progress, model: nn.Module) -> None:
    """Load the best iteration's weights into the model."""
    set_weights(model, load_file(_best(folder, progress.best)))


def save(folder: Path, progress: Progress, learners: dict[str, Learner]) -> None:
    """Write a checkpoint of this iteration, then delete older ones and weights that are no longer the best.

    Any number of processes can continue from it. Every process must call it, and the main one writes.
    """
    partial = folder / "partial"
    if runtime.main_process():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    for name, part in learners.items():
        _write(weights(part.model), partial / f"{name}.safetensors")
        _write(_moments(part.optimizer), partial / f"{name}_optimizer.safetensors")
    if runtime.main_process():
        _complete(folder, partial, progress)
    ranks.wait()


def _complete(folder: Path, partial: Path, progress: Progress) -> None:
    (partial / "progress.json").write_text(json_text.dumps(asdict(progress)))
    target = folder / f"iteration-{progress.iteration:06d}"
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    for path in folder.glob("iteration-*"):
        if path != target:
            shutil.rmtree(path)
    for path in folder.glob("best-*"):
        if path != _best(folder, progress.best):
            path.unlink()


def restore(folder: Path, learners: dict[str, Learner]) -> Progress | None:
    """Load the newest checkpoint into the learners and return its progress; None if there is no checkpoint."""
    newest = max(folder.glob("iteration-*"), default=None)
    if newest is None:
        return None
    for name, part in learners.items():
        set_weights(part.model, load_file(newest / f"{name}.safetensors"))
        _set_moments(part.optimizer, load_file(newest / f"{name}_optimizer.safetensors"))
    return Progress(**json.loads((newest / "progress.json").read_text()))


def _best(folder: Path, iteration: int) -> Path:
    return folder / f"best-{iteration:06d}.safetensors"


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return _whole((f"{index}.{key}", value) for index, slot in state.items() for key, value in slot.items())


def _set_moments(optimizer: torch.optim.Optimizer, saved: dict[str, torch.Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in saved.items():
        index, key = name.split(".")
        weight = parameters[int(index)]
        state.setdefault(int(index), {})[key] = sharding.share_of(value, weight) if value.dim() else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
