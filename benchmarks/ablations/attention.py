"""Multi-head, grouped-query and multi-query attention at equal parameters (paper A.2.1, Table 18, Figure 24)."""

import time
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoTokenizer

from benchmarks.ablations import data, heldout, pretraining
from benchmarks.ablations.ablation import Ablation, Data, Figure
from benchmarks.ablations.comparison import against_the_first
from benchmarks.ablations.recipe import AblationsRecipe
from modeling.core import dialog, sampling
from modeling.core.recipes import ModelRecipe, PretrainRecipe
from modeling.evaluation import bits_per_byte


def widened(model: ModelRecipe, kv_heads: int) -> ModelRecipe:
    """Returns the model with fewer heads of keys and values, and as many parameters: its FFN is wider, as in the paper.

    A removed head frees 2 · hidden · head weights of a layer; a unit of the FFN takes 3 · hidden.
    """
    freed = 2 * (model.heads - kv_heads) * model.hidden // model.heads
    return replace(model, kv_heads=kv_heads, ffn=model.ffn + round(freed / 3))


def training(recipe: AblationsRecipe, kv_heads: int) -> PretrainRecipe:
    return replace(recipe.base, model=widened(recipe.base.model, kv_heads))


def measure(folder: Path, found: Data, recipe: AblationsRecipe) -> dict[str, float]:
    """Returns held-out bits per byte, bytes of the KV cache a token, and generated tokens a second."""
    texts = heldout.texts(found.mixture, recipe.heldout_documents)
    scored = heldout.figures(*bits_per_byte.load(folder), texts)
    model, tokenizer = sampling.load_transformers(folder), AutoTokenizer.from_pretrained(folder)
    stream = [token for text in texts for token in dialog.encode_text(tokenizer, text)]
    own, size = recipe.attention, recipe.attention.prompt_tokens
    prompts = [stream[place * size :][:size] for place in range(min(own.prompts, len(stream) // size))]
    return {
        **scored,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "ffn": model.config.intermediate_size,
        "kv_bytes": cache_bytes(model, prompts[0]),
        "tokens_per_s": max(speed(model, tokenizer, prompts, recipe) for _ in range(own.repeats)),
    }


@torch.inference_mode()
def cache_bytes(model, ids: list[int]) -> float:
    """Returns the measured bytes of keys and values of all layers, a token."""
    cache = model(input_ids=torch.tensor([ids], device=model.device), use_cache=True).past_key_values
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers) / len(ids)


def speed(model, tokenizer, prompts: list[list[int]], recipe: AblationsRecipe) -> float:
    """Returns generated tokens a second of one batch; the time of reading the prompts counts."""
    began = time.perf_counter()
    answers = sampling.generate_ids(model, tokenizer, prompts, recipe.attention.sampling)
    return sum(len(ids) for row in answers for ids in row) / (time.perf_counter() - began)


ABLATION = Ablation(
    name="attention",
    title="Attention at equal parameters",
    settings=lambda recipe: dict(recipe.attention.kv_heads),
    run=pretraining.run,
    training=training,
    data=lambda recipe, place, value, log: data.standard(recipe, place, log),
    size="tokens_seen tokens",
    measure=measure,
    figures=lambda recipe: (
        Figure("parameters", "Parameters", 0, 1, "", False),
        Figure("ffn", "FFN width", 0, 1, "", False),
        Figure("bits_per_byte", "Held-out bits per byte", 3, 1, "", True),
        Figure("kv_bytes", "KV-cache bytes a token", 0, 1, "", True),
        Figure("tokens_per_s", "Generated tokens/s", 0, 1, "", True),
    ),
    paper=(
        ("Paper, FFN", ("× 1", "× 1.3", "× 1.33")),
        (
            "Paper, Table 18: MMLU, GSM8K, HumanEval, HellaSwag",
            ("28.0, 4.9, 7.9, 75.1", "26.9, 5.3, 7.9, 75.4", "26.5, 4.8, 7.3, 74.5"),
        ),
        ("Paper, Figure 24: out of memory at batch", ("1,024 (context 256), 128 (2k)", "–", "–")),
    ),
    seen=against_the_first,
)
