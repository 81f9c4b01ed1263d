"""Parameters and floating-point operations of a model, from its recipe alone."""

from dataclasses import replace

from modeling.core.recipes import ModelRecipe
from modeling.pretraining.model import matmul_flops_per_token, on_meta

# Parts in the order of the forward pass, by what the name of a weight holds.
PARTS = {
    "input embedding": ("embed_tokens",),
    "attention": ("self_attn",),
    "feed-forward": ("mlp",),
    "norms": ("norm",),
    "output matrix": ("lm_head",),
}


def parameters(recipe: ModelRecipe) -> dict[str, int]:
    """Returns part → number of parameters of the model as transformers builds it on the meta device.

    A tied output matrix counts as the input embedding.
    """
    found = dict.fromkeys(PARTS, 0)
    for name, weight in on_meta(recipe).named_parameters():
        part = next(part for part, marks in PARTS.items() if any(mark in name for mark in marks))
        found[part] += weight.numel()
    return found


def training_flops(recipe: ModelRecipe, length: int, output_matrix: bool = True) -> float:
    """Returns FLOPs of a training token in sequences of `length` tokens: forward and backward, causal attention included.

    6 · matrix weights + 6 · layers · hidden · length, the count that MFU refers to; recomputed activations do not count.
    A reward model or a critic has no output matrix.
    """
    flops = matmul_flops_per_token(replace(recipe, context=length))
    return flops if output_matrix else flops - 6 * recipe.hidden * recipe.vocab_size


def forward_flops(recipe: ModelRecipe, length: int, output_matrix: bool = True) -> float:
    """Returns FLOPs of a token that is only read, a third of a training token's."""
    return training_flops(recipe, length, output_matrix) / 3
