"""Comparison of two policies that answered the same prompts: paired differences, and refusals by rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modeling.core.statistics import mean_interval
from modeling.dialogues import answer_rules


@dataclass(frozen=True)
class Difference:
    """Mean of after − before over prompts, with its interval (Student's t, valid for few prompts too)."""

    before: float
    after: float
    mean: float
    low: float
    high: float
    prompts: int


def paired(before: Sequence[float], after: Sequence[float], confidence: float = 0.95) -> Difference:
    """The difference between two policies, one value from 0 to 1 a prompt, in the same order.

    Fewer than two prompts show nothing: their interval is −1 to 1. Raises ValueError if the lengths differ.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} values: both policies must answer the same prompts")
    if not before:
        return Difference(0.0, 0.0, 0.0, -1.0, 1.0, 0)
    before_N, after_N = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    difference_N = after_N - before_N
    low, high = mean_interval(difference_N, confidence) if len(difference_N) > 1 else (-1.0, 1.0)
    return Difference(
        float(before_N.mean()), float(after_N.mean()), float(difference_N.mean()), low, high, len(difference_N)
    )


def refusals(rows: Sequence[dict], answers: Sequence[str]) -> list[float]:
    """1 or 0 for each answer to an ordinary prompt, one that is not adversarial: whether it refuses."""
    return [
        float(refuses(row["messages"], answer))
        for row, answer in zip(rows, answers, strict=True)
        if row["kind"] != "safety"
    ]


def refuses(messages: Sequence[dict], answer: str) -> bool:
    """Whether the answer to a conversation refuses, by rule. Meant for prompts that deserve an answer."""
    return answer_rules.helpfulness(messages[-1]["content"], answer, "").refuses
