"""Each function against values worked out by hand, and where the reward lands."""

import math

import pytest
import torch

from modeling.rlhf.ppo import losses

MASK = torch.tensor([[True, True, True, False], [True, True, False, False]])


def test_response_mask_comes_from_lengths():
    assert torch.equal(losses.response_mask(torch.tensor([3, 2]), 4), MASK)


def test_token_logprobs_and_entropy_by_hand():
    # softmax(log 1, log 2, log 5) = 1/8, 2/8, 5/8
    logits = torch.tensor([[[1.0, 2.0, 5.0], [5.0, 2.0, 1.0]]]).log()
    logp = losses.token_logprobs(logits, torch.tensor([[2, 2]]))
    assert logp.tolist()[0] == pytest.approx([math.log(5 / 8), math.log(1 / 8)], abs=1e-6)
    by_hand = -(math.log(1 / 8) / 8 + 2 * math.log(2 / 8) / 8 + 5 * math.log(5 / 8) / 8)
    assert losses.token_entropy(logits).tolist()[0] == pytest.approx([by_hand, by_hand], abs=1e-6)


def test_logprobs_are_float32_from_bfloat16_logits():
    logits = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    tokens = torch.zeros(2, 3, dtype=torch.long)
    logp = losses.token_logprobs(logits, tokens)
    assert logp.dtype == torch.float32
    assert torch.equal(logp, losses.token_logprobs(logits.float(), tokens))


def test_masked_mean_never_reads_padding():
    values = torch.tensor([[1.0, 2.0, 3.0, math.nan], [4.0, 10.0, math.inf, -1e9]])
    assert losses.masked_mean(values, MASK) == 4.0
    with pytest.raises(ValueError, match="empty mask"):
        losses.masked_mean(values, torch.zeros_like(MASK))


def test_masked_mean_gives_no_gradient_to_padding():
    values = torch.ones(2, 4, requires_grad=True)
    losses.masked_mean(values, MASK).backward()
    assert torch.equal(values.grad, MASK / 5)


def test_normalize_by_hand():
    values = torch.tensor([[1.0, 2.0, 3.0, 99.0], [4.0, 5.0, 99.0, 99.0]])  # mean 3, variance 2
    expected = torch.tensor([[-2.0, -1.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0]]) / math.sqrt(2)
    assert torch.allclose(losses.normalize(values, MASK), expected)


def test_kl_estimators_by_hand():
    logp, reference = torch.tensor([[-1.0, -3.0]]), torch.tensor([[-2.0, -1.0]])
    assert losses.kl_k1(logp, reference).tolist() == [[1.0, -2.0]]
    assert losses.kl_k3(logp, reference)[0].tolist() == pytest.approx([math.exp(-1) - 1 + 1, math.exp(2) - 1 - 2])


def test_kl_estimators_agree_with_the_true_divergence():
    generator = torch.Generator().manual_seed(0)
    policy, reference = torch.randn(2, 20, generator=generator).log_softmax(-1)
    truth = (policy.exp() * (policy - reference)).sum()
    tokens = torch.multinomial(policy.exp(), 200_000, replacement=True, generator=generator)
    assert losses.kl_k1(policy[tokens], reference[tokens]).mean() == pytest.approx(float(truth), rel=0.02)
    assert losses.kl_k3(policy[tokens], reference[tokens]).mean() == pytest.approx(float(truth), rel=0.02)
    assert losses.kl_k3(policy[tokens], reference[tokens]).min() >= 0


def test_reward_lands_on_the_last_response_token_and_nowhere_else():
    kl = torch.tensor([[0.5, -0.5, 1.0, 7.0], [2.0, 0.0, 7.0, 7.0]])
    rewards = losses.token_rewards(torch.tensor([3.0, -1.0]), kl, MASK, beta=0.1)
    expected = torch.tensor([[-0.05, 0.05, 3.0 - 0.1, 0.0], [-0.2, -1.0, 0.0, 0.0]])
    assert torch.allclose(rewards, expected)


