"""Context distillation keeps exactly the answers that the safety reward model prefers, and leaves the preprompt out."""

import dataclasses
import random

import pyarrow.parquet as pq
import pytest
import torch

from modeling.core import resumable_generation
from modeling.core.recipes import SamplingRecipe
from modeling.core.sampling import Answer
from modeling.rlhf import scoring
from modeling.rlhf.recipes import SelectedRecipe
from modeling.safety import context_distillation
from modeling.safety.recipes import DistillationRecipe
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains

SAMPLING = SamplingRecipe(temperature=1.2, top_p=1.0, max_new_tokens=10, seed=5)


class KilledError(Exception):
    pass


class KillingLog:
    def __init__(self, calls: int) -> None:
        self.calls = calls

    def info(self, text: str) -> None:
        pass

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        self.calls -= 1
        if self.calls == 0:
            raise KilledError


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folders = toy_rlhf.build(tmp_path_factory.mktemp("toy"), prompts=160)
    torch.set_num_threads(threads)
    return {"ppo_policy": folders["policy"], **{role: folders[role] for role in ("safety_reward_model", "prompts")}}


@pytest.fixture
def recipe():
    return DistillationRecipe(
        prompts=70,
        sampling=SAMPLING,
        preprompts=toy_rlhf.PREPROMPTS[:1],
        templates=(("colours", toy_rlhf.PREPROMPTS[1]),),
        least_gain=0.0,
        least_safety=0.0,
        finetune=SelectedRecipe(toy_rlhf.optimizer(1e-3), 64, 4, 1.0, 0, 0.5, 0, 0.0, 1.0, 0.0, 0, 0, SAMPLING),
    )


def test_keeps_what_the_safety_model_scores_higher(inputs, recipe, tmp_path, log):
    metrics = context_distillation.run(recipe, inputs, tmp_path, log)
    rows = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    samples = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert len(rows) == metrics["prompts"] == 70

    model, tokenizer = scoring.load(inputs["safety_reward_model"])
    for name in ("original", "distilled"):
        dialogs = [[*row["messages"], {"role": "assistant", "content": row[name]}] for row in rows]
        scores = scoring.score(model, tokenizer, dialogs)  # the preprompt takes no part in the score
        assert scores == pytest.approx([row[f"{name}_score"] for row in rows], abs=1e-2)
    for row in rows:
        better = row["distilled_score"] > row["original_score"]
        assert row["kept"] == (better and row["distilled"] != "" and not row["cut_off"])
        assert row["preprompt"] == {"generic": recipe.preprompts[0], "template": recipe.templates[0][1]}[row["guide"]]
        assert row["original_score"] == max(row["plain_scores"]) and len(row["plain_scores"]) == 2
        assert row["distilled_score"] == row[f"{row['guide']}_score"]
        assert [turn["role"] for turn in row["messages"]] == ["user"]
    assert {row["guide"] for row in rows} == {"generic", "template"}
    assert 0.4 < metrics["kept_share"] < 1.0  # "green" is what the policy prefers under a preprompt, and not always
    assert metrics["safety_with_preprompt"] > metrics["safety_original"] + 0.05
    assert metrics["safety_with_template"] > metrics["safety_original"] + 0.05
    assert metrics["safety_better_guided"] >= max(metrics["safety_with_preprompt"], metrics["safety_with_template"])
    assert metrics["safety_after_selection"] >= metrics["safety_better_guided"] - 0.02

    kept = {row["prompt_id"]: row for row in rows if row["kept"]}
    assert len(samples) == len(kept) == metrics["kept"]
    for row in samples:
        source = kept[row["prompt_id"]]
        answer = {"role": "assistant", "content": source["distilled"]}
        assert resumable_generation.plain(row["messages"]) == resumable_generation.plain([*source["messages"], answer])
        assert row["kind"] == "safety"
    assert (tmp_path / "plots" / "scores.png").stat().st_size > 10_000
    assert (tmp_path / "examples.md").read_text().count("Preprompt (") == min(10, len(kept)) + min(10, 70 - len(kept))


