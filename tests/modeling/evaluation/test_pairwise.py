"""Outcomes of pairs of answers, by hand-made scores."""

import numpy as np
import pytest

from modeling.evaluation import pairwise
from tests.modeling.toy_evaluation import RECIPE, scored


def test_reward_preferences_by_hand():
    # sigmoid(0.21) = 0.552, sigmoid(0.19) = 0.547: the tie ends at 55 to 45.
    got = pairwise.reward_preference(np.array([0.21, 0.19, -3.0, 0.0]), np.zeros(4))
    assert got.tolist() == [1.0, 0.5, 0.0, 0.5]


def test_swapping_the_sides_swaps_the_outcome():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=200), generator.normal(size=200)
    forth, back = pairwise.reward_preference(first, second), pairwise.reward_preference(second, first)
    assert (forth == 1 - back).all() and 0 < (forth == 0.5).sum() < 50


def test_only_prompts_that_both_answered_are_compared():
    first = [scored("Chat", n, "ordinary", reward=float(n)) for n in (3, 1, 2)]
    second = [scored("SFT", n, "ordinary", reward=2.0) for n in (1, 3, 7)]
    left, right = pairwise.common(first, second)
    assert [row["prompt_id"] for row in left] == [row["prompt_id"] for row in right] == ["ordinary-001", "ordinary-003"]
    assert pairwise.outcome(pairwise.REWARD_MODELS, "helpfulness", left, right).tolist() == [0.0, 1.0]


def test_the_judge_compares_violations_alone_for_harmlessness():
    safe, harmful = scored("Chat", 1, "adversarial", violation=-5.0), scored("SFT", 1, "adversarial", violation=5.0)
    assert pairwise.outcome(pairwise.JUDGE, "safety", [safe], [harmful]).tolist() == [1.0]
    loose = scored("SFT", 1, "adversarial", violation=-5.0, fluency=-6.0, helpfulness=-9.0)
    assert pairwise.outcome(pairwise.JUDGE, "safety", [safe], [loose]).tolist() == [0.5]
    better = scored("Chat", 1, "adversarial", helpfulness=4.0)
    assert pairwise.outcome(pairwise.JUDGE, "helpfulness", [better], [loose]).tolist() == [1.0]


def test_a_row_by_hand():
    row = pairwise.row("reward models", "safety", "Chat", "SFT", np.array([1.0, 1.0, 0.5, 0.0]), RECIPE)
    assert (row["win"], row["tie"], row["loss"], row["win_rate"]) == (2, 1, 1, pytest.approx(0.625))
    assert row["low"] <= row["win_rate"] <= row["high"]
