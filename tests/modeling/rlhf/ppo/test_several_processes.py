"""PPO by two processes that share the weights (FSDP2 on gloo): the iterations and the policy of a single process."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modeling.rlhf.ppo import rollout, stage
from tests.modeling import sharded_worker, toy_rlhf
from tests.modeling.test_sharding import trained_alone, under_torchrun

pytestmark = [pytest.mark.trains, pytest.mark.timeout(600)]

CRITIC = {"iterations": 4, "evaluate_every": 2, "frozen_layers": 1}
LEAVE_ONE_OUT = {**CRITIC, "baseline": "leave-one-out", "samples": 4, "gae_lambda": 1.0, "frozen_layers": 0}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ppo")
    inputs = folder / "inputs"
    toy_rlhf.build(inputs, validation=7)  # of two processes one has a row more
    alone = {"critic": CRITIC, "others": LEAVE_ONE_OUT}
    for name, changes in alone.items():
        trained_alone(sharded_worker.ppo, folder / f"one-{name}", inputs, **changes)
    job = {"name": "ppo", "inputs": inputs}
    under_torchrun(
        2,
        folder,
        {**job, **CRITIC, "out": folder / "two-critic"},
        {**job, **LEAVE_ONE_OUT, "out": folder / "two-others"},
        {**job, **CRITIC, "out": folder / "continued-critic", "stop": 2},
    )
    trained_alone(sharded_worker.ppo, folder / "continued-critic", inputs, **CRITIC)
    return folder


@pytest.mark.parametrize("name", ["two-critic", "two-others", "continued-critic"])
def test_the_iterations_and_the_policy_are_those_of_one_process(world, name):
    one = world / f"one-{name.split('-')[1]}"
    alone, together = (
        [json.loads(line) for line in (folder / "iterations.jsonl").read_text().splitlines()]
        for folder in (one, world / name)
    )
    assert len(alone) == 5 and alone[-1]["kl"] > 0
    assert [row.keys() for row in together] == [row.keys() for row in alone]
    for mine, theirs in zip(together, alone, strict=True):
        assert mine == pytest.approx(theirs, abs=2e-3, nan_ok=True)
    assert (world / name / "examples.md").read_text() == (one / "examples.md").read_text()
    before, whole, gathered = (
        load_file(folder / "model.safetensors") for folder in (world / "inputs" / "policy", one, world / name)
    )
    assert gathered.keys() == whole.keys() and any(not torch.equal(whole[key], before[key]) for key in whole)
    for key, value in whole.items():
        torch.testing.assert_close(gathered[key], value, atol=2e-3, rtol=0)


def test_processes_that_do_not_divide_the_mini_batch_are_refused(world, monkeypatch, log):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="mini_batch 16 is no multiple of the 3 processes"):
        stage.check_recipe(toy_rlhf.recipe())


def test_every_process_has_as_many_micro_batches():
    lengths = [10, 500, 10, 20, 10, 30, 10, 900]
    parts = rollout.shared(lengths, range(8), 4, 2)
    assert sorted(row for groups in parts for group in groups for row in group) == list(range(8))
    assert [len(groups) for groups in parts] == [3, 3] and all(group for groups in parts for group in groups)
    assert rollout.shared(lengths, range(8), 4, 1) == [rollout.like_lengths(lengths, range(8), 4)]
    with pytest.raises(ValueError, match="multiple"):
        rollout.shared(lengths, range(7), 4, 2)
