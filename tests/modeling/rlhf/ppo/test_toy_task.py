"""PPO solves a task whose optimum is known: begin every answer with one word. Both baselines reach it."""

import dataclasses
import json

import pytest
import torch

from modeling.core import hashing
from modeling.rlhf.ppo import stage as ppo
from modeling.rlhf.ppo.networks import Scores
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    torch.set_num_threads(1)
    return toy_rlhf.build(tmp_path_factory.mktemp("toy"))


def learned(recipe, inputs, log, spread: float = 0.0) -> list[float]:
    """The share of answers that begin with the word, by iteration; the optimum is 1.

    The reward of an answer is 1 if it does, else 0, plus an amount between 0 and `spread` that depends on the prompt.
    """
    loop = ppo.make_loop(recipe, inputs, log)
    shares = []

    def reward(prompts, responses) -> Scores:
        hits_B = torch.tensor([float(response.text.split()[:1] == ["blue"]) for response in responses])
        shares.append(float(hits_B.mean()))
        ease_B = torch.tensor([spread * hashing.unit_hash("ease", prompt.id) for prompt in prompts])
        return Scores(hits_B, hits_B, hits_B + ease_B)

    loop.reward = reward
    for iteration in range(1, recipe.iterations + 1):
        experience, _ = loop.rollout(iteration)
        loop.update(experience, iteration > recipe.critic_warmup)
    return shares


RECIPE = toy_rlhf.recipe(iterations=30, batch=64, beta=0.0, optimizer=toy_rlhf.optimizer(3e-3))
MODES = {
    "critic": {"baseline": "critic", "critic_warmup": 2},
    "leave-one-out": {"baseline": "leave-one-out", "samples": 4, "gae_lambda": 1.0},
}


@pytest.mark.parametrize("changes", MODES.values(), ids=MODES)
def test_the_optimum_is_reached(changes, inputs, log):
    shares = learned(dataclasses.replace(RECIPE, **changes), inputs, log)
    assert shares[0] < 0.5
    assert sum(shares[-5:]) / 5 >= 0.9


def test_a_constraint_is_learnt_from_the_penalty_alone(inputs, log):
    """All answers have the same reward; those that do not begin with the word have a fault."""
    recipe = dataclasses.replace(RECIPE, **MODES["leave-one-out"], fault_penalty=1.0)
    loop = ppo.make_loop(recipe, inputs, log)
    same_B = torch.zeros(recipe.batch)
    loop.reward = lambda prompts, responses: Scores(same_B, same_B, same_B)
    begins = json.dumps({"kind": "begins_with", "value": "blue"})
    loop.prompts = [dataclasses.replace(prompt, safety=False, constraint=begins) for prompt in loop.prompts]
    faulty = []
    for iteration in range(1, recipe.iterations + 1):
        experience, figures = loop.rollout(iteration)
        loop.update(experience)
        faulty.append(figures["faulty"])
    assert faulty[0] > 0.5
    assert sum(faulty[-5:]) / 5 <= 0.1


def test_prompts_that_differ_in_reward_do_not_disturb_leave_one_out(inputs, log):
    """They differ ten times more than answers do; a critic that knows nothing would have to average over that."""
    shares = learned(dataclasses.replace(RECIPE, **MODES["leave-one-out"]), inputs, log, spread=10.0)
    assert sum(shares[-5:]) / 5 >= 0.9
