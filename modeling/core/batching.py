"""Groups rows of like length into batches, so that little of a forward pass is padding."""

from collections.abc import Sequence

import torch

# Tokens (padding included) in one forward pass: runtime settings. More make no pass of a CPU more efficient, and rows of
# unlike length would share it.
CPU_TOKENS = 2_048
CUDA_TOKENS = 131_072


def batches(lengths: Sequence[int], new_tokens: int, samples: int, budget: int) -> list[list[int]]:
    """Group ascending prompt lengths so that rows × (longest prompt + new tokens) stays within the budget."""
    groups: list[list[int]] = []
    for position, length in enumerate(lengths):
        if groups and (len(groups[-1]) + 1) * samples * (length + new_tokens) <= budget:
            groups[-1].append(position)
        else:
            groups.append([position])
    return groups


def of_like_length(rows: Sequence[Sequence[int]], budget: int) -> list[list[int]]:
    """Places of the rows, shortest first, in groups of at most `budget` tokens (a longer row has a group of its own)."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    groups = batches([len(rows[place]) for place in order], 0, 1, budget)
    return [[order[position] for position in group] for group in groups]


def pass_tokens(where: torch.device) -> int:
    """Tokens of one forward pass on the device."""
    return CPU_TOKENS if where.type == "cpu" else CUDA_TOKENS
