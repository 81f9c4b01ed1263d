"""Rows of one model that decode together, each with a length of its own. Rows join and leave between two steps.

The token at position p of a row lies in place p of the cache, whatever the other rows are. Places behind a row's last
token are masked, so a row never sees what another one left there.
"""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

PLACES = 64  # a step reads a multiple of so many places: sums over them are then in the same order for every width
ROWS = 8  # the cache grows by so many rows


class LiveBatch:
    """The cache of the live rows, and the step that gives each of them one more token."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.lengths: list[int] = []  # tokens in the cache, by row
        self._most: list[int] = []  # tokens that may come to be there, by row
        self._tensors: list[list[Tensor]] = []  # [layer][keys, values]: (rows, heads, places, head size), free ones too

    def __len__(self) -> int:
        return len(self.lengths)

    @torch.inference_mode()
    def join(self, cache: DynamicCache, most: int) -> None:
        """Adds a row at the end: the cache of one prompt, which is emptied. The row will hold at most `most` tokens.

        Raises RuntimeError if there is no memory for it; the other rows are then as before.
        """
        row, length = len(self), cache.get_seq_length()
        if not self._tensors:
            self._tensors = [[tensor[:0] for tensor in (layer.keys, layer.values)] for layer in cache.layers]
        places = _rounded(max([*self._most, most]), PLACES)
        for pair, layer in zip(self._tensors, cache.layers, strict=True):
            for index, new in enumerate((layer.keys, layer.values)):
                pair[index] = self._with_room(pair[index], _rounded(row + 1, ROWS), places)
                pair[index][row, :, :length] = new[0]
            layer.keys = layer.values = None  # one layer at a time in memory twice
        self.lengths.append(length)
        self._most.append(most)

    def _with_room(self, tensor: Tensor, rows: int, places: int) -> Tensor:
        """The tensor if it has so many rows and places and not far more places, else a copy of that size."""
        if rows <= tensor.shape[0] and places <= tensor.shape[2] < 2 * places + PLACES:
            return tensor
        copy = tensor.new_zeros(rows, tensor.shape[1], places, tensor.shape[3])
        used = max(self.lengths, default=0)
        copy[: len(self), :, :used] = tensor[: len(self), :, :used]
        return copy

    @torch.inference_mode()
    def leave(self, row: int) -> None:
        """Removes a row. The last row takes its number."""
        last = len(self) - 1
        if row < last:
            length = self.lengths[last]
            for pair in self._tensors:
                for tensor in pair:
                    tensor[row, :, :length] = tensor[last, :, :length]
        for values in (self.lengths, self._most):
            values[row] = values[last]
            values.pop()
        if not self.lengths:
            self._tensors = []

    @torch.inference_mode()
    def step(self, tokens: list[int], rows: slice) -> Tensor:
        """Logits (R, V) after one more token of each of the rows.

        The step does not count until `keep`: it can be made again, and changes nothing for good if it raises.
        """
        where = self.model.device
        lengths_R = torch.tensor(self.lengths[rows], device=where)
        width = _rounded(max(self.lengths[rows]) + 1, PLACES)
        seen_RW = torch.arange(width, device=where) <= lengths_R[:, None]
        return self.model(
            input_ids=torch.tensor(tokens, device=where)[:, None],
            attention_mask=seen_RW[:, None, None],
            position_ids=lengths_R[:, None],
            past_key_values=_Step(self._tensors, rows, lengths_R, width),
            use_cache=True,
        ).logits[:, -1]

    def keep(self, row: int) -> None:
        """Counts the token of the row's last step."""
        self.lengths[row] += 1


class _Step:
    """Stands in for transformers' cache in a step of one token per row, which it writes at the row's own place."""

    def __init__(self, tensors: list[list[Tensor]], rows: slice, lengths_R: Tensor, width: int) -> None:
        self.tensors, self.rows, self.width = tensors, rows, width
        self.places = (torch.arange(len(lengths_R), device=lengths_R.device), slice(None), lengths_R)

    def update(self, keys: Tensor, values: Tensor, layer: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Writes keys and values (rows, heads, 1, head size). Returns those of all places."""
        pair = [tensor[self.rows] for tensor in self.tensors[layer]]
        for tensor, new in zip(pair, (keys, values), strict=True):
            tensor[self.places] = new[:, :, 0]
        return pair[0][:, :, : self.width], pair[1][:, :, : self.width]


def _rounded(count: int, size: int) -> int:
    """The smallest multiple of `size` that is at least `count`."""
    return -(-count // size) * size
