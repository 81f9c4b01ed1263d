"""Sizes against the published ones, and what the recipe promises of a fresh model."""

from dataclasses import replace

import pytest
import torch

from modeling.core.recipes import ModelRecipe
from modeling.pretraining.model import build, count_parameters_on_meta, llama_config, matmul_flops_per_token
from modeling.pretraining.tokenizer import train

LLAMA = ModelRecipe(
    layers=32,
    heads=32,
    kv_heads=32,
    hidden=4096,
    ffn=11008,
    context=4096,
    rope_theta=10000.0,
    norm_epsilon=1e-5,
    tied_embeddings=False,
    vocab_size=32000,
)
SMALL = ModelRecipe(
    layers=2,
    heads=4,
    kv_heads=2,
    hidden=64,
    ffn=160,
    context=32,
    rope_theta=10000.0,
    norm_epsilon=1e-5,
    tied_embeddings=True,
    vocab_size=600,
)


@pytest.mark.parametrize(
    ("recipe", "published"),
    [
        (LLAMA, 6_738_415_616),
        (replace(LLAMA, layers=40, heads=40, kv_heads=40, hidden=5120, ffn=13824), 13_015_864_320),
        (replace(LLAMA, layers=48, heads=64, kv_heads=8, hidden=8192, ffn=22016), 33_743_970_304),
        (replace(LLAMA, layers=80, heads=64, kv_heads=8, hidden=8192, ffn=28672), 68_976_648_192),
    ],
    ids=["7b", "13b", "34b", "70b"],
)
def test_published_parameter_counts(recipe, published):
    assert count_parameters_on_meta(recipe) == published


def test_build_follows_recipe_and_seed():
    tokenizer = train(["a few words to learn from, 123"] * 2, 600)
    model = build(SMALL, tokenizer, seed=1)
    assert sum(p.numel() for p in model.parameters()) == count_parameters_on_meta(SMALL)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.config.rope_parameters["rope_theta"] == SMALL.rope_theta
    same, other = build(SMALL, tokenizer, seed=1), build(SMALL, tokenizer, seed=2)
    assert torch.equal(model.lm_head.weight, same.lm_head.weight)
    assert not torch.equal(model.lm_head.weight, other.lm_head.weight)
    layer = model.model.layers[0]
    assert layer.mlp.up_proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.mlp.down_proj.weight.std().item() == pytest.approx(0.02 / 2, rel=0.05)


def test_a_fresh_model_guesses_evenly():
    model = build(SMALL, None, seed=0)
    ids = torch.randint(0, SMALL.vocab_size, (4, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert loss == pytest.approx(torch.log(torch.tensor(600.0)).item(), abs=0.1)


def test_flops_of_llama_7b():
    # 6 · (6.74e9 less the input embedding) plus attention: 4.26e10 at context 4096.
    assert matmul_flops_per_token(LLAMA) == pytest.approx(6 * (6_738_415_616 - 4096 * 32000) + 3.22e9, rel=0.01)


def test_misfits_are_refused():
    with pytest.raises(ValueError, match="must divide"):
        llama_config(replace(SMALL, heads=5))
    with pytest.raises(ValueError, match="room for 270"):
        llama_config(replace(SMALL, vocab_size=270), train(["some words"], 512))
