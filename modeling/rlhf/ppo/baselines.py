"""Baselines of PPO: the return that an answer is compared with. Its advantage is the return above the baseline.

- `Critic` (the paper's form): a network that estimates the return from each token on. It has to be learnt.
- `LeaveOneOut` (Kool et al. 2019, Ahmadian et al. 2024): the mean return of the other answers to the same prompt. It is
  unbiased from the first iteration on, because no answer is part of its own baseline, and it costs no network. A few
  hundred answers do not teach a critic anything, so small scales use this one.
"""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from modeling.core import runtime
from modeling.rlhf.ppo import losses
from modeling.rlhf.ppo.networks import critic_values, load_critic
from modeling.rlhf.ppo.rollout import Batch
from modeling.rlhf.ppo.state import Learner, learner
from modeling.rlhf.recipes import PpoRecipe


class Baseline(Protocol):
    """What the loop of PPO asks of a baseline."""

    learners: dict[str, Learner]  # networks of the baseline by name: they are stepped, checked, saved and restored

    def values(self, batches: list[Batch], rewards_BT: Tensor) -> Tensor:
        """values_BT: the expected return before each token of the batches' responses, 0 elsewhere."""
        ...

    def backward(self, batch: Batch, values_BT: Tensor, returns_BT: Tensor, tokens: int) -> dict[str, float]:
        """Add gradients of a micro-batch to the networks and return metrics. `tokens` is the size of the mini-batch."""
        ...


class Critic:
    """A network's estimate, fitted to the returns with clipped squared errors."""

    def __init__(self, network: Learner, recipe: PpoRecipe) -> None:
        self.learners = {"critic": network}
        self.network, self.recipe = network.model, recipe

    def values(self, batches: list[Batch], rewards_BT: Tensor) -> Tensor:
        values_BT = torch.zeros_like(rewards_BT)
        for batch in batches:
            values_BT[batch.place()] = critic_values(self.network, batch)
        return values_BT

    def backward(self, batch: Batch, values_BT: Tensor, returns_BT: Tensor, tokens: int) -> dict[str, float]:
        error_BT = losses.value_loss(critic_values(self.network, batch), values_BT, returns_BT, self.recipe.value_clip)
        value_loss = losses.masked_sum(error_BT, batch.mask_BT) / tokens
        # Gradients are averaged over the processes, but `tokens` counts those of all of them.
        (self.recipe.value_coefficient * value_loss * runtime.processes()).backward()
        return {"value_loss": float(value_loss.detach())}


class LeaveOneOut:
    """The mean return of the other answers to the prompt: the same value at every token of an answer."""

    def __init__(self, samples: int) -> None:
        self.learners: dict[str, Learner] = {}
        self.samples = samples

    def values(self, batches: list[Batch], rewards_BT: Tensor) -> Tensor:
        values_B = losses.mean_of_others(rewards_BT.sum(1), self.samples)
        values_BT = torch.zeros_like(rewards_BT)
        for batch in batches:
            values_BT[batch.place()] = torch.where(batch.mask_BT, values_B[batch.rows, None], 0.0)
        return values_BT

    def backward(self, batch: Batch, values_BT: Tensor, returns_BT: Tensor, tokens: int) -> dict[str, float]:
        return {}


def make(recipe: PpoRecipe, reward_model: Path, where: torch.device) -> Baseline:
    """The baseline that the recipe names. A critic starts from the weights of `reward_model`.

    Raises ValueError for an unknown name, or where a leave-one-out baseline would not be what it claims.
    """
    if recipe.baseline == "critic":
        return Critic(learner(load_critic(reward_model, where, recipe.frozen_layers), recipe.optimizer), recipe)
    if recipe.baseline != "leave-one-out":
        raise ValueError(f"unknown baseline {recipe.baseline!r}: use 'critic' or 'leave-one-out'")
    if recipe.samples < 2:
        raise ValueError("a leave-one-out baseline needs two or more samples a prompt: raise samples")
    if recipe.gamma != 1.0 or recipe.gae_lambda != 1.0:
        raise ValueError("a leave-one-out baseline compares whole returns: set gamma and gae_lambda to 1")
    if recipe.critic_warmup:
        raise ValueError("a leave-one-out baseline has no critic: set critic_warmup to 0")
    return LeaveOneOut(recipe.samples)
