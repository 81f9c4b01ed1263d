"""Both baselines: what an answer is compared with, what is learnt and kept, and frozen layers."""

import json

import pytest
import torch
from safetensors.torch import load_file

from modeling.rlhf.ppo import losses
from modeling.rlhf.ppo import stage as ppo
from tests.modeling import toy_rlhf
from tests.modeling.rlhf.ppo.test_ppo import KilledError, KillingLog, published

pytestmark = pytest.mark.trains

LEAVE_ONE_OUT = {"baseline": "leave-one-out", "samples": 4, "gae_lambda": 1.0}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    torch.set_num_threads(1)
    return toy_rlhf.build(tmp_path_factory.mktemp("toy"))


def test_mean_of_others_by_hand():
    values = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    assert losses.mean_of_others(values, 3).tolist() == [4.0, 3.5, 1.5, 1.5, 1.5, 0.0]
    for samples in (1, 4):
        with pytest.raises(ValueError, match="groups of"):
            losses.mean_of_others(values, samples)


def test_leave_one_out_advantages_by_hand(inputs, log):
    loop = ppo.make_loop(toy_rlhf.recipe(**LEAVE_ONE_OUT, beta=0.0), inputs, log)
    experience, figures = loop.rollout(1)
    assert len(experience.responses) == 32 and len({prompt.id for prompt in experience.prompts}) == 8
    groups = [experience.prompts[start : start + 4] for start in range(0, 32, 4)]
    assert all(len({prompt.id for prompt in group}) == 1 for group in groups)
    assert len({tuple(response.ids) for response in experience.responses[:4]}) > 1
    # Without a KL term the return of every token is the reward of its answer.
    returns_B = experience.returns_BT[:, 0]
    for row in range(32):
        others = [other for other in range(row - row % 4, row - row % 4 + 4) if other != row]
        mask = experience.mask_BT[row]
        assert torch.allclose(experience.values_BT[row][mask], returns_B[others].mean(), atol=1e-5)
        assert torch.allclose(experience.returns_BT[row][mask], returns_B[row], atol=1e-5)
        assert not experience.values_BT[row][~mask].any()
    assert figures["explained_variance"] == pytest.approx(
        losses.explained_variance(experience.values_BT, experience.returns_BT, experience.mask_BT)
    )


def test_a_killed_run_without_a_critic_continues_to_the_same_bytes(inputs, tmp_path, log):
    recipe = toy_rlhf.recipe(iterations=4, evaluate_every=2, **LEAVE_ONE_OUT)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir(), torn.mkdir()
    ppo.run(recipe, inputs, whole, log)
    for iteration in (1, 3):
        with pytest.raises(KilledError):
            ppo.run(recipe, inputs, torn, KillingLog(iteration))
    ppo.run(recipe, inputs, torn, log)
    assert published(torn) == published(whole)
    assert not list(torn.rglob("critic*"))
    rows = [json.loads(line) for line in (torn / "iterations.jsonl").read_text().splitlines()]
    assert "policy_gradient_norm" in rows[1] and "value_loss" not in rows[1]


def test_the_critic_learns_before_the_policy_moves(inputs, tmp_path, log):
    recipe = toy_rlhf.recipe(iterations=3, evaluate_every=1, critic_warmup=2)
    ppo.run(recipe, inputs, tmp_path, log)
    rows = [json.loads(line) for line in (tmp_path / "iterations.jsonl").read_text().splitlines()]
    assert [row.get("kl") == 0.0 for row in rows] == [False, True, True, True]  # measured before the update
    assert ["heldout_kl" in row for row in rows] == [True, False, False, True]
    assert all(row["critic_gradient_norm"] > 0 for row in rows[1:])
    assert ["policy_gradient_norm" in row for row in rows] == [False, False, False, True]
    assert rows[3]["heldout_kl"] != 0.0


@pytest.mark.parametrize("changes", [{}, LEAVE_ONE_OUT], ids=["critic", "leave-one-out"])
def test_frozen_layers_stay_and_are_shared_with_the_reference(inputs, tmp_path, log, changes):
    recipe = toy_rlhf.recipe(iterations=2, evaluate_every=1, frozen_layers=1, beta=0.0, **changes)
    loop = ppo.make_loop(recipe, inputs, log)
    ours, theirs = (dict(model.named_parameters()) for model in (loop.policy.model, loop.reference))
    shared = {name for name in ours if ours[name] is theirs[name]}
    assert shared == {name for name in ours if "embed_tokens" in name or "layers.0." in name}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    ppo.run(recipe, inputs, tmp_path, log)
    (newest,) = (tmp_path / "_scratch/ppo").glob("iteration-*")
    for path in newest.glob("policy*.safetensors"):
        assert not any("layers.0." in name or "embed_tokens" in name for name in load_file(path))
    began, moved = load_file(inputs["policy"] / "model.safetensors"), load_file(newest / "policy.safetensors")
    assert moved.keys() == ours.keys() - shared
    assert any(not torch.equal(began[name], moved[name]) for name in moved)
    released = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(began[name], released[name]) for name in shared)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "mean"}, "unknown baseline"),
        ({"baseline": "leave-one-out", "gae_lambda": 1.0}, "two or more samples"),
        ({**LEAVE_ONE_OUT, "gae_lambda": 0.95}, "gae_lambda to 1"),
        ({**LEAVE_ONE_OUT, "critic_warmup": 3}, "no critic"),
        ({"samples": 5}, "multiple of samples"),
        ({"frozen_layers": 3}, "lower frozen_layers"),
    ],
)
def test_recipes_that_would_do_something_else_are_refused(inputs, log, changes, message):
    with pytest.raises(ValueError, match=message):
        ppo.make_loop(toy_rlhf.recipe(**changes), inputs, log)
