"""Violations and false refusals, on answers whose reading is plain."""

import json

import numpy as np
import pytest

from modeling.core.statistics import wilson_interval
from modeling.evaluation import safety_rates
from tests.modeling import toy_evaluation, toy_rlhf
from tests.modeling.evaluation.judge.test_judge import ANSWERS, PROMPTS
from tests.modeling.evaluation.test_win_rates import REFUSAL
from tests.modeling.toy_evaluation import RECIPE, prompt, write_generations

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, judge_inputs):
    folder = tmp_path_factory.mktemp("safety_rates")
    world = toy_rlhf.build(folder / "world", prompts=4)
    attacks, harmful = toy_evaluation.attacks(judge_inputs)
    rows = [prompt("safety", n, text, "early" if n < 2 else "late") for n, text in enumerate(attacks)]
    before = [{"role": "user", "content": "I have a dog."}, {"role": "assistant", "content": "How nice."}]
    rows[3]["messages"] = [*before, *rows[3]["messages"]]
    rows += [prompt("harmless", n, text) for n, text in enumerate(PROMPTS)]
    answers = {
        "SFT": [*harmful, *ANSWERS],
        "careful": [*[REFUSAL] * 4, *[REFUSAL] * 8],
        "good": [*[REFUSAL] * 3, harmful[3], *ANSWERS],
    }
    return {
        "generations": write_generations(folder / "generations", rows, answers),
        "safety_reward_model": world["safety_reward_model"],
        **{role: judge_inputs[role] for role in ("judge", "fitted_judge")},
    }


def test_rates_by_both_readers(inputs, tmp_path, log):
    metrics = safety_rates.run(RECIPE, inputs, tmp_path, log)
    assert metrics["violation_sft_judge"] >= 0.75
    assert metrics["violation_sft_rule"] >= 0.5
    assert metrics["violation_careful_judge"] == 0.0 and metrics["violation_careful_rule"] == 0.0
    assert metrics["violation_good_judge"] <= 0.25
    assert metrics["refusal_careful_judge"] == 1.0 and metrics["refusal_careful_rule"] == 1.0
    assert metrics["refusal_sft_judge"] <= 0.25 and metrics["refusal_sft_rule"] <= 0.25
    assert metrics["false_refusal_sft_judge"] == 0.0 and metrics["false_refusal_sft_rule"] == 0.0
    assert metrics["false_refusal_careful_judge"] == 1.0 and metrics["false_refusal_careful_rule"] == 1.0
    result = json.loads((tmp_path / "safety_rates.json").read_text())
    for row in result["rates"]:
        assert row["rate"] == row["count"] / row["prompts"]
        assert (row["low"], row["high"]) == wilson_interval(row["count"], row["prompts"])
    by_category = {(row["version"], row["category"]): row for row in result["by_category"]}
    assert by_category["SFT", "early"]["prompts"] == by_category["SFT", "late"]["prompts"] == 2
    violations = sum(row["count"] for (version, _), row in by_category.items() if version == "SFT")
    assert violations == round(4 * metrics["violation_sft_judge"])
    # `good` refuses every single-turn prompt and answers the one that comes after an earlier turn.
    by_turns = {(row["version"], row["what"], row["turns"], row["reader"]): row for row in result["by_turns"]}
    rule = safety_rates.READERS[1]
    assert by_turns["good", "refusal", "single-turn", rule]["count"] == 3
    assert by_turns["good", "refusal", "single-turn", rule]["prompts"] == 3
    assert by_turns["good", "refusal", "multi-turn", rule]["count"] == 0
    assert by_turns["good", "refusal", "multi-turn", rule]["prompts"] == 1
    assert ("good", "false refusal", "multi-turn", rule) not in by_turns  # no such prompt
    report = (tmp_path / "report.md").read_text()
    assert "Single-turn and multi-turn prompts" in report and "refusal rate, multi-turn (1)" in report
    assert "simulated annotator" in report and "early (2)" in report
    assert (tmp_path / "plots" / "safety.png").read_bytes().startswith(b"\x89PNG")


def test_names_of_metrics():
    entry = {"what": "false refusal", "version": "RLHF-v5 PPO", "reader": safety_rates.READERS[1]}
    assert safety_rates.metric_name(entry) == "false_refusal_rlhf_v5_ppo_rule"


def test_a_rate_by_hand():
    row = safety_rates.rate(np.array([True, False, False, True]))
    assert (row["count"], row["prompts"], row["rate"]) == (2, 4, 0.5)


def test_single_turn_prompts_alone_have_no_table_of_turns(inputs, tmp_path, log):
    rows = [prompt("safety", 0, "How?"), prompt("harmless", 0, "Why?")]
    folder = write_generations(tmp_path / "generations", rows, {"SFT": ["So.", "So."]})
    safety_rates.run(RECIPE, inputs | {"generations": folder}, tmp_path, log)
    assert "Single-turn and multi-turn prompts" not in (tmp_path / "report.md").read_text()


def test_without_harmless_prompts_it_says_so(inputs, tmp_path, log):
    folder = write_generations(tmp_path / "generations", [prompt("safety", 0, "How?")], {"SFT": ["So."]})
    with pytest.raises(ValueError, match="needs safety and harmless"):
        safety_rates.run(RECIPE, inputs | {"generations": folder}, tmp_path, log)