def test_a_killed_run_continues_to_the_same_bytes(inputs, recipe, tmp_path, log):
    recipe = dataclasses.replace(recipe, prompts=12)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir(), torn.mkdir()
    context_distillation.run(recipe, inputs, whole, log)
    for calls in (1, 2, 3, 4):
        with pytest.raises(KilledError):
            context_distillation.run(recipe, inputs, torn, KillingLog(calls))
    context_distillation.run(recipe, inputs, torn, log)
    for name in ("answers.parquet", "samples.parquet", "examples.md", "plots/scores.png"):
        assert (torn / name).read_bytes() == (whole / name).read_bytes()


def candidate(score: float, kind: str, text: str = "no", ended: bool = True) -> context_distillation.Candidate:
    return context_distillation.Candidate(Answer(text, ended), score, kind)


def test_the_better_guided_answer_meets_the_better_original():
    plain = [candidate(0.1, "plain", "a"), candidate(0.5, "plain", "b")]
    row = context_distillation.compared(plain, [candidate(0.2, "generic"), candidate(0.4, "template", "c")])
    assert (row["original"], row["original_score"], row["plain_scores"]) == ("b", 0.5, [0.1, 0.5])
    assert (row["distilled"], row["distilled_score"], row["guide"]) == ("c", 0.4, "template")
    assert not context_distillation.keep(row, 0.0, 0.0)
    cut = [candidate(0.2, "generic"), candidate(0.9, "template", ended=False)]
    assert context_distillation.compared(plain, cut)["guide"] == "generic"  # the other one is cut off
    empty = [candidate(0.9, "generic", ""), candidate(0.2, "template")]
    assert context_distillation.compared(plain, empty)["guide"] == "template"


def test_without_an_effect_half_of_the_prompts_gain():
    """Two against two: nothing is kept more often than by the toss of a coin."""
    draw = random.Random(3).gauss
    rows = [
        context_distillation.compared(
            [candidate(draw(0, 1), "plain") for _ in range(2)],
            [candidate(draw(0, 1), kind) for kind in ("generic", "template")],
        )
        for _ in range(2000)
    ]
    assert 0.45 < sum(context_distillation.keep(row, 0.0, 0.0) for row in rows) / 2000 < 0.55


def test_a_risk_category_without_a_template_is_named():
    assert context_distillation.template("b", (("a", "x"), ("b", "y"))) == "y"
    with pytest.raises(ValueError, match="'c'"):
        context_distillation.template("c", (("a", "x"),))


def test_a_preprompt_goes_before_a_system_message():
    user = {"role": "user", "content": "Hello"}
    assert context_distillation.with_preprompt([user], "Be wise.") == [{"role": "system", "content": "Be wise."}, user]
    system = {"role": "system", "content": "Answer in French."}
    assert context_distillation.with_preprompt([system, user], "Be wise.") == [
        {"role": "system", "content": "Be wise.\n\nAnswer in French."},
        user,
    ]


def test_the_rule_for_keeping():
    row = {"distilled": "no", "cut_off": False, "original_score": 0.1, "distilled_score": 0.2}
    assert context_distillation.keep(row, 0.0, 0.0)
    assert not context_distillation.keep(row, 0.15, 0.0)
    assert not context_distillation.keep(row | {"distilled_score": 0.1}, 0.0, 0.0)
    assert not context_distillation.keep(row | {"distilled": ""}, 0.0, 0.0)
    assert not context_distillation.keep(row | {"cut_off": True}, 0.0, 0.0)
    assert context_distillation.keep(row, 0.0, 0.54) and not context_distillation.keep(
        row, 0.0, 0.56
    )  # sigmoid(0.2) = 0.55


def test_without_adversarial_prompts_it_says_what_to_do(inputs, recipe, tmp_path, log):
    table = pq.read_table(inputs["prompts"] / "rl.parquet")
    harmless = table.filter([kind == "helpfulness" for kind in table["kind"].to_pylist()])
    pq.write_table(harmless, tmp_path / "rl.parquet")
    with pytest.raises(ValueError, match="kind 'safety'"):
        context_distillation.run(recipe, {**inputs, "prompts": tmp_path}, tmp_path, log)
    with pytest.raises(ValueError, match="needs a preprompt"):
        context_distillation.run(dataclasses.replace(recipe, preprompts=()), inputs, tmp_path, log)
