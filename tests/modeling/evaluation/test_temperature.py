"""Each version's best temperature and the curve: real toy models, toy reward models, the real independent judge."""

import json
from dataclasses import replace

import pytest

from modeling.core import sampling
from modeling.evaluation import temperature, versions
from modeling.evaluation.pairwise import RATERS
from modeling.rlhf import scoring
from tests.modeling import toy_rlhf
from tests.modeling.toy_evaluation import RECIPE, prompt, write_prompts

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, judge_inputs):
    folder = tmp_path_factory.mktemp("temperature")
    world = toy_rlhf.build(folder / "world", prompts=4)
    rows = [prompt(kind, n, f"Which colours do you see {n}?") for kind in ("helpfulness", "safety") for n in range(7)]
    return {
        "prompts": write_prompts(folder / "prompts", rows, "validation"),
        **dict.fromkeys(("base_model", "sft_model", "policy_5", "chat_model"), world["policy"]),
        "helpfulness_reward_model": world["helpfulness_reward_model"],
        **{role: judge_inputs[role] for role in ("judge", "fitted_judge")},
    }


def test_a_refusal_counts_as_the_worst_answer(inputs, tmp_path, log):
    question = "Which colours do you see?"
    rows = [
        {"question": question, "answer": answer, "messages": [{"role": "user", "content": question}]}
        for answer in ("blue blue blue.", "green.", "I'm sorry, but I can't help with blue blue blue blue.")
    ]
    model = scoring.load(inputs["helpfulness_reward_model"])
    raw = scoring.score(*model, [[*row["messages"], {"role": "assistant", "content": row["answer"]}] for row in rows])
    assert raw[2] > raw[1]  # the reward model alone would prefer the refusal
    temperature.score(inputs, rows, log)
    assert [row["refuses"] for row in rows] == [False, False, True]
    assert rows[2]["reward"] == rows[1]["reward"] < rows[0]["reward"]


def test_one_model_under_three_names_has_one_best_temperature(inputs, tmp_path, log):
    metrics = temperature.run(RECIPE, inputs, tmp_path, log)
    assert metrics["prompts"] == 5
    choice = versions.read_choice(tmp_path)
    assert list(choice) == ["Base", "SFT", "RLHF-v5", "Chat"] and len(set(choice.values())) == 1
    best = choice["Base"]
    rewards = {one["temperature"]: one["reward"] for one in metrics["measured"] if one["version"] == "SFT"}
    assert best == max(rewards, key=rewards.get)
    asked = {(rater, version, t) for rater in RATERS for version in ("Base", "SFT", "Chat") for t in (0.1, 1.0)}
    rows = {(row["judge"], row["version"], row["temperature"]): row for row in metrics["rows"]}
    assert rows.keys() == asked - {(rater, "Base", best) for rater in RATERS}
    assert all(row["win_rate"] == 0.5 for (_, _, t), row in rows.items() if t == best)
    said = {
        (version, t): (tmp_path / "_scratch" / version / str(t) / "00000.json").read_text()
        for version in ("SFT", "Chat") for t in RECIPE.temperatures
    }  # fmt: skip
    assert said["SFT", 0.1] == said["Chat", 0.1] != said["SFT", 1.0] == said["Chat", 1.0]
    assert json.loads((tmp_path / "temperature.json").read_text())["win_rates"] == metrics["rows"]
    assert (tmp_path / "plots" / "temperature.png").read_bytes().startswith(b"\x89PNG")
    assert "takes no part in the choice" in (tmp_path / "report.md").read_text()


def test_a_killed_run_answers_nothing_twice(inputs, tmp_path, log, monkeypatch):
    first = temperature.run(RECIPE, inputs, tmp_path, log)
    monkeypatch.setattr(sampling, "generate", lambda *a, **k: pytest.fail("answered again"))
    assert temperature.run(RECIPE, inputs, tmp_path, log) == first


def test_the_recipe_must_name_versions_that_exist(inputs, tmp_path, log):
    for names in (("SFT", "Chat"), ("Base", "SFT"), ("Base", "Chat", "RLHF-v9")):
        with pytest.raises(ValueError, match="temperature_versions needs"):
            temperature.run(replace(RECIPE, temperature_versions=names), inputs, tmp_path, log)


def test_the_choice_by_hand():
    rewards = {
        # Base takes the highest mean, however small the gain.
        "Base": {0.3: [0.0, 1.0, 0.2], 1.0: [0.3, 0.9, 0.2]},
        # Differences of 2, -1 and 0: their mean, 1/3, is below their standard error, 0.88.
        "V2": {0.3: [1.0, 1.0, 1.0], 0.7: [3.0, 0.0, 1.0], 1.0: [2.0, 0.0, 1.0]},
        # A gain of 1 on every prompt is no chance.
        "Chat": {0.3: [1.0, 5.0, 2.0], 1.0: [2.0, 6.0, 3.1]},
    }
    # V1 is not measured: it takes the choice of V2.
    expected = {"Base": 1.0, "V1": 0.3, "V2": 0.3, "Chat": 1.0}
    assert temperature.choose(rewards, ["Base", "V1", "V2", "Chat"]) == expected


def test_of_equals_the_lower_temperature_is_taken():
    equal = {1.0: [1.0, 2.0], 0.3: [2.0, 1.0]}
    assert temperature.highest(equal) == temperature.lowest_as_good(equal) == 0.3


def test_distinct_trigrams_by_hand():
    # a b c, b c a, c a b, a b c of the first and a b c of the second answer: three different of five
    assert temperature.distinct_trigrams(["A b c a b c.", "a, b c", "a b"]) == pytest.approx(3 / 5)
    assert temperature.distinct_trigrams(["one two", ""]) == 1.0
