"""Every answer as each rater reads it: reward models that like one word, the real judge, the rules."""

import json
import shutil

import pytest

from modeling.dialogues import verifiable
from modeling.evaluation import controls, gates, generations, scored_answers
from tests.modeling import toy_evaluation, toy_rlhf
from tests.modeling.evaluation.judge.test_judge import ANSWERS, PROMPTS
from tests.modeling.toy_evaluation import RECIPE, prompt, write_generations

pytestmark = pytest.mark.trains

AUCS = {"violation_auc": 0.7, "refusal_auc": 0.9, "fluency_auc": 0.95, "helpfulness_accuracy": 0.96}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, judge_inputs):
    folder = tmp_path_factory.mktemp("scored_answers")
    world = toy_rlhf.build(folder / "world", prompts=4)
    attacks, harmful = toy_evaluation.attacks(judge_inputs)
    rows = [prompt("helpfulness", n, text, reference=ANSWERS[n]) for n, text in enumerate(PROMPTS)]
    constraint = verifiable.choose("a key", "test")
    rows[0] |= {"setting": "verifiable", "constraint": constraint}
    rows += [prompt("safety", n, text) for n, text in enumerate(attacks)]
    rows += [prompt("harmless", n, text) for n, text in enumerate(PROMPTS[:2])]
    answers = {
        "Base": [*[*ANSWERS[3:], *ANSWERS[:3]], *harmful, *ANSWERS[:2]],
        "SFT": [*["blue blue blue"] * 8, *["green green green"] * 4, *[controls.NO] * 2],
    }
    shutil.copytree(judge_inputs["fitted_judge"], folder / "fitted_judge")
    (folder / "fitted_judge" / "quality.json").write_text(json.dumps(AUCS))
    return {
        "generations": write_generations(folder / "generations", rows, answers),
        "judge": judge_inputs["judge"],
        "fitted_judge": folder / "fitted_judge",
        **{role: world[role] for role in ("helpfulness_reward_model", "safety_reward_model")},
    }


@pytest.fixture
def artifact(inputs, tmp_path, log):
    metrics = scored_answers.run(RECIPE, inputs, tmp_path, log)
    assert metrics["judge_violation_auc"] == 0.7 and "judge_helpfulness_auc" not in metrics
    return tmp_path


def test_each_rater_sees_what_it_should(artifact):
    scored = scored_answers.read(artifact)
    assert list(scored) == ["Base", "SFT", controls.CONSTANT, controls.REFUSAL, controls.REFERENCE]

    def of(name, kind, column):
        return [row[column] for row in scored[name] if row["kind"] == kind]

    # Each reward model likes its word on the prompts of its kind; nobody scores harmless prompts by reward.
    assert min(of("SFT", "helpfulness", "reward")) > max(of("Base", "helpfulness", "reward"))
    assert min(of("SFT", "safety", "reward")) > max(of("Base", "safety", "reward"))
    assert of("SFT", "harmless", "reward") == [None, None]
    # The judge prefers the true answer to a foreign one, and reads the refusal.
    assert all(r > b for r, b in zip(of(controls.REFERENCE, "helpfulness", "helpfulness"),
                                     of("Base", "helpfulness", "helpfulness"), strict=True))  # fmt: skip
    assert min(of(controls.REFUSAL, "safety", "refusal")) > 0 > max(of(controls.CONSTANT, "helpfulness", "refusal"))
    assert all(of(controls.REFUSAL, "safety", "rule_declines")) and not any(
        of(controls.REFUSAL, "safety", "rule_unsafe")
    )
    assert any(of("Base", "safety", "rule_unsafe")) and all(of("SFT", "harmless", "rule_refuses"))
    assert [row["obeyed"] for row in scored["SFT"] if row["setting"] != "verifiable"] == [None] * 13
    assert [row["obeyed"] for row in scored["SFT"] if row["setting"] == "verifiable"] in ([True], [False])
    assert of("SFT", "helpfulness", "words") == [3] * 8
    assert scored_answers.read_agreement(artifact) == {
        "helpfulness": None, "violation": 0.7, "refusal": 0.9, "fluency": None,
    }  # fmt: skip


def test_the_gate_misses_an_answer_that_was_not_read(artifact, inputs):
    assert gates.every_version_judged(artifact, inputs, RECIPE)[0]
    rows = [row for answers in scored_answers.read(artifact).values() for row in answers]

    def verdict(changed):
        toy_evaluation.dialogue_tables.write_rows(changed, scored_answers.SCHEMA, artifact / scored_answers.TABLE)
        return gates.every_version_judged(artifact, inputs, RECIPE)[:2]

    assert verdict(rows[1:]) == (False, "1 answers of Base not read")
    assert verdict([*rows, rows[0]]) == (False, "1 answers of Base too many")
    assert verdict([rows[0] | {"violation": float("nan")}, *rows[1:]]) == (
        False, "1 answers of Base have scores that are not finite",
    )  # fmt: skip


def test_the_gate_wants_bases_answer_beside_every_other(artifact, inputs, tmp_path):
    rows = [row for row in generations.read(inputs["generations"]) if row["version"] != "Base"]
    (tmp_path / "without").mkdir()
    toy_evaluation.dialogue_tables.write_rows(rows, generations.SCHEMA, tmp_path / "without" / "answers.parquet")
    passed, why, _ = gates.every_version_judged(artifact, {"generations": tmp_path / "without"}, RECIPE)
    assert not passed and "14 answers of SFT have none of Base beside them" in why
