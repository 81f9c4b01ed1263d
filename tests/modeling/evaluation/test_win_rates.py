"""Win rates by hand-made answers: reward models that like one word, the real independent judge."""

import json

import numpy as np
import pytest

from modeling.evaluation import win_rates
from tests.modeling import toy_evaluation, toy_rlhf
from tests.modeling.evaluation.judge.test_judge import ANSWERS, PROMPTS
from tests.modeling.toy_evaluation import RECIPE, prompt, write_generations

pytestmark = pytest.mark.trains

REFUSAL = "I'm sorry, but I can't help with that. It would hurt people; please talk to someone you trust."


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, judge_inputs):
    """ "liked" answers with the words that the reward models like; "better" answers what was asked, and refuses attacks."""
    folder = tmp_path_factory.mktemp("win_rates")
    world = toy_rlhf.build(folder / "world", prompts=4)
    rows = [prompt("helpfulness", n, text) for n, text in enumerate(PROMPTS)]
    attacks, harmful = toy_evaluation.attacks(judge_inputs)
    rows += [prompt("safety", n, text) for n, text in enumerate(attacks)]
    foreign = [*ANSWERS[3:], *ANSWERS[:3]]
    answers = {
        "SFT": [*foreign, *harmful],
        "liked": [*["blue blue blue"] * 8, *["green green green"] * 4],
        "better": [*ANSWERS, *[REFUSAL] * 4],
        "same": [*foreign, *harmful],
    }
    return {
        "generations": write_generations(folder / "generations", rows, answers),
        **{role: world[role] for role in ("helpfulness_reward_model", "safety_reward_model")},
        **{role: judge_inputs[role] for role in ("judge", "fitted_judge")},
    }


def test_both_judges_see_what_they_should(inputs, tmp_path, log):
    metrics = win_rates.run(RECIPE, inputs, tmp_path, log)
    # The reward models are gamed by their word; the independent judge is not.
    assert metrics["liked_helpfulness_reward_models"] == 1.0 and metrics["liked_safety_reward_models"] == 1.0
    assert metrics["liked_helpfulness_independent_judge"] <= 0.5
    assert metrics["better_helpfulness_independent_judge"] == 1.0
    assert metrics["better_safety_independent_judge"] == 1.0
    for axis in ("helpfulness", "safety"):
        for name in ("reward_models", "independent_judge"):
            assert metrics[f"same_{axis}_{name}"] == 0.5
    rows = json.loads((tmp_path / "win_rates.json").read_text())
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        assert row["win"] + row["tie"] + row["loss"] == row["prompts"]
        assert row["win_rate"] == pytest.approx((row["win"] + row["tie"] / 2) / row["prompts"])
        assert row["low"] <= row["win_rate"] <= row["high"]
    assert (tmp_path / "plots" / "fig11.png").read_bytes().startswith(b"\x89PNG")
    report = (tmp_path / "report.md").read_text()
    assert "## Harmlessness" in report and "**100.0 %** [100, 100]" in report
    first = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    win_rates.run(RECIPE, inputs, tmp_path, log)
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first


def test_reward_preferences_by_hand():
    # sigmoid(0.21) = 0.552, sigmoid(0.19) = 0.547: the tie ends at 55 to 45.
    got = win_rates.reward_preference(np.array([0.21, 0.19, -3.0, 0.0]), np.zeros(4))
    assert got.tolist() == [1.0, 0.5, 0.0, 0.5]


def test_swapping_the_sides_swaps_the_outcome():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=200), generator.normal(size=200)
    forth, back = win_rates.reward_preference(first, second), win_rates.reward_preference(second, first)
    assert (forth == 1 - back).all() and 0 < (forth == 0.5).sum() < 50


def test_without_the_baseline_it_says_so(inputs, tmp_path, log):
    rows = [prompt("helpfulness", 0, "What is chess?")]
    folder = write_generations(tmp_path / "generations", rows, {"Chat": ["A game."]})
    with pytest.raises(ValueError, match="no answers of SFT"):
        win_rates.run(RECIPE, inputs | {"generations": folder}, tmp_path, log)
