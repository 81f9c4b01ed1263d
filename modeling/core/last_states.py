"""The last hidden state of rows of tokens. Rows that begin alike, as answers to one prompt do, share that beginning's pass."""

import os
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from modeling.core import batching, prefill, runtime, sampling

LEAST_SHARED = 16  # tokens; a shorter beginning is not worth a pass of its own

Family = tuple[list[int], int]  # places of rows, and how many tokens they share at their beginning


@torch.inference_mode()
def last_states(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], progressed: Callable[[int], None] = lambda done: None
) -> Tensor:
    """(N, D): the decoder's last state at the last token of each row. Batches and families change the rounding alone.

    `progressed` is called after each batch with the number of rows so far.
    """
    budget = min(batching.pass_tokens(model.device), sampling.token_budget(model) // 4)
    states_ND = torch.zeros(len(rows), model.config.hidden_size, device=model.device)
    found = families(rows)
    alone = [places[0] for places, shared in found if not shared]
    together = [(places, shared) for places, shared in found if shared]
    done = 0
    for group in batching.of_like_length([rows[place] for place in alone], budget):
        chosen = [alone[place] for place in group]
        states_ND[chosen] = _states(model, [rows[place] for place in chosen]).float()
        done += len(chosen)
        progressed(done)
    for group in _batches(together, budget):
        for places, states_BD in _states_of_families(model, rows, group, 2 * budget):
            states_ND[places] = states_BD.float()
            done += len(places)
            progressed(done)
    return states_ND


def families(rows: Sequence[Sequence[int]]) -> list[Family]:
    """Every row in one family: alone (0 tokens shared), or with rows that have a long beginning in common.

    In the order of the tokens a row joins the family before it if that saves more tokens than it costs the others. At
    least one token of each row is its own.
    """
    found: list[Family] = []
    for place in sorted(range(len(rows)), key=lambda place: list(rows[place])):
        if found:
            places, shared = found[-1]
            known = shared or len(rows[places[0]]) - 1
            common = min(known, len(rows[place]) - 1, len(os.path.commonprefix([rows[places[0]], rows[place]])))
            if common >= LEAST_SHARED and common * len(places) > shared * (len(places) - 1):
                places.append(place)
                found[-1] = places, common
                continue
        found.append(([place], 0))
    return found


def _batches(found: list[Family], budget: int) -> list[list[Family]]:
    """Families in groups of at most `budget` tokens of their beginnings, those of like length together."""
    order = sorted(found, key=lambda family: family[1])
    return [[order[place] for place in group] for group in batching.batches([s for _, s in order], 0, 1, budget)]


def _states(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> Tensor:
    # Right padding under a causal mask: no read token attends to padding, so any id will do and no mask is needed.
    ids_BT, last_B = _right_padded(rows, model.device)
    with runtime.autocast(model.device):
        hidden_BTD = model.get_decoder()(input_ids=ids_BT, use_cache=False).last_hidden_state
    return hidden_BTD[torch.arange(len(rows), device=model.device), last_B]


def _states_of_families(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], found: list[Family], budget: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Yields (places, their states): first the beginnings run, then the rests of like length, whatever their family."""
    where = model.device
    with runtime.autocast(where):
        _, beginnings, mask_FP = prefill.run_prompts(model, [rows[places[0]][:shared] for places, shared in found], 0)
    members = [(place, number, shared) for number, (places, shared) in enumerate(found) for place in places]
    members.sort(key=lambda member: len(rows[member[0]]) - member[2])
    lengths = [len(rows[place]) - shared for place, _, shared in members]
    for group in batching.batches(lengths, mask_FP.shape[1], 1, budget):
        chosen = [members[position] for position in group]
        ids_BT, last_B = _right_padded([rows[place][shared:] for place, _, shared in chosen], where)
        owner_B = torch.tensor([number for _, number, _ in chosen], device=where)
        cache = DynamicCache(config=model.config)
        for number, layer in enumerate(beginnings.layers):
            cache.update(layer.keys[owner_B], layer.values[owner_B], number)
        mask_BP = mask_FP[owner_B]
        with runtime.autocast(where):
            hidden_BTD = model.get_decoder()(
                input_ids=ids_BT,
                attention_mask=torch.cat([mask_BP, torch.ones_like(ids_BT)], 1),
                position_ids=mask_BP.sum(1, keepdim=True) + torch.arange(ids_BT.shape[1], device=where),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
        yield [place for place, _, _ in chosen], hidden_BTD[torch.arange(len(chosen), device=where), last_B]


def _right_padded(rows: Sequence[Sequence[int]], where: torch.device) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids_BT = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=where)
    return ids_BT, torch.tensor([len(row) - 1 for row in rows], device=where)
