"""The plan's bytes against those that torch's own tracker counts for a step on fake tensors."""

from dataclasses import replace

import pytest
import torch.distributed as dist

from modeling.core.recipes import ModelRecipe
from modeling.planning import sizes
from modeling.planning.memory import micro_batch, ppo_bytes, training_memory
from modeling.planning.simulation import simulate
from orchestration.scales import scale

MHA = ModelRecipe(
    layers=4, heads=8, kv_heads=8, hidden=512, ffn=1376, context=512, rope_theta=10_000.0, norm_epsilon=1e-5,
    tied_embeddings=False, vocab_size=2000,
)  # fmt: skip
GQA = replace(MHA, kv_heads=2, ffn=1792)
WORDY = replace(MHA, layers=2, vocab_size=16_000)  # logits outweigh everything else
TOLERANCE = 0.05


@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize(("recipe", "devices", "sequences"), [(MHA, 8, 4), (GQA, 4, 4), (WORDY, 8, 2)])
def test_the_plan_is_what_torch_tracks(recipe, devices, sequences, recompute):
    planned = training_memory(recipe, devices, sequences, recompute)
    tracked = simulate(recipe, devices, sequences, recompute)
    states = tracked.states
    assert planned.weights == states["weights"] == 4 * sizes.parameters(recipe) / devices
    assert planned.gradients == states["gradients"] == 4 * sizes.parameters(recipe) / devices
    scalars = 4 * (9 * recipe.layers + 3)  # a step count for each weight matrix or vector
    assert planned.moments == states["moments"] - scalars == 8 * sizes.parameters(recipe) / devices
    assert planned.total == pytest.approx(tracked.total, rel=TOLERANCE)
    assert not dist.is_initialized(), "the fake process group is gone"


def test_llama_7b_trains_on_eight_devices_of_80_gb():
    recipe = scale("7b").base.model
    planned = training_memory(recipe, 8, micro_batch(128, 4096), recompute=True)
    assert planned.weights == planned.gradients == planned.moments / 2 == 4 * 6_738_415_616 / 8
    assert planned.total < 80e9 < training_memory(recipe, 8, 8, recompute=False).total
    large = scale("70b").base.model
    assert training_memory(large, 8, 1, recompute=True).total > 80e9
    assert (
        training_memory(large, 64, 4, recompute=True).total < 80e9 < training_memory(large, 64, 8, recompute=True).total
    )


def test_ppo_holds_six_models():
    """Policy and critic learn, the reference is float32, the copy that answers and two reward models are bfloat16."""
    assert ppo_bytes(10, critic=True, devices=4) == 10 * ((16 + 16 + 4) / 4 + 2 + 2 + 2)
    assert ppo_bytes(10, critic=True) == 10 * (16 + 16 + 4 + 2 + 2 + 2) and ppo_bytes(10, critic=False) == 10 * 26


def test_the_micro_batch_divides_the_share_of_a_device():
    assert [micro_batch(n, 4096) for n in (128, 16, 12, 7, 2)] == [8, 8, 6, 7, 2]
    assert micro_batch(13, 4096) == 1 and micro_batch(4, 131_072) == 1


def test_more_devices_take_the_states_apart_and_nothing_else():
    eight, sixteen = (training_memory(MHA, devices, 4, recompute=True) for devices in (8, 16))
    assert eight.weights == 2 * sixteen.weights and eight.moments == 2 * sixteen.moments
    assert (eight.gathered, eight.activations, eight.working) == (
        sixteen.gathered,
        sixteen.activations,
        sixteen.working,
    )
