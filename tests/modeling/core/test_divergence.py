"""Trainings that diverge: they end soon, say where, leave no broken checkpoint, and a new run ends the same way."""

import dataclasses
import math

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed.fsdp import fully_shard
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from modeling.core import training
from modeling.core.divergence import DivergedError, Watch, risen, weights_finite
from modeling.pretraining.model import build
from tests.modeling.core.test_training import MODEL, OPTIMIZER, Rows

STEPS = 200  # logged every second


class Harm(TrainerCallback):
    """Harms the model before or after the update of a step, and counts the steps."""

    def __init__(self, how, before: int = 0, after: int = 0) -> None:
        self.how, self.before, self.after, self.reached = how, before, after, 0

    def on_step_begin(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step + 1 == self.before:
            self.how(model)

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        self.reached = state.global_step
        if state.global_step == self.after:
            self.how(model)


def lose_a_weight(model) -> None:
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = math.nan


def burst_a_gradient(model) -> None:
    """The loss of that step is a number, the gradient is not: clipping makes infinity NaN."""
    weight = model.model.layers[1].mlp.up_proj.weight
    weight.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor(0, device=gradient.device), math.inf))


def train(out, log, *callbacks, steps: int = STEPS, optimizer=OPTIMIZER) -> list[dict]:
    arguments = training.training_arguments(TrainingArguments, out, optimizer, steps, batch=2, seed=5)
    trainer = Trainer(build(MODEL, None, seed=1), arguments, train_dataset=Rows(), callbacks=list(callbacks))
    return training.fit(trainer, out, log, checkpoint_steps=10)


def checkpoints(out) -> list[str]:
    """Those marked complete, whose weights must be finite."""
    found = [path.parent for path in (out / "_scratch" / "checkpoints").glob(f"*/{training.COMPLETE}")]
    assert all(weight.isfinite().all() for path in found for weight in load_file(path / "model.safetensors").values())
    return sorted(path.name for path in found)


@pytest.mark.parametrize(
    ("harm", "said", "last", "saved"),
    [
        (Harm(lose_a_weight, before=21), "step 21 of 200: gradients are not", 22, ["checkpoint-10", "checkpoint-20"]),
        (Harm(burst_a_gradient, before=24), "step 24 of 200: gradients are", 24, ["checkpoint-10", "checkpoint-20"]),
        (Harm(burst_a_gradient, before=30), "step 30 of 200: gradients are", 30, ["checkpoint-10", "checkpoint-20"]),
        (Harm(lose_a_weight, after=30), "step 30 of 200: its update made weights", 30, ["checkpoint-10", "checkpoint-20"]),
        (Harm(lose_a_weight, after=200), "step 200 of 200: its update", 200, ["checkpoint-180", "checkpoint-190"]),
    ],
)  # fmt: skip
def test_a_training_ends_where_it_diverges_and_so_does_the_next_run(tmp_path, log, harm, said, last, saved):
    for _ in range(2):
        with pytest.raises(DivergedError, match=f"diverged at {said}.*Lower the learning rate, or look at the data"):
            train(tmp_path, log, harm)
        assert harm.reached == last
        assert checkpoints(tmp_path) == saved
    assert f"Continuing from {saved[-1]}" in log.lines
    assert not (tmp_path / "loss.jsonl").exists()


def test_a_fault_that_passes_costs_the_steps_since_the_last_checkpoint(tmp_path, log):
    """A device that miscalculates once: the next run ends as if nothing had been."""
    train(tmp_path / "whole", log, steps=40)
    with pytest.raises(DivergedError):
        train(tmp_path / "torn", log, Harm(burst_a_gradient, before=25), steps=40)
    train(tmp_path / "torn", log, steps=40)
    whole, torn = ((tmp_path / name / "loss.jsonl").read_bytes() for name in ("whole", "torn"))
    assert whole == torn and "Continuing from checkpoint-20" in log.lines


def test_a_learning_rate_far_too_high_is_found_and_named(tmp_path, log):
    absurd = dataclasses.replace(OPTIMIZER, learning_rate=1e30, schedule="constant", warmup_steps=0)
    with pytest.raises(DivergedError, match=r"at step [1-4] of 200: .*Lower the learning rate"):
        train(tmp_path, log, optimizer=absurd)
    assert checkpoints(tmp_path) == []


class Ruin(TrainerCallback):
    """Puts noise on the weights before each step from `first` on: the loss is high, but a number."""

    def __init__(self, first: int) -> None:
        self.first = first

    def on_step_begin(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step + 1 >= self.first:
            with torch.no_grad():
                model.lm_head.weight.add_(torch.randn_like(model.lm_head.weight))


def test_a_loss_that_rises_and_stays_up_ends_the_training(tmp_path, log):
    with pytest.raises(DivergedError, match=r"at step 1[0-4]\d of 200: the loss rose and stays up: .* before, .* now"):
        train(tmp_path, log, Ruin(101))


def test_one_high_loss_or_a_small_rise_is_no_divergence():
    falling = [6.0 - 0.02 * step for step in range(200)]
    assert not risen(falling) and not risen(falling[:19])
    assert not risen([*falling, 9.0, 9.0, 9.0]) and not risen([*falling, *[falling[-1] + 0.9] * 20])
    assert risen([*falling, *[falling[-1] + 1.3] * 10]) == "2.11 before, 3.32 now (medians)"
    assert risen([*falling[::-1]])


def test_a_training_does_not_begin_from_a_broken_model(tmp_path, log):
    arguments = training.training_arguments(TrainingArguments, tmp_path, OPTIMIZER, 4, batch=2, seed=5)
    model = build(MODEL, None, seed=1)
    lose_a_weight(model)
    with pytest.raises(ValueError, match="begin with weights that are not finite"):
        training.fit(Trainer(model, arguments, train_dataset=Rows()), tmp_path, log)


def test_weights_are_finite_or_not():
    model = build(MODEL, None, seed=1)
    assert weights_finite(model)
    for value in (math.nan, math.inf, -math.inf):
        with torch.no_grad():
            model.lm_head.weight[3, 1] = value
        assert not weights_finite(model)


def process(rank: int, folder: str) -> None:
    """One of two that hold half of every weight each; the second one's halves go wrong."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = build(MODEL, None, seed=1)
    fully_shard(model)
    assert weights_finite(model)
    model(input_ids=torch.arange(16)[None], labels=torch.arange(16)[None]).loss.backward()
    watch, state = Watch(), TrainerState(max_steps=9, logging_steps=3)
    for state.global_step in range(3):
        if (rank, state.global_step) == (1, 1):
            model.model.norm.weight.grad.to_local()[0] = math.nan
        watch.on_pre_optimizer_step(None, state, None, model=model)
    state.global_step = 3
    with pytest.raises(DivergedError, match="at step 2 of 9"):
        watch.on_step_end(None, state, TrainerControl(), model=model)
    if rank == 1:
        model.model.norm.weight.detach().to_local()[0] = math.inf
    assert not weights_finite(model)
    dist.destroy_process_group()


def test_what_one_process_finds_ends_all_of_them(tmp_path):
    torch.multiprocessing.start_processes(process, (str(tmp_path),), nprocs=2, start_method="fork")
