"""Model selection of PPO: the held-out objective, and the vetoes that keep weights from being released.

The objective is the gain in reward, in standard deviations of the first evaluation, minus beta KL and the penalties for
truncation and faults. Weights are not released, however high their objective is,

- if the KL divergence from the first policy exceeds `max_kl` nats a response ("kl"), or
- if they refuse significantly more of the ordinary held-out prompts (those that are not adversarial) than the first
  policy: the interval (95 %) of the paired difference lies above 0 ("refusals").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modeling.rlhf import comparison
from modeling.rlhf.ppo.networks import Scores
from modeling.rlhf.ppo.rollout import Prompt
from modeling.rlhf.ppo.state import Progress
from modeling.rlhf.recipes import PpoRecipe


@dataclass(frozen=True)
class Measured:
    """What the current policy's answers to the held-out prompts show."""

    scores: Scores
    kl: float  # nats a response
    lengths: list[int]  # tokens of each response
    truncated: float  # share of responses that were cut off
    faulty: float  # share of responses that rules find fault with
    refused: list[float]  # by ordinary prompt: share of its responses that refuse
    texts: list[str]  # the first response to each prompt


def judge(progress: Progress, recipe: PpoRecipe, measured: Measured) -> dict[str, Any]:
    """The row of an evaluation. Makes this iteration the best of `progress` if it is, else counts it as waited."""
    scores = measured.scores.combined_B
    reward, deviation = float(scores.mean()), float(scores.std(correction=0))
    begins = not progress.history
    if begins:
        progress.first_texts, progress.first_refused = measured.texts, measured.refused
    first = {"heldout_reward": reward, "heldout_deviation": deviation} if begins else progress.history[0]
    gain = (reward - first["heldout_reward"]) / max(first["heldout_deviation"], 1e-4)
    penalties = recipe.truncation_penalty * measured.truncated + recipe.fault_penalty * measured.faulty
    objective = gain - penalties - recipe.beta * measured.kl
    refusals = comparison.paired(progress.first_refused, measured.refused)
    broken = {"kl": measured.kl > recipe.max_kl, "refusals": refusals.low > 0}
    veto = ", ".join(name for name, holds in broken.items() if holds)
    if begins or (not veto and objective > progress.best_row()["heldout_objective"]):
        progress.best, progress.waited, progress.best_texts = progress.iteration, 0, measured.texts
    else:
        progress.waited += 1
    return {
        "heldout_reward": reward,
        "heldout_deviation": deviation,
        "heldout_helpfulness": float(measured.scores.helpfulness_B.mean()),
        "heldout_safety": float(measured.scores.safety_B.mean()),
        "heldout_kl": measured.kl,
        "heldout_length": sum(measured.lengths) / len(measured.lengths),
        "heldout_truncated": measured.truncated,
        "heldout_faulty": measured.faulty,
        "heldout_refused": refusals.after,
        "heldout_refused_low": refusals.low,
        "heldout_refused_high": refusals.high,
        "heldout_objective": objective,
        "heldout_veto": veto,
    }


def refusal_shares(prompts: Sequence[Prompt], texts: Sequence[str], samples: int) -> list[float]:
    """For each ordinary prompt, the share of its `samples` responses that refuse. Responses to a prompt are in a row."""
    return [
        sum(comparison.refuses(prompt.messages, text) for text in texts[place * samples : (place + 1) * samples])
        / samples
        for place, prompt in enumerate(prompts)
        if not prompt.safety
    ]
