"""PPO that diverges ends there, keeps no broken weights, and a new run ends the same way."""

import math

import pytest
import torch
from safetensors.torch import load_file

from modeling.core.divergence import DivergedError
from modeling.rlhf.ppo import stage as ppo
from tests.modeling import toy_rlhf


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    torch.set_num_threads(1)
    return toy_rlhf.build(tmp_path_factory.mktemp("toy"))


def kept(folder) -> dict[str, bool]:
    """Name of each file of weights → whether all are finite."""
    return {
        str(path.relative_to(folder)): all(weight.isfinite().all() for weight in load_file(path).values())
        for path in folder.rglob("*.safetensors")
    }


def test_weights_that_are_not_finite_are_never_kept(inputs, tmp_path, log):
    recipe = toy_rlhf.recipe(evaluate_every=1, optimizer=toy_rlhf.optimizer(3e38))
    for _ in range(2):
        with pytest.raises(DivergedError, match="diverged at iteration 1 of 12: .*Lower the learning rate"):
            ppo.run(recipe, inputs, tmp_path, log)
        assert kept(tmp_path) == {"_scratch/ppo/best-000000.safetensors": True}
    assert log.steps == []


def test_a_gradient_that_is_not_finite_updates_nothing(inputs, tmp_path, log):
    """From iteration 3 on, in either network; the run that follows continues after the good iteration."""
    for part in ("policy", "critic"):
        folder = tmp_path / part
        loop = ppo.make_loop(toy_rlhf.recipe(evaluate_every=1, patience=99), inputs, log)
        learner, rollout = loop.learners[part], loop.rollout
        weight = next(learner.model.parameters())

        def harmed(iteration, weight=weight, rollout=rollout):
            if iteration == 3:
                weight.register_hook(lambda gradient: gradient * math.nan)
            return rollout(iteration)

        loop.rollout = harmed
        with pytest.raises(
            DivergedError, match=f"diverged at iteration 3 of 12: the gradient norm of the {part} is nan"
        ):
            loop.train(folder)
        assert all(kept(folder).values()) and "iteration-000002/policy.safetensors" in kept(folder)
        again = ppo.make_loop(toy_rlhf.recipe(iterations=3, evaluate_every=1, patience=99), inputs, log)
        assert again.train(folder).iteration == 3 and "continuing after iteration 2" in log.lines
