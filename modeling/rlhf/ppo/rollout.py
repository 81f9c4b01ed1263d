"""Rollouts of PPO: prompts in a reproducible order, responses of the current policy, and their tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modeling.core import dialog, hashing, ranks, resumable_generation, sampling
from modeling.rlhf.faults import fault
from modeling.rlhf.ppo import losses

# Most padding tokens in one forward and backward pass: a runtime setting, never part of an artifact's identity.
PADDING_TOKENS = 256


@dataclass(frozen=True)
class Prompt:
    """A prompt with its token ids."""

    id: str
    messages: list[dict]
    safety: bool  # is_safety(p) of the piecewise reward
    constraint: str  # that rules check (dialogues/verifiable.py), or ""
    ids: list[int]  # ends where the answer begins


@dataclass(frozen=True)
class Response:
    """A sampled response."""

    ids: list[int]  # includes the closing token if there is one
    text: str
    ended: bool  # False: cut off at max_new_tokens, no closing token


@dataclass(frozen=True)
class Batch:
    """Some rollouts: prompt, response, then padding, which causal attention hides from the tokens before it.

    rows: index of each of the B rows in its iteration. ids_BL: int64. mask_BT: bool, True on response tokens.
    first_B: int64, column of the first response token. N counts the response tokens of all rows, row by row.
    """

    rows: list[int]
    ids_BL: Tensor
    mask_BT: Tensor
    first_B: Tensor

    def place(self) -> tuple[list[int], slice]:
        """Index of the batch's part in a tensor that holds a whole iteration."""
        return self.rows, slice(self.mask_BT.shape[1])

    def states(self) -> tuple[Tensor, Tensor]:
        """(rows_N, columns_N) of the position before each response token, where policy and critic are read."""
        rows_N, steps_N = self.mask_BT.nonzero(as_tuple=True)
        return rows_N, self.first_B[rows_N] - 1 + steps_N

    def tokens(self) -> Tensor:
        """tokens_N, the response tokens."""
        rows_N, columns_N = self.states()
        return self.ids_BL[rows_N, columns_N + 1]

    def spread(self, values_N: Tensor) -> Tensor:
        """values_BT: each value at the place of its response token, 0 elsewhere."""
        return torch.zeros_like(self.mask_BT, dtype=values_N.dtype).masked_scatter(self.mask_BT, values_N)


def load_prompts(folder: Path, part: str, tokenizer, limit: int) -> tuple[list[Prompt], int]:
    """(prompts of `folder/<part>.parquet` of at most `limit` tokens, sorted by id; number of longer ones)."""
    prompts = []
    rows = resumable_generation.read_prompts(folder, part)
    for row in rows:
        ids = dialog.encode_prompt(tokenizer, row["messages"])
        if len(ids) <= limit:
            prompts.append(Prompt(row["id"], row["messages"], row["kind"] == "safety", row["constraint"], ids))
    return prompts, len(rows) - len(prompts)


def draw(prompts: list[Prompt], iteration: int, count: int, seed: int) -> list[Prompt]:
    """The `count` prompts of an iteration (from 1): a consecutive piece of the epoch's permutation of all prompts."""
    first, last = (iteration - 1) * count, iteration * count
    epochs = range(first // len(prompts), (last - 1) // len(prompts) + 1)
    order: list[int] = []
    for epoch in epochs:
        generator = torch.Generator().manual_seed(hashing.mix(seed, "epoch", epoch))
        order += torch.randperm(len(prompts), generator=generator).tolist()
    skipped = epochs[0] * len(prompts)
    return [prompts[index] for index in order[first - skipped : last - skipped]]


def respond(model, tokenizer, prompts: list[Prompt], recipe, seed: int, samples: int = 1) -> list[Response]:
    """`samples` responses of the current policy to each prompt, those to one prompt in a row.

    Processes that train together share the prompts, and all get all responses.
    """
    closing = dialog.closing_token_id(tokenizer)
    asked = [prompt.ids for prompt in prompts]
    places = ranks.mine(len(prompts))
    answers = sampling.generate_ids(model, tokenizer, asked, recipe, samples, seed, only=places)
    drawn = ranks.merged_ids([ids for row in answers for ids in (row or [[]] * samples)])
    return [Response(ids, dialog.decode_answer(tokenizer, ids), closing in ids) for ids in drawn]


def faulty(prompts: list[Prompt], responses: list[Response]) -> Tensor:
    """faulty_B: which responses rules find fault with (faults.py); boolean."""
    return torch.tensor([
        bool(fault(prompt.messages, prompt.safety, prompt.constraint, response.text))
        for prompt, response in zip(prompts, responses, strict=True)
    ])  # fmt: skip


def repeat(prompts: list[Prompt], samples: int) -> list[Prompt]:
    """Each prompt `samples` times in a row: the prompts of what `respond` returns."""
    return [prompt for prompt in prompts for _ in range(samples)]


def pack(rows: list[int], prompts: list[Prompt], responses: list[Response], where: torch.device) -> Batch:
    """The rollouts at `rows` as tensors, padded to the longest of them."""
    texts = [prompts[row].ids + responses[row].ids for row in rows]
    width = max(len(ids) for ids in texts)
    lengths_B = torch.tensor([len(responses[row].ids) for row in rows], device=where)
    return Batch(
        rows=rows,
        # Any id will do as padding: no position before it attends to it, and it is never read.
        ids_BL=torch.tensor([ids + [0] * (width - len(ids)) for ids in texts], device=where),
        mask_BT=losses.response_mask(lengths_B, int(lengths_B.max())),
        first_B=torch.tensor([len(prompts[row].ids) for row in rows], device=where),
    )


def shared(lengths: list[int], rows: Sequence[int], most: int, processes: int) -> list[list[list[int]]]:
    """For each process its part of `rows` in groups of `like_lengths`, as many groups as every other process has.

    Where processes share a model they compute together, so one with fewer groups splits its largest ones. Raises
    ValueError if the rows cannot be divided.
    """
    if len(rows) % processes:
        raise ValueError(f"{len(rows)} rows cannot be divided among {processes} processes: choose a multiple")
    parts = [like_lengths(lengths, rows[place::processes], most) for place in range(processes)]
    count = max(len(groups) for groups in parts)
    for groups in parts:
        while len(groups) < count:
            largest = max(range(len(groups)), key=lambda place: len(groups[place]))
            half = len(groups[largest]) // 2
            groups[largest : largest + 1] = [groups[largest][:half], groups[largest][half:]]
    return parts


def like_lengths(lengths: list[int], rows: Sequence[int], most: int) -> list[list[int]]:
    """`rows` in groups of at most `most` with similar lengths: much padding costs more than another forward pass."""
    groups: list[list[int]] = []
    for row in sorted(rows, key=lambda row: lengths[row]):
        group = groups[-1] if groups else []
        if group and len(group) < most and len(group) * (lengths[row] - lengths[group[0]]) <= PADDING_TOKENS:
            group.append(row)
        else:
            groups.append([row])
    return groups
