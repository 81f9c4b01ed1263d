"""Parameters against the published ones, FLOPs against torch's own counter."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaForCausalLM

from modeling.core.recipes import ModelRecipe
from modeling.planning import sizes
from modeling.planning.arithmetic import forward_flops, parameters, training_flops
from modeling.pretraining.model import llama_config
from orchestration.scales import scale

SMALL = ModelRecipe(
    layers=3, heads=4, kv_heads=2, hidden=64, ffn=160, context=32, rope_theta=10_000.0, norm_epsilon=1e-5,
    tied_embeddings=False, vocab_size=100,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "published"),
    [("7b", 6_738_415_616), ("13b", 13_015_864_320), ("34b", 33_743_970_304), ("70b", 68_976_648_192)],
)
def test_the_parts_are_those_of_the_published_models(name, published):
    recipe = scale(name).base.model
    found = parameters(recipe)
    assert sum(found.values()) == published == sizes.parameters(recipe)
    head = recipe.hidden // recipe.heads
    assert found["attention"] == recipe.layers * 2 * recipe.hidden * head * (recipe.heads + recipe.kv_heads)
    assert found["feed-forward"] == recipe.layers * 3 * recipe.hidden * recipe.ffn
    assert found["input embedding"] == found["output matrix"] == 32_000 * recipe.hidden
    assert found["norms"] == (2 * recipe.layers + 1) * recipe.hidden


def test_a_tied_output_matrix_counts_once():
    found = parameters(replace(SMALL, tied_embeddings=True))
    assert found["output matrix"] == 0 and found["input embedding"] == 6400
    assert sum(found.values()) == sizes.parameters(replace(SMALL, tied_embeddings=True))


@pytest.mark.parametrize("length", [16, 32])
def test_flops_are_those_that_torch_counts(length):
    """Torch counts the whole square of attention; the causal half of it is 6 · layers · hidden · length / 2 more a token."""
    config = llama_config(SMALL)
    config._attn_implementation = "eager"
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
        ids = torch.zeros(2, length, dtype=torch.long)
    tokens, other_half = ids.numel(), 6 * SMALL.layers * SMALL.hidden * length
    with FlopCounterMode(display=False) as forward:
        loss = model(input_ids=ids, labels=ids).loss
    assert forward.get_total_flops() == tokens * (forward_flops(SMALL, length) + other_half / 3)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    both = forward.get_total_flops() + backward.get_total_flops()
    assert both == tokens * (training_flops(SMALL, length) + other_half)


def test_a_reward_model_has_no_output_matrix():
    saved = training_flops(SMALL, 16) - training_flops(SMALL, 16, output_matrix=False)
    assert saved == 6 * SMALL.hidden * SMALL.vocab_size
    assert forward_flops(SMALL, 16, output_matrix=False) == training_flops(SMALL, 16, output_matrix=False) / 3
