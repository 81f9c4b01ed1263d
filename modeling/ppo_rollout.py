"""Rollouts of PPO: prompts in a reproducible order, responses of the current policy, and their tensors."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modeling import answering, dialog, ppo_math, sampling


@dataclass(frozen=True)
class Prompt:
    id: str
    messages: list[dict]
    safety: bool  # is_safety(p) of the piecewise reward
    ids: list[int]  # ends where the answer begins


@dataclass(frozen=True)
class Response:
    ids: list[int]  # closing token included where there is one
    text: str
    ended: bool  # False: cut off at max_new_tokens, no closing token


@dataclass(frozen=True)
class Batch:
    """Prompts padded on the left, responses on the right: every response begins at column `prompt_width`.

    ids_BL int64, attention_BL bool, positions_BL int64 (0 at each row's first real token), mask_BT bool;
    L = prompt_width + T.
    """

    ids_BL: Tensor
    attention_BL: Tensor
    positions_BL: Tensor
    mask_BT: Tensor
    prompt_width: int

    @property
    def tokens_BT(self) -> Tensor:
        return self.ids_BL[:, self.prompt_width :]


def load_prompts(folder: Path, tokenizer, limit: int) -> tuple[list[Prompt], int]:
    """Prompts of `folder/rl.parquet` that take at most `limit` tokens, sorted by id, and how many were longer."""
    prompts = []
    rows = answering.read_prompts(folder)
    for row in rows:
        ids = dialog.encode_prompt(tokenizer, row["messages"])
        if len(ids) <= limit:
            prompts.append(Prompt(row["id"], row["messages"], row["kind"] == "safety", ids))
    return prompts, len(rows) - len(prompts)


def hold_out(prompts: list[Prompt], most: int) -> tuple[list[Prompt], list[Prompt]]:
    """(training, held-out): at most `most` and a tenth of all, by the smallest hashes of ids, so new data moves few."""
    count = min(most, len(prompts) // 10)
    by_hash = sorted(prompts, key=lambda prompt: answering.unit_hash("ppo held-out", prompt.id))
    chosen = {prompt.id for prompt in by_hash[:count]}
    return [p for p in prompts if p.id not in chosen], [p for p in prompts if p.id in chosen]


def draw(prompts: list[Prompt], iteration: int, batch: int, seed: int) -> list[Prompt]:
    """The batch of an iteration (from 1): consecutive pieces of one permutation an epoch."""
    first, last = (iteration - 1) * batch, iteration * batch
    epochs = range(first // len(prompts), (last - 1) // len(prompts) + 1)
    order: list[int] = []
    for epoch in epochs:
        generator = torch.Generator().manual_seed(answering.mix(seed, "epoch", epoch))
        order += torch.randperm(len(prompts), generator=generator).tolist()
    skipped = epochs[0] * len(prompts)
    return [prompts[index] for index in order[first - skipped : last - skipped]]


def respond(model, tokenizer, prompts: list[Prompt], recipe, seed: int) -> list[Response]:
    """One response of the current policy to each prompt."""
    closing = dialog.closing_token_id(tokenizer)
    answers = sampling.generate_ids(model, tokenizer, [prompt.ids for prompt in prompts], recipe, 1, seed)
    return [
        Response(ids, dialog.decode_answer(tokenizer, ids), closing in ids)
        for ids in (samples[0] for samples in answers)
    ]


def pack(prompts: list[Prompt], responses: list[Response], pad: int, where: torch.device) -> Batch:
    """Tensors of some rollouts, as narrow as they can be."""
    width = max(len(prompt.ids) for prompt in prompts)
    length = max(len(response.ids) for response in responses)
    ids, attention = [], []
    for prompt, response in zip(prompts, responses, strict=True):
        left, right = width - len(prompt.ids), length - len(response.ids)
        ids.append([pad] * left + prompt.ids + response.ids + [pad] * right)
        attention.append([False] * left + [True] * (len(prompt.ids) + len(response.ids)) + [False] * right)
    attention_BL = torch.tensor(attention, device=where)
    lengths_B = torch.tensor([len(response.ids) for response in responses], device=where)
    return Batch(
        ids_BL=torch.tensor(ids, device=where),
        attention_BL=attention_BL,
        positions_BL=(attention_BL.long().cumsum(1) - 1).clamp(min=0),
        mask_BT=ppo_math.response_mask(lengths_B, length),
        prompt_width=width,
    )
