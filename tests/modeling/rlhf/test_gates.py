"""Gates that compare behaviour, and what they read."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from modeling.core.recipes import FinetuneRecipe
from modeling.finetuning import sft
from modeling.rlhf import gates, rejection_sampling
from tests.modeling import toy_rlhf
from tests.modeling.rlhf import test_rejection_sampling

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    torch.set_num_threads(1)
    folders = toy_rlhf.build(tmp_path_factory.mktemp("toy"))
    pq.write_table(pq.read_table(folders["prompts"] / "rl.parquet"), folders["prompts"] / "test.parquet")
    return folders


def taught(inputs, answer, out, log):
    """The policy after it learnt to give one answer to everything."""
    rows = pq.read_table(inputs["prompts"] / "rl.parquet")["messages"].to_pylist()
    dialogues = [[*messages, {"role": "assistant", "content": answer}] for messages in rows]
    recipe = FinetuneRecipe(toy_rlhf.optimizer(3e-3), 64, 8, 1.0, 40, 0.0, 0, 0.0, 1.0, 0.0, 0)
    sft.finetune(inputs["policy"], dialogues, recipe, out, log)
    return out


def test_a_policy_that_pleases_less_than_its_start_is_stopped(inputs, tmp_path, log):
    recipe = toy_rlhf.recipe()
    liked = taught(inputs, "blue green blue green", tmp_path / "liked", log)
    passed, why, figures = gates.not_below_its_start(liked, inputs, recipe)
    assert passed and figures["low"] > 0, why
    start = {**inputs, "policy": liked}
    passed, why, figures = gates.not_below_its_start(liked, start, recipe)
    assert passed and figures["reward_before"] == figures["reward_after"], why
    disliked = taught(inputs, "red red red", tmp_path / "disliked", log)
    passed, why, figures = gates.not_below_its_start(disliked, start, recipe)
    assert not passed and figures["high"] < 0, why


def test_a_policy_that_refuses_more_than_its_start_is_stopped(inputs, tmp_path, log, monkeypatch):
    """It pleases more: the rule that finds refusals is told to take its answer for one."""
    liked = taught(inputs, "blue green blue green", tmp_path, log)
    monkeypatch.setattr(gates.comparison, "refuses", lambda messages, answer: answer.startswith("blue green blue"))
    passed, why, figures = gates.not_below_its_start(liked, inputs, toy_rlhf.recipe())
    assert not passed and figures["low"] > 0 and figures["refused_low"] > 0.02 > figures["margin"], why
    assert figures["refused_after"] > figures["refused_before"]


def test_a_sample_that_is_not_its_first_ranked_answer_is_stopped(inputs, tmp_path, log):
    recipe = test_rejection_sampling.RECIPE
    rejection_sampling.run(recipe, {"chat": inputs["policy"], **inputs}, tmp_path, log)
    assert gates.best_of_k(tmp_path, inputs, recipe)[0]
    worst = {
        row["prompt_id"]: row["response"]
        for row in pq.read_table(tmp_path / "candidates.parquet").to_pylist()
        if row["rank"] == recipe.samples - 1
    }
    table = pq.read_table(tmp_path / "samples.parquet")
    rows = table.to_pylist()
    rows[0]["messages"][-1]["content"] = worst[rows[0]["prompt_id"]]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "samples.parquet")
    passed, why, _ = gates.best_of_k(tmp_path, inputs, recipe)
    assert not passed and rows[0]["prompt_id"] in why
