"""The order of the rows of a training: a function of seed and step, whatever the number of processes."""

import math

import torch

ROW_WITHOUT_LOSS = -1


def in_steps(rows: int, batch: int, steps: int, seed: int) -> list[int]:
    """The row at each place of each step, `batch` places a step, as a single process of the Trainer reads them.

    Each epoch is a new permutation (accelerate's SeedableRandomSampler). Its last step may have fewer rows than places:
    ROW_WITHOUT_LOSS stands at the others, where accelerate would repeat rows on several processes.
    """
    order: list[int] = []
    for epoch in range(math.ceil(steps / math.ceil(rows / batch))):
        order += torch.randperm(rows, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        order += [ROW_WITHOUT_LOSS] * (-rows % batch)
    return order[: steps * batch]
