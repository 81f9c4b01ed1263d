"""Win rates by temperature: real toy models, toy reward models, the real independent judge."""

import json

import pytest

from modeling.core import sampling
from modeling.evaluation import temperature
from modeling.evaluation.win_rates import JUDGES
from tests.modeling import toy_rlhf
from tests.modeling.toy_evaluation import RECIPE, prompt, write_prompts

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, judge_inputs):
    folder = tmp_path_factory.mktemp("temperature")
    world = toy_rlhf.build(folder / "world", prompts=4)
    rows = [prompt(kind, n, f"Which colours do you see {n}?") for kind in ("helpfulness", "safety") for n in range(7)]
    return {
        "prompts": write_prompts(folder / "prompts", rows),
        "sft_model": world["policy"],
        "policy_5": world["policy"],
        "chat_model": world["policy"],
        "helpfulness_reward_model": world["helpfulness_reward_model"],
        **{role: judge_inputs[role] for role in ("judge", "fitted_judge")},
    }


def test_one_model_under_three_names_ties_at_every_temperature(inputs, tmp_path, log):
    metrics = temperature.run(RECIPE, inputs, tmp_path, log)
    assert metrics["prompts"] == 5
    assert {(row["judge"], row["version"], row["temperature"]) for row in metrics["rows"]} == {
        (judge, version, t) for judge in JUDGES for version in ("RLHF-v5", "Chat") for t in (0.1, 1.0)
    }
    assert all(row["win_rate"] == 0.5 and row["tie"] == 5 for row in metrics["rows"])
    said = {
        (version, t): (tmp_path / "_scratch" / str(t) / version / "00000.json").read_text()
        for version in ("SFT", "Chat") for t in RECIPE.temperatures
    }  # fmt: skip
    assert said["SFT", 0.1] == said["Chat", 0.1] != said["SFT", 1.0] == said["Chat", 1.0]
    assert json.loads((tmp_path / "temperature.json").read_text())["win_rates"] == metrics["rows"]
    assert (tmp_path / "plots" / "temperature.png").read_bytes().startswith(b"\x89PNG")
    assert "| 1.0 | Chat | **50.0 %** [50, 50] |" in (tmp_path / "report.md").read_text()


def test_a_killed_run_answers_nothing_twice(inputs, tmp_path, log, monkeypatch):
    first = temperature.run(RECIPE, inputs, tmp_path, log)
    monkeypatch.setattr(sampling, "generate", lambda *a, **k: pytest.fail("answered again"))
    assert temperature.run(RECIPE, inputs, tmp_path, log) == first


def test_distinct_trigrams_by_hand():
    # a b c, b c a, c a b, a b c of the first and a b c of the second answer: three different of five
    assert temperature.distinct_trigrams(["A b c a b c.", "a, b c", "a b"]) == pytest.approx(3 / 5)
    assert temperature.distinct_trigrams(["one two", ""]) == 1.0
