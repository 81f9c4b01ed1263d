"""Packs several dialogues into one row, without attention between them (paper 3.1: prompts and answers fill the row).

TRL's best-fit-decreasing packing fills the rows. The collator keeps them as rows of a batch. Positions restart with
each dialogue, and transformers derives from them the attention mask between dialogues. (TRL's own padding-free batch is
one long row. Without flash attention its mask grows with the square of the whole batch.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset, concatenate_datasets
from trl import pack_dataset

from modeling.core import data_order

IGNORED = -100  # label of a token that carries no loss


@dataclass(frozen=True)
class Encoded:
    """One dialogue: token ids, and labels that equal the ids at answers and their closing tokens, else IGNORED."""

    ids: list[int]
    labels: list[int]


def pack(dialogues: Sequence[Encoded], context: int) -> Dataset:
    """Rows input_ids, labels, seq_lengths of at most `context` tokens. Raises ValueError for a dialogue that is longer."""
    longest = max((len(one.ids) for one in dialogues), default=0)
    if longest > context:
        raise ValueError(
            f"a dialogue of {longest} tokens does not fit in rows of {context}: leave it out before packing"
        )
    columns = {"input_ids": [one.ids for one in dialogues], "labels": [one.labels for one in dialogues]}
    # One map batch over all, else each thousand dialogues would be packed separately.
    return pack_dataset(Dataset.from_dict(columns), context, "bfd", {"batch_size": max(1, len(dialogues))})


def in_steps(rows: Dataset, batch: int, steps: int, seed: int, filler: int) -> Dataset:
    """Rows in the order of `steps` steps of `batch` rows, for several processes that read it one after the other.

    Where the last step of an epoch is short, a row of the token `filler` stands, without loss.
    """
    empty = {"input_ids": [[filler] * 2], "labels": [[IGNORED] * 2], "seq_lengths": [[2]]}
    padded = concatenate_datasets([rows, Dataset.from_dict(empty, features=rows.features)])
    order = data_order.in_steps(len(rows), batch, steps, seed)
    return padded.select([len(rows) if row == data_order.ROW_WITHOUT_LOSS else row for row in order])


@dataclass(frozen=True)
class PackedCollator:
    """Rows → input_ids, labels, position_ids of shape (rows, longest row). Padding is a document of its own."""

    pad_token_id: int

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in rows)
        batch: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "position_ids": []}
        for row in rows:
            padding = width - len(row["input_ids"])
            batch["input_ids"].append([*row["input_ids"], *[self.pad_token_id] * padding])
            batch["labels"].append([*row["labels"], *[IGNORED] * padding])
            positions = [place for length in [*row["seq_lengths"], padding] for place in range(length)]
            batch["position_ids"].append(positions)
        return {name: torch.tensor(values) for name, values in batch.items()}
