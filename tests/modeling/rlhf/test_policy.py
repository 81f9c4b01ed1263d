"""A round's policy: from the base model, on the best samples and a share of demonstrations."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from modeling.core import sampling
from modeling.core.recipes import SamplingRecipe
from modeling.rlhf import policy
from modeling.rlhf.recipes import PolicyRecipe
from tests.modeling import toy_chat

pytestmark = pytest.mark.trains

RECIPE = PolicyRecipe(
    **vars(toy_chat.RECIPE) | {"max_steps": 40, "demonstration_share": 0.25},
    start="base",
    selection_prompts=0,
    selection_sampling=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=12, seed=0),
)


def write(dialogues: list, path) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.Table.from_pylist([{"id": f"d{n}", "messages": one} for n, one in enumerate(dialogues)]), path)


@pytest.fixture
def inputs(tmp_path):
    torch.set_num_threads(1)
    write(toy_chat.dialogues(), tmp_path / "demonstrations/train.parquet")
    write(toy_chat.dialogues()[:2], tmp_path / "demonstrations/test.parquet")
    preferred = [toy_chat.dialogue(thing, "gold") for thing in toy_chat.THINGS[:6]]
    write(preferred, tmp_path / "rejection/samples.parquet")
    return {
        "base_model": toy_chat.save_base(tmp_path / "base"),
        "demonstrations": tmp_path / "demonstrations",
        "rejection_samples": tmp_path / "rejection",
    }


def test_policy_learns_the_best_samples_in_a_constant_number_of_steps(inputs, tmp_path, log):
    figures = policy.run(RECIPE, inputs, tmp_path / "out", log)
    assert (figures["samples"], figures["demonstrations"], figures["steps"]) == (6, 2, 40)
    model, tokenizer = sampling.load(tmp_path / "out")
    prompts = [toy_chat.dialogue(thing, "")[:-1] for thing in toy_chat.THINGS[:6]]
    recipe = SamplingRecipe(temperature=0.0, top_p=1.0, max_new_tokens=16, seed=0)
    answers = [answer.text for (answer,) in sampling.generate(model, tokenizer, prompts, recipe)]
    assert sum("gold" in answer for answer in answers) >= 4
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 2), (0.5, 6), (0.9, 10)])
def test_demonstration_share_is_of_the_whole(inputs, share, expected):
    recipe = dataclasses.replace(RECIPE, demonstration_share=share)
    assert len(policy.demonstrations(inputs["demonstrations"] / "train.parquet", 6, recipe)) == expected


def test_demonstrations_change_with_the_seed_and_not_otherwise(inputs):
    path = inputs["demonstrations"] / "train.parquet"
    assert policy.demonstrations(path, 12, RECIPE) == policy.demonstrations(path, 12, RECIPE)
    assert policy.demonstrations(path, 12, RECIPE) != policy.demonstrations(
        path, 12, dataclasses.replace(RECIPE, seed=9)
    )


def test_a_policy_may_go_on_from_the_one_before(inputs, tmp_path, log):
    recipe = dataclasses.replace(RECIPE, max_steps=20)
    policy.run(recipe, inputs, tmp_path / "first", log)
    anew = policy.run(recipe, inputs, tmp_path / "anew", log)
    further = policy.run(dataclasses.replace(recipe, start="before"), inputs | {"before": tmp_path / "first"},
                         tmp_path / "further", log)  # fmt: skip
    assert further["loss_first"] < 0.5 * anew["loss_first"]
    with pytest.raises(ValueError, match="base or before"):
        policy.run(dataclasses.replace(recipe, start="last"), inputs, tmp_path / "out", log)


def test_what_cannot_be_mixed_is_refused(inputs, tmp_path, log):
    with pytest.raises(ValueError, match="share in"):
        policy.run(dataclasses.replace(RECIPE, demonstration_share=1.0), inputs, tmp_path / "out", log)
    write(toy_chat.dialogues(), tmp_path / "empty/samples.parquet")
    pq.write_table(pq.read_table(tmp_path / "empty/samples.parquet").slice(0, 0), tmp_path / "empty/samples.parquet")
    with pytest.raises(ValueError, match="more prompts"):
        policy.run(RECIPE, inputs | {"rejection_samples": tmp_path / "empty"}, tmp_path / "out", log)


def test_ghost_dialogues_are_a_share_of_all_and_only_their_last_answer_is_learnt(inputs, tmp_path, log):
    ghosts = [
        [*toy_chat.dialogue(thing, "red"), *toy_chat.dialogue(thing, "gold", "Say gold.")[1:]]
        for thing in toy_chat.THINGS
    ]
    for ghost in ghosts:
        ghost[1]["weight"] = 0
    write(ghosts, tmp_path / "ghosts/samples.parquet")
    recipe = dataclasses.replace(RECIPE, ghost_share=0.2, max_steps=1)
    assert len(policy.ghost_dialogues(tmp_path / "ghosts", 8, recipe)) == 2
    plain = policy.run(recipe, inputs, tmp_path / "plain", log)
    mixed = policy.run(recipe, inputs | {"ghost_dialogues": tmp_path / "ghosts"}, tmp_path / "mixed", log)
    assert (plain["ghost_dialogues"], mixed["ghost_dialogues"], mixed["dialogues"]) == (0, 2, 10)
    alike = policy.ghost_dialogues(tmp_path / "ghosts", 8, recipe)
    assert all(one[1]["weight"] == 0 and "weight" not in one[-1] for one in alike)
    with pytest.raises(ValueError, match="ghost_share must be a share"):
        policy.ghost_dialogues(tmp_path / "ghosts", 8, dataclasses.replace(recipe, ghost_share=1.0))
