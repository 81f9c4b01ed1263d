"""Work that the processes of one training share: each does its rows, then all know all results.

Every process must call these functions together. A process that works alone gets back what it gave. Tensors stay on
their device; the sums hold each row from one process and zeros from the others, so they add no rounding.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from modeling.core import runtime


def mine(count: int) -> range:
    """The rows of 0 … count - 1 that this process does."""
    return range(runtime.rank(), count, runtime.processes())


def summed(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes."""
    if runtime.distributed():
        values = values.clone()
        dist.all_reduce(values)
    return values


def merged(values: Sequence[float], rows: Sequence[int], count: int) -> Tensor:
    """float32 (count): each process gives the values of its `rows`."""
    whole_N = torch.zeros(count)
    whole_N[list(rows)] = torch.tensor(values, dtype=torch.float32)
    return summed(whole_N)


def merged_ids(ids: Sequence[list[int]]) -> list[list[int]]:
    """Lists of token ids of any length: each process gives its own ones and empty lists for the others."""
    if not runtime.distributed():
        return list(ids)
    lengths_N = summed(torch.tensor([len(one) for one in ids]))
    ids_NT = torch.zeros(len(ids), int(lengths_N.max()), dtype=torch.int64)
    for row, one in enumerate(ids):
        ids_NT[row, : len(one)] = torch.tensor(one, dtype=torch.int64)
    return [one[:length] for one, length in zip(summed(ids_NT).tolist(), lengths_N.tolist(), strict=True)]


def summed_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """The sum of each figure over all processes, which give the same names in the same order."""
    values = summed(torch.tensor(list(figures.values()), dtype=torch.float64))
    return dict(zip(figures, values.tolist(), strict=True))


def any_of(flag: bool) -> bool:
    """Whether the flag is true in any process."""
    return bool(summed(torch.tensor(int(flag))))


def wait() -> None:
    """Waits until all processes are here."""
    if runtime.distributed():
        dist.barrier()