def test_sum_of_token_rewards_is_the_papers_reward():
    kl = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    score = torch.tensor([3.0, -1.0])
    total = losses.token_rewards(score, kl, MASK, beta=0.3).sum(1)
    assert torch.allclose(total, score - 0.3 * (kl * MASK).sum(1), atol=1e-6)


def test_empty_response_has_no_place_for_a_reward():
    with pytest.raises(ValueError, match="without a token"):
        losses.token_rewards(torch.ones(1), torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), 0.1)


def test_gae_by_hand():
    rewards = torch.tensor([[0.0, 0.0, 1.0, 50.0], [0.5, 2.0, 50.0, 50.0]])
    values = torch.tensor([[0.2, 0.4, 0.6, 50.0], [1.0, -1.0, 50.0, 50.0]])
    advantages, returns = losses.gae(rewards, values, MASK, gamma=0.5, lam=0.5)
    # row 0: deltas 0.5*.4-.2 = 0, 0.5*.6-.4 = -.1, 1-.6 = .4; A2 = .4, A1 = -.1 + .25*.4 = 0, A0 = 0
    # row 1: deltas .5 - .5 - 1 = -1, 2 + 1 = 3; A1 = 3, A0 = -1 + .25*3 = -.25
    expected = torch.tensor([[0.0, 0.0, 0.4, 0.0], [-0.25, 3.0, 0.0, 0.0]])
    assert torch.allclose(advantages, expected, atol=1e-6)
    assert torch.allclose(returns, torch.tensor([[0.2, 0.4, 1.0, 0.0], [0.75, 2.0, 0.0, 0.0]]), atol=1e-6)


def test_gae_with_lambda_one_is_the_reward_to_go():
    rewards = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    values = torch.randn(2, 4, generator=torch.Generator().manual_seed(2))
    _, returns = losses.gae(rewards, values, MASK, gamma=1.0, lam=1.0)
    to_go = (rewards * MASK).flip(1).cumsum(1).flip(1) * MASK
    assert torch.allclose(returns, to_go, atol=1e-6)


def test_policy_loss_by_hand():
    ratio = torch.tensor([[1.5, 0.5, 1.5, 0.5, 1.1]])
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0, 2.0]])
    mask = torch.ones_like(ratio, dtype=torch.bool)
    loss, clipped = losses.policy_loss(ratio.log(), torch.zeros(1, 5), advantages, mask, clip=0.2)
    assert loss[0].tolist() == pytest.approx([-1.2, -0.5, 1.5, 0.8, -2.2])
    assert clipped.tolist() == [[True, False, False, True, False]]


def test_clipped_tokens_carry_no_gradient():
    logp = torch.tensor([[1.5, 0.5, 1.5, 0.5]]).log().requires_grad_()
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    loss, clipped = losses.policy_loss(logp, torch.zeros(1, 4), advantages, torch.ones(1, 4, dtype=torch.bool), 0.2)
    loss.sum().backward()
    assert torch.equal(logp.grad == 0, clipped)


def test_value_loss_by_hand():
    # first: free error 1, kept error .2 - 1 = -.8, the larger is 1
    # second: a value that jumped to the target: the kept one is worse
    values, old, returns = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.4, 0.0]]), torch.tensor([[1.0, 1.0]])
    loss = losses.value_loss(values, old, returns, clip=0.2)
    assert loss[0].tolist() == pytest.approx([0.5 * 1.0, 0.5 * 0.8**2])


def test_explained_variance():
    returns = torch.tensor([[1.0, 2.0, 3.0, 99.0], [4.0, 5.0, 99.0, 99.0]])
    assert losses.explained_variance(returns, returns, MASK) == 1.0
    assert losses.explained_variance(torch.full_like(returns, 7.0), returns, MASK) == 0.0
    assert losses.explained_variance(-returns, returns, MASK) == pytest.approx(-3.0)
    assert math.isnan(losses.explained_variance(returns, torch.ones_like(returns), MASK))
