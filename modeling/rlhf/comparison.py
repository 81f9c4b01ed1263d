"""Comparison of two policies that answered the same prompts: paired differences, and refusals by rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modeling.core.statistics import bootstrap_interval
from modeling.dialogues import answer_rules

RESAMPLES, SEED = 10_000, 0


@dataclass(frozen=True)
class Difference:
    """Mean of after − before over prompts, with the paired bootstrap interval of 95 %."""

    before: float
    after: float
    mean: float
    low: float
    high: float
    prompts: int


def paired(before: Sequence[float], after: Sequence[float]) -> Difference:
    """The difference between two policies, one value a prompt in the same order. Without prompts there is none: 0.

    Raises ValueError if the lengths differ.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} values: both policies must answer the same prompts")
    if not before:
        return Difference(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    before_N, after_N = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    difference_N = after_N - before_N
    low, high = bootstrap_interval(difference_N, RESAMPLES, SEED)
    return Difference(
        float(before_N.mean()), float(after_N.mean()), float(difference_N.mean()), low, high, len(difference_N)
    )


def refuses(messages: Sequence[dict], answer: str) -> bool:
    """Whether the answer to a conversation refuses, by rule. Meant for prompts that deserve an answer."""
    return answer_rules.helpfulness(messages[-1]["content"], answer, "").refuses
