"""The decoding loop: one batch of prompts to answers, with a cache that is written in place.

Each prompt runs once for all its samples (prefill.py). A row that ends leaves the batch: a row from the end takes its
place, so a step costs what its live rows cost.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from modeling.core.nucleus import sample_tokens
from modeling.core.prefill import run_prompts
from modeling.core.recipes import SamplingRecipe

COLUMNS = 32  # places by which the cache grows


class RowCache:
    """Keys and values of the live rows: for each layer two tensors of shape (rows, heads, places, head size).

    It stands in for transformers' cache in a step of one token per row, which is all that it can take.
    """

    def __init__(self, cache: DynamicCache, samples: int) -> None:
        """Copy a cache of prompts; each row is repeated `samples` times."""
        self.length = cache.get_seq_length()  # places in use
        self.rows = len(cache.layers[0].keys) * samples
        self.tensors: list[list[Tensor]] = []  # [layer][keys, values]
        for layer in cache.layers:
            pair = [tensor.repeat_interleave(samples, 0) for tensor in (layer.keys, layer.values)]
            self.tensors.append([_widened(tensor) for tensor in pair])
            layer.keys = layer.values = None  # one layer at a time in memory twice

    @property
    def width(self) -> int:
        """Places, those still free included."""
        return self.tensors[0][0].shape[2]

    def begin_step(self) -> None:
        """Make room for one more place, in which `update` writes."""
        if self.length == self.width:
            for layer, pair in enumerate(self.tensors):  # one by one, so that the whole cache never exists twice
                self.tensors[layer] = [_widened(tensor[: self.rows]) for tensor in pair]
        self.length += 1

    def update(self, keys: Tensor, values: Tensor, layer: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Write the step's keys and values (rows, heads, 1, head size); returns those of all places, free ones too."""
        pair = [tensor[: self.rows] for tensor in self.tensors[layer]]
        for tensor, new in zip(pair, (keys, values), strict=True):
            tensor[:, :, self.length - 1 : self.length] = new
        return pair[0], pair[1]

    def move(self, sources: Tensor, targets: Tensor, rows: int) -> None:
        """Copy rows `sources` to `targets`, then keep the first `rows`."""
        for pair in self.tensors:
            for tensor in pair:
                tensor[targets] = tensor[sources]
        self.rows = rows


def _widened(tensor: Tensor) -> Tensor:
    wide = tensor.new_zeros(*tensor.shape[:2], tensor.shape[2] + COLUMNS, tensor.shape[3])
    wide[:, :, : tensor.shape[2]] = tensor
    return wide


@torch.inference_mode()
def answer_batch(
    model: PreTrainedModel,
    prompts: list[list[int]],
    uniforms_RT2: Tensor,
    recipe: SamplingRecipe,
    samples: int,
    closing: int,
    pad: int,
    progressed: Callable[[float], None] = lambda answers: None,
) -> list[list[int]]:
    """Answers of the rows R = prompts × samples, each up to its closing token; two uniform numbers for each token.

    `progressed` is called after each step with the number of answers so far. An unfinished answer counts by its share
    of max_new_tokens.
    """
    where = model.device
    states_BD, prompt_cache, mask_BP = run_prompts(model, prompts, pad)
    # Of a slice (B, 1, D), torch copies a head that does not learn B times: gigabytes. Of (B, D), it does not.
    logits_BV = model.get_output_embeddings()(states_BD)
    logits_RV = logits_BV.repeat_interleave(samples, 0)
    cache = RowCache(prompt_cache, samples)
    positions_R = mask_BP.sum(1).repeat_interleave(samples)  # of the next token
    seen_RL = mask_BP.bool().repeat_interleave(samples, 0)
    seen_RL = torch.nn.functional.pad(seen_RL, (0, recipe.max_new_tokens + COLUMNS))
    uniforms_RT2 = uniforms_RT2.to(where)
    alive_R = torch.arange(len(logits_RV), device=where)  # the row of the result each live row belongs to
    tokens_RT = torch.full((len(logits_RV), recipe.max_new_tokens), closing, device=where)

    for step in range(recipe.max_new_tokens):
        tokens_R = sample_tokens(logits_RV, uniforms_RT2[alive_R, step], recipe.temperature, recipe.top_p)
        tokens_RT[alive_R, step] = tokens_R
        going_R = tokens_R != closing
        rows = int(going_R.sum())
        if rows == 0 or step + 1 == recipe.max_new_tokens:
            break
        if rows < len(tokens_R):
            targets, sources = (~going_R[:rows]).nonzero().flatten(), going_R[rows:].nonzero().flatten() + rows
            cache.move(sources, targets, rows)
            for tensor in (alive_R, tokens_R, positions_R, seen_RL):
                tensor[targets] = tensor[sources]
            alive_R, tokens_R, positions_R, seen_RL = (t[:rows] for t in (alive_R, tokens_R, positions_R, seen_RL))
        cache.begin_step()
        seen_RL[:, cache.length - 1] = True
        logits_RV = model(
            input_ids=tokens_R[:, None],
            attention_mask=seen_RL[:, None, None, : cache.width],
            position_ids=positions_R[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        positions_R += 1
        progressed(len(tokens_RT) - rows * (1 - (step + 1) / recipe.max_new_tokens))
    return [row[: row.index(closing) + 1] if closing in row else row for row in tokens_RT.tolist()]
