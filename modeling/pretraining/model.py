"""The Llama 2 architecture from a recipe (paper 2.2, A.2.1): pre-norm RMSNorm, SwiGLU, RoPE, GQA, on transformers' Llama."""

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from modeling.core.recipes import ModelRecipe

INITIAL_STD = 0.02


def llama_config(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerBase | None = None) -> LlamaConfig:
    """transformers' configuration; the tokenizer gives the ids of BOS, EOS and padding.

    Raises ValueError if the recipe's sizes do not divide or the tokenizer has more tokens than the vocabulary.
    """
    if recipe.hidden % recipe.heads or recipe.heads % recipe.kv_heads:
        raise ValueError(
            f"hidden {recipe.hidden} must divide by heads {recipe.heads}, and those by kv_heads {recipe.kv_heads}"
        )
    if tokenizer is not None and len(tokenizer) > recipe.vocab_size:
        raise ValueError(f"The tokenizer has {len(tokenizer)} tokens, the model has room for {recipe.vocab_size}")
    return LlamaConfig(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.ffn,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=recipe.context,
        rms_norm_eps=recipe.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        tie_word_embeddings=recipe.tied_embeddings,
        initializer_range=INITIAL_STD,
        bos_token_id=None if tokenizer is None else tokenizer.bos_token_id,
        eos_token_id=None if tokenizer is None else tokenizer.eos_token_id,
        pad_token_id=None if tokenizer is None else tokenizer.pad_token_id,
    )


def build(recipe: ModelRecipe, tokenizer: PreTrainedTokenizerBase | None, seed: int) -> LlamaForCausalLM:
    """A model with random float32 weights: N(0, 0.02²), projections into the residual stream scaled by 1/√(2·layers).

    The paper does not give an initialisation; the scaling is GPT-2's, which keeps the residual stream's size
    independent of depth.
    """
    torch.manual_seed(seed)
    model = LlamaForCausalLM(llama_config(recipe, tokenizer))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.mul_(1 / math.sqrt(2 * recipe.layers))
    return model


def shape(config: LlamaConfig, context: int) -> ModelRecipe:
    """The recipe of an existing model that reads `context` tokens."""
    return ModelRecipe(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        hidden=config.hidden_size,
        ffn=config.intermediate_size,
        context=context,
        rope_theta=config.rope_parameters["rope_theta"],
        norm_epsilon=config.rms_norm_eps,
        tied_embeddings=config.tie_word_embeddings,
        vocab_size=config.vocab_size,
    )


def count_parameters_on_meta(recipe: ModelRecipe) -> int:
    """The number of parameters of the recipe's model, tied ones once. Allocates no memory for them."""
    return sum(weight.numel() for weight in on_meta(recipe).parameters())


def on_meta(recipe: ModelRecipe) -> LlamaForCausalLM:
    """The recipe's model without memory for its weights."""
    with torch.device("meta"):
        return LlamaForCausalLM(llama_config(recipe))


def matmul_flops_per_token(recipe: ModelRecipe) -> float:
    """Floating-point operations per training token, for MFU (PaLM, appendix B).

    6 per matrix weight (the output matrix included, the input embedding not), plus 12 · layers · hidden · context / 2
    for causal attention.
    """
    head = recipe.hidden // recipe.heads
    layer = recipe.hidden * head * (2 * recipe.heads + 2 * recipe.kv_heads) + 3 * recipe.hidden * recipe.ffn
    matrices = recipe.layers * layer + recipe.hidden * recipe.vocab_size
    return 6 * matrices + 6 * recipe.layers * recipe.hidden * recipe.context
