"""A new policy that is worse than the one before stays out; an equal one goes on."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling.core.recipes import FinetuneRecipe, SamplingRecipe
from modeling.rlhf import gates, policy, selection
from modeling.rlhf.recipes import PolicyRecipe
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains

SAMPLING = SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=12, seed=0)
RECIPE = PolicyRecipe(
    **vars(FinetuneRecipe(toy_rlhf.optimizer(3e-3), 64, 8, 1.0, 40, 0.0, 0, 0.0, 1.0, 0.0, 0)),
    start="base",
    selection_prompts=40,
    selection_sampling=SAMPLING,
)


class KilledError(Exception):
    pass


GOOD, BAD = "blue green blue green", "red red red"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The world, with validation prompts enough to tell policies apart. The policy before answers as the base model."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    world = toy_rlhf.build(folder, validation=60)
    rows = pq.read_table(world["prompts"] / "rl.parquet")["messages"].to_pylist()
    demonstrations = folder / "demonstrations"
    demonstrations.mkdir()
    for part in ("train", "test"):
        write(rows[:4], GOOD, demonstrations / f"{part}.parquet")
    for name, answer in (("good", GOOD), ("bad", BAD)):
        (folder / name).mkdir()
        write(rows, answer, folder / name / "samples.parquet")
    return world | {"base_model": world["policy"], "before": world["policy"], "demonstrations": demonstrations}


def write(prompts, answer, path) -> None:
    rows = [
        {"id": f"d{number}", "messages": [*messages, {"role": "assistant", "content": answer}]}
        for number, messages in enumerate(prompts)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def compared(candidate, inputs, scratch, log) -> selection.Selection:
    policies = {selection.CANDIDATE: candidate, selection.BEFORE: inputs["before"]}
    return selection.compare(policies, inputs, SAMPLING, 40, scratch, log)


def test_an_equal_policy_goes_on(inputs, tmp_path, log):
    found = compared(inputs["before"], inputs, tmp_path, log)
    assert found.selected == selection.CANDIDATE and found.reward.prompts == 40
    assert (found.reward.mean, found.reward.low, found.reward.high) == (0.0, 0.0, 0.0)
    assert 0 < found.refusals.prompts < 40  # adversarial prompts do not count


def test_a_spoiled_policy_stays_out(inputs, tmp_path, log):
    model = AutoModelForCausalLM.from_pretrained(inputs["before"])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
    toy_rlhf.save(model, AutoTokenizer.from_pretrained(inputs["before"]), tmp_path / "spoiled")
    found = compared(tmp_path / "spoiled", inputs, tmp_path / "scratch", log)
    assert found.selected == selection.BEFORE and found.reward.high < 0


def test_a_policy_that_refuses_more_stays_out(monkeypatch, inputs, tmp_path, log):
    """Whatever its reward: the rule that finds refusals is told to take one colour for a refusal."""
    better = tmp_path / "better"
    policy.run(dataclasses.replace(RECIPE, selection_prompts=0), samples(inputs, "good"), better, log)
    assert compared(better, inputs, tmp_path / "one", log).selected == selection.CANDIDATE
    monkeypatch.setattr(selection.comparison, "refuses", lambda messages, answer: answer.startswith("blue green"))
    found = compared(better, inputs, tmp_path / "one", log)
    assert found.selected == selection.BEFORE and found.reward.low > 0 and found.refusals.low > 0


def samples(inputs, name) -> dict:
    return inputs | {"rejection_samples": inputs["demonstrations"].parent / name}


def test_the_stage_keeps_the_better_policy(inputs, tmp_path, log):
    figures = policy.run(RECIPE, samples(inputs, "good"), tmp_path, log)
    found = json.loads((tmp_path / "selection.json").read_text())
    assert figures["selected"] == found["selected"] == "candidate" and found["reward"]["low"] > 0
    began, released = (load_file(folder / "model.safetensors") for folder in (inputs["before"], tmp_path))
    assert not all(torch.equal(began[name], released[name]) for name in began)


def test_the_stage_releases_the_policy_before_where_the_new_one_is_worse(inputs, tmp_path, log):
    recipe = dataclasses.replace(RECIPE, selection_prompts=40)
    torn, whole, asked = tmp_path / "torn", tmp_path / "whole", samples(inputs, "bad")
    figures = policy.run(recipe, asked, whole, log)
    assert figures["selected"] == "before" and figures["selection_reward_high"] < 0
    assert any("significantly worse" in line for line in log.lines)
    began, released = (load_file(folder / "model.safetensors") for folder in (inputs["before"], whole))
    assert all(torch.equal(began[name], released[name]) for name in began)
    assert "red red red" not in (whole / "samples.md").read_text()
    passed, why, _ = gates.learned_its_samples(whole, asked, recipe)
    assert passed and "kept the policy before" in why

    # A run that is killed after the weights were replaced does not compare the policy before with itself.
    again = policy.run(recipe, asked, whole, log)
    assert again == figures

    def killed(*_):
        raise KilledError

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(selection.reporting, "write_json", killed)
        policy.run(recipe, asked, torn, log)
    assert policy.run(recipe, asked, torn, log)["selected"] == "before"
    assert (torn / "selection.json").read_bytes() == (whole / "selection.json").read_bytes()


def test_without_a_validation_prompt_that_fits_nothing_is_selected(inputs, tmp_path, log):
    with pytest.raises(ValueError, match="no validation prompt fits"):
        selection.compare(
            {selection.CANDIDATE: inputs["before"], selection.BEFORE: inputs["before"]},
            inputs,
            dataclasses.replace(SAMPLING, max_new_tokens=toy_rlhf.CONTEXT - 1),
            40,
            tmp_path,
            log,
        )
