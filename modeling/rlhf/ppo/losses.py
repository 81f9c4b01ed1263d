"""Losses, rewards and advantages of PPO on token sequences, as functions of tensors.

Sources: paper 3.2.3; Schulman et al. 2017; leave-one-out: Kool et al. 2019.

Shapes: B responses, T response positions, V tokens of the vocabulary. `mask_BT` is True on the tokens the policy
itself chose (closing token included) and False on padding; it comes from lengths, never from comparing ids with a
padding id, because an adopted tokenizer may pad with its closing token. Masks are runs of True from position 0.
"""

import torch
from torch import Tensor


def response_mask(lengths_B: Tensor, width: int) -> Tensor:
    """True on the first `lengths_B[i]` of `width` positions of each row."""
    return torch.arange(width, device=lengths_B.device)[None, :] < lengths_B[:, None]


def token_logprobs(logits_BTV: Tensor, tokens_BT: Tensor) -> Tensor:
    """Log-probability (natural log) of each token under its logits, in float32 for logits of any dtype."""
    logits_BTV = logits_BTV.float()
    picked_BT = logits_BTV.gather(-1, tokens_BT[..., None]).squeeze(-1)
    return picked_BT - logits_BTV.logsumexp(-1)


def token_entropy(logits_BTV: Tensor) -> Tensor:
    """Entropy of the next-token distribution at each position, in nats, float32. Logits of -inf contribute 0."""
    return torch.special.entr(logits_BTV.float().softmax(-1)).sum(-1)


def masked_sum(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Sum over the True positions. Values at False positions are ignored, NaN included."""
    return torch.where(mask_BT, values_BT, 0.0).sum()


def masked_mean(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over the True positions of the whole batch, each with equal weight. Raises ValueError if there are none."""
    count = mask_BT.sum()
    if count == 0:
        raise ValueError("masked_mean over an empty mask: a batch without one response token has no mean")
    return masked_sum(values_BT, mask_BT) / count


def normalize(values_BT: Tensor, mask_BT: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Values at mean 0 and standard deviation 1 over the True positions, 0 elsewhere.

    The paper does not say how it scales advantages; this is common practice.
    """
    mean = masked_mean(values_BT, mask_BT)
    variance = masked_mean((values_BT - mean) ** 2, mask_BT)
    return torch.where(mask_BT, (values_BT - mean) * torch.rsqrt(variance + epsilon), 0.0)


def kl_k1(logp_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """log pi - log pi_0 of the sampled tokens: unbiased for KL(pi || pi_0) if they were drawn from pi at T = 1.

    The reward subtracts this estimator, so `kl` in the log is this one too. A single value may be negative; the
    expectation is not.
    """
    return logp_BT - reference_BT


def kl_k3(logp_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """r - 1 - log r with r = pi_0 / pi: the same expectation, never negative, less variance. Logged only."""
    log_ratio_BT = reference_BT - logp_BT
    return torch.expm1(log_ratio_BT) - log_ratio_BT


def last_token(mask_BT: Tensor) -> Tensor:
    """Index of the last True position of each row. Raises ValueError for a row without one."""
    lengths_B = mask_BT.sum(-1)
    if (lengths_B == 0).any():
        raise ValueError("a response without a token has no place for its reward: sample at least one token")
    return lengths_B - 1


def token_rewards(score_B: Tensor, kl_BT: Tensor, mask_BT: Tensor, beta: float) -> Tensor:
    """R(g | p) = score - beta KL, spread over tokens: every token bears its own KL, the last one also gets the score.

    The last token is the closing token, or the token at the limit if the response was cut off.
    """
    rewards_BT = torch.where(mask_BT, -beta * kl_BT, 0.0)
    rows = torch.arange(len(score_B), device=score_B.device)
    rewards_BT[rows, last_token(mask_BT)] += score_B
    return rewards_BT


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (Schulman et al. 2016, eq. 16): (advantages_BT, returns_BT), zero on padding.

    `values_BT[:, t]` is the critic's value of the state in which token t was chosen. After the last response token the
    value is 0, even if the response was cut off at the limit.
    """
    values_BT = torch.where(mask_BT, values_BT, 0.0)
    rewards_BT = torch.where(mask_BT, rewards_BT, 0.0)
    advantages_BT = torch.zeros_like(values_BT)
    running_B = torch.zeros_like(values_BT[:, 0])
    next_value_B = torch.zeros_like(running_B)
    for t in range(values_BT.shape[1] - 1, -1, -1):
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        running_B = delta_B + gamma * lam * running_B
        advantages_BT[:, t] = running_B
        next_value_B = values_BT[:, t]
    return advantages_BT, advantages_BT + values_BT


def mean_of_others(values_B: Tensor, samples: int) -> Tensor:
    """For each value, the mean of the other values of its group. Groups are consecutive runs of `samples` values.

    Raises ValueError if `samples` is below 2 or does not divide the number of values.
    """
    if samples < 2 or len(values_B) % samples:
        raise ValueError(f"{len(values_B)} values do not form groups of {samples}: a group needs 2 or more")
    groups = values_B.view(-1, samples)
    return ((groups.sum(1, keepdim=True) - groups) / (samples - 1)).flatten()


def policy_loss(
    logp_BT: Tensor, old_logp_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """Clipped surrogate loss per token: (loss_BT, clipped_BT). clipped_BT: clipping removed the token's gradient."""
    log_ratio_BT = torch.where(mask_BT, logp_BT - old_logp_BT, 0.0)
    ratio_BT = log_ratio_BT.exp()
    free_BT = -advantages_BT * ratio_BT
    bound_BT = -advantages_BT * ratio_BT.clamp(1.0 - clip, 1.0 + clip)
    return torch.maximum(free_BT, bound_BT), (bound_BT > free_BT) & mask_BT


def value_loss(values_BT: Tensor, old_values_BT: Tensor, returns_BT: Tensor, clip: float) -> Tensor:
    """Half the squared error per token, for the value or for the value clipped to the old one, whichever is larger."""
    kept_BT = old_values_BT + (values_BT - old_values_BT).clamp(-clip, clip)
    return 0.5 * torch.maximum((values_BT - returns_BT) ** 2, (kept_BT - returns_BT) ** 2)


def explained_variance(values_BT: Tensor, returns_BT: Tensor, mask_BT: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns): 1 for a perfect critic, 0 for a constant, below 0 for a harmful one.

    NaN if the returns vary by no more than rounding.
    """
    returns, errors = returns_BT[mask_BT].double(), (returns_BT - values_BT)[mask_BT].double()
    variance = returns.var(unbiased=False)
    if variance < 1e-9:
        return float("nan")
    return float(1.0 - errors.var(unbiased=False) / variance)
