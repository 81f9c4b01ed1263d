"""Draws tokens from logits: temperature and nucleus (top-p) sampling without a sort of the vocabulary."""

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 192  # probabilities are summed in blocks of this size first: a running sum over the vocabulary is slow
LIKELIEST = 512  # the nucleus almost always lies within so many tokens; rows where it does not are sorted


def sample_tokens(logits_RV: Tensor, uniforms_R2: Tensor, temperature: float, top_p: float) -> Tensor:
    """One token per row from the smallest set of most likely tokens that holds `top_p`, drawn by inverse transform.

    Temperature acts before the cut, as in Llama 2's own generation; 0 takes the most likely token. Tokens as likely as
    the last one of the set belong to it. A token is drawn from the whole distribution with the first uniform number and
    kept if it lies in the set. Only the few other rows (1 - top_p) are drawn again, from the set, with the second. The
    distribution is the same, and looking for the set in every row and step would take longer than a small model's step.
    """
    if temperature == 0:
        return logits_RV.argmax(-1)
    probabilities_RV = (logits_RV.float() / temperature).softmax(-1)
    tokens_R = _draw_in_blocks(probabilities_RV, uniforms_R2[:, 0])
    if top_p >= 1:
        return tokens_R
    drawn_R = probabilities_RV.gather(1, tokens_R[:, None]).flatten()
    # More likely tokens hold at most what the drawn one leaves: most rows need no further look.
    unsure_Q = (drawn_R <= 1 - top_p + 1e-4).nonzero().flatten()
    unsure_QV = probabilities_RV[unsure_Q]
    more_likely_Q = (unsure_QV * (unsure_QV > drawn_R[unsure_Q, None])).sum(-1)
    outside_Q = more_likely_Q >= top_p
    if outside_Q.any():
        rows = unsure_Q[outside_Q]
        tokens_R[rows] = _draw_from_nucleus(unsure_QV[outside_Q], uniforms_R2[rows, 1], top_p)
    return tokens_R


def _draw_from_nucleus(probabilities_RV: Tensor, uniforms_R: Tensor, top_p: float) -> Tensor:
    tokens_R = torch.empty(len(probabilities_RV), dtype=torch.long, device=probabilities_RV.device)
    likeliest_RK, order_RK = probabilities_RV.topk(min(LIKELIEST, probabilities_RV.shape[1]), -1)
    least_R1 = _least_of_nucleus(likeliest_RK, top_p)
    tokens_R[:] = order_RK.gather(1, _draw(likeliest_RK.where(likeliest_RK >= least_R1, 0), uniforms_R)[:, None])[:, 0]
    # If the last of them belongs to the set, tokens beyond them may too.
    wide = (likeliest_RK[:, -1:] >= least_R1).flatten().nonzero().flatten()
    if len(wide) and likeliest_RK.shape[1] < probabilities_RV.shape[1]:
        sorted_QV, order_QV = probabilities_RV[wide].sort(-1, descending=True)
        kept_QV = sorted_QV.where(sorted_QV >= _least_of_nucleus(sorted_QV, top_p), 0)
        tokens_R[wide] = order_QV.gather(1, _draw(kept_QV, uniforms_R[wide])[:, None]).flatten()
    return tokens_R


def _least_of_nucleus(sorted_RK: Tensor, top_p: float) -> Tensor:
    """(R, 1): probability of the last token of the nucleus, or of the last one given if these do not hold `top_p`."""
    before_RK = sorted_RK.cumsum(-1) - sorted_RK
    return sorted_RK.gather(1, ((before_RK < top_p).sum(-1, keepdim=True) - 1).clamp(min=0))


def _draw_in_blocks(masses_RV: Tensor, uniforms_R: Tensor) -> Tensor:
    """The same draw as `_draw`: first a block of neighbours, then an entry of it."""
    masses_RNB = pad(masses_RV, (0, -masses_RV.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    blocks_RN = masses_RNB.sum(-1)
    drawn_R1 = _draw(blocks_RN, uniforms_R)[:, None]
    before_R1 = (blocks_RN.cumsum(-1) - blocks_RN).gather(1, drawn_R1)
    share_R1 = (uniforms_R[:, None] * blocks_RN.sum(-1, keepdim=True) - before_R1) / blocks_RN.gather(1, drawn_R1)
    inside_RB = masses_RNB[torch.arange(len(masses_RNB), device=masses_RNB.device), drawn_R1.flatten()]
    return drawn_R1.flatten() * BLOCK + _draw(inside_RB, share_R1.flatten().clamp(0, 1))


def _draw(masses_RK: Tensor, uniforms_R: Tensor) -> Tensor:
    """Index of the first entry whose cumulative mass exceeds its row's share of the total."""
    cumulative_RK = masses_RK.cumsum(-1)
    drawn_R = torch.searchsorted(cumulative_RK, uniforms_R[:, None] * cumulative_RK[:, -1:], right=True).flatten()
    # A uniform number close to 1 may round up to the total: take the last entry with mass.
    last_R = (cumulative_RK < cumulative_RK[:, -1:]).sum(-1)
    return torch.minimum(drawn_R, last_R)
