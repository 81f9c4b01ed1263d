"""Runs prompts into one cache: their common beginning once for all, the rest in groups of like length.

One pass over all prompts would compute as much padding as the longest prompt makes in every row.
"""

import os
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from modeling.core.batching import of_like_length, pass_tokens


def run_prompts(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int
) -> tuple[Tensor, DynamicCache, Tensor]:
    """(last state of each prompt (B, D), the prompts' cache, its mask (B, P): 1 at tokens, 0 at padding).

    Padding lies between the common beginning and the rest, so every prompt ends at the last place.
    """
    where, decoder = model.device, model.get_decoder()
    shared = min(len(os.path.commonprefix(prompts)), min(map(len, prompts)) - 1) if len(prompts) > 1 else 0
    beginning = DynamicCache(config=model.config)
    if shared:
        decoder(torch.tensor([prompts[0][:shared]], device=where), past_key_values=beginning, use_cache=True)
    rests = [list(ids[shared:]) for ids in prompts]
    groups = of_like_length(rests, pass_tokens(where))
    states, caches = [], []
    for group in groups:
        cache = _repeated(beginning, len(group), model)
        states.append(_run(decoder, [rests[place] for place in group], shared, cache, pad, where))
        caches.append(cache)
    width = max(map(len, rests))
    mask_BP = torch.tensor([[1] * shared + [0] * (width - len(ids)) + [1] * len(ids) for ids in rests], device=where)
    places_B = torch.tensor([place for group in groups for place in group], device=where)
    return torch.cat(states)[places_B.argsort()], _joined(caches, groups, shared, width), mask_BP


def _repeated(beginning: DynamicCache, rows: int, model: PreTrainedModel) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    for number, layer in enumerate(beginning.layers):
        if layer.get_seq_length():
            cache.update(*(tensor.expand(rows, -1, -1, -1) for tensor in (layer.keys, layer.values)), number)
    return cache


def _run(decoder, rests: list[list[int]], shared: int, cache: DynamicCache, pad: int, where) -> Tensor:
    """The last states (B, D) of rows that go on from `shared` places of the cache; they are left-padded."""
    width = max(map(len, rests))
    ids_BW = torch.tensor([[pad] * (width - len(ids)) + ids for ids in rests], device=where)
    own_BW = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in rests], device=where)
    mask_BP = torch.cat([own_BW.new_ones(len(rests), shared), own_BW], 1)
    return decoder(
        input_ids=ids_BW,
        attention_mask=mask_BP,
        position_ids=(mask_BP.cumsum(1) - 1).clamp(min=0)[:, shared:],
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state[:, -1]


def _joined(caches: list[DynamicCache], groups: list[list[int]], shared: int, width: int) -> DynamicCache:
    """One cache of all rows in the order of their places. The parts are emptied layer by layer."""
    if len(groups) == 1 and groups[0] == sorted(groups[0]):
        return caches[0]
    rows = sum(map(len, groups))
    for layers in zip(*(cache.layers for cache in caches), strict=True):
        joined = []
        for name in ("keys", "values"):
            parts = [getattr(layer, name) for layer in layers]
            whole = parts[0].new_zeros(rows, parts[0].shape[1], shared + width, parts[0].shape[3])
            for group, part in zip(groups, parts, strict=True):
                own = part.shape[2] - shared
                whole[group, :, :shared] = part[:, :, :shared]
                whole[group, :, shared + width - own :] = part[:, :, shared:]
            joined.append(whole)
        for layer in layers:
            layer.keys = layer.values = None
        layers[0].keys, layers[0].values = joined
    return caches[0]
