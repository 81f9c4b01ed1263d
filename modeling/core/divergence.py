"""Ends a training run whose numbers are no longer finite or whose loss went up for good, and names the bad step.

A gradient that is not finite makes every weight it reaches NaN, and no later step repairs that, so no checkpoint is
written with such weights. The checks do not wait for the device at every step: their results are read when the trainer
logs, because it waits then anyway. One high loss is no divergence: training recovers from most spikes.
"""

import math
import statistics
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

SPIKE_LOGS = 10  # logged losses whose median is compared
SPIKE_NATS = 1.0


class DivergedError(ValueError):
    """A training that cannot end well. A retry does not help: change the recipe or the data."""

    def __init__(self, what: str, number: int, total: int, unit: str = "step") -> None:
        super().__init__(
            f"Training diverged at {unit} {number} of {total}: {what}. Lower the learning rate, or look at the data of "
            f"that {unit}. A new run continues from the last checkpoint, which is good; with the same recipe and data it "
            "diverges here again"
        )


def weights_finite(model: nn.Module) -> bool:
    """Whether every weight, and their norm, is finite. Every process of a distributed run must call it; all agree."""
    return not _highest((~_norm(weight.detach() for weight in model.parameters()).isfinite()).long())


class Watch(TrainerCallback):
    """Raises DivergedError at the first logging step after the loss or a gradient was not finite, or if the loss rose.

    The loss rose if its median over SPIKE_LOGS logged values is SPIKE_NATS above that of SPIKE_LOGS earlier ones. The
    watch also raises DivergedError if weights are not finite, before they are saved as a checkpoint or as the result,
    and ValueError if the training starts from such weights.
    """

    def __init__(self) -> None:
        self.first: Tensor | None = None  # first step with a gradient that was not finite, or 0

    def on_train_begin(self, args, state, control, model=None, **kwargs) -> None:
        if not weights_finite(model):
            raise ValueError(
                "Training would begin with weights that are not finite: rebuild the model that it starts from"
            )

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        # Gradients are already clipped: if their norm was not finite, they hold NaN.
        finite = _norm(weight.grad for weight in model.parameters() if weight.grad is not None).isfinite()
        first = torch.zeros((), dtype=torch.int64, device=finite.device) if self.first is None else self.first
        self.first = torch.where(finite | (first > 0), first, state.global_step + 1)

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step % state.logging_steps == 0:
            self._check_gradients(state)
        if control.should_save:
            _check_weights(model, state)

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise DivergedError(f"{name} is {logs[name]}", state.global_step, state.max_steps)
        rise = risen([entry["loss"] for entry in state.log_history if "loss" in entry])
        if rise:
            raise DivergedError(f"the loss rose and stays up: {rise}", state.global_step, state.max_steps)

    def on_train_end(self, args, state, control, model=None, **kwargs) -> None:
        self._check_gradients(state)
        _check_weights(model, state)

    def _check_gradients(self, state) -> None:
        if self.first is not None and (first := _highest(self.first)):
            raise DivergedError("gradients are not finite from this step on", first, state.max_steps)


def risen(losses: list[float]) -> str:
    """How the last SPIKE_LOGS of the logged losses lie above the lowest run of earlier ones; "" if they do not."""
    ends = range(len(losses) - SPIKE_LOGS, SPIKE_LOGS - 1, -SPIKE_LOGS)
    earlier = [statistics.median(losses[end - SPIKE_LOGS : end]) for end in ends]
    if not earlier:
        return ""
    before, after = min(earlier), statistics.median(losses[-SPIKE_LOGS:])
    return f"{before:.2f} before, {after:.2f} now (medians)" if after > before + SPIKE_NATS else ""


def _check_weights(model: nn.Module, state) -> None:
    if not weights_finite(model):
        raise DivergedError("its update made weights that are not finite", state.global_step, state.max_steps)


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    """Total norm on the tensors' device, not finite if any value is not. Of sharded tensors, this process's part."""
    return nn.utils.get_total_norm([tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors])


def _highest(value: Tensor) -> int:
    """The highest value over all processes, which all of them receive."""
    if dist.is_available() and dist.is_initialized():
        value = value.clone()
        dist.all_reduce(value, dist.ReduceOp.MAX)
    return int(value)
