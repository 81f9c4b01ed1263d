"""Tokens drawn from logits: the nucleus distribution, with ties, with flat logits, and at the ends of the interval."""

import pytest
import torch

from modeling.core import nucleus


def test_sampling_follows_the_nucleus_distribution():
    torch.manual_seed(0)
    probabilities = torch.tensor([0.05, 0.4, 0.3, 0.15, 0.1])
    logits = probabilities.log().repeat(60_000, 1)
    drawn = nucleus.sample_tokens(logits, torch.rand(60_000, 2), temperature=1.0, top_p=0.8)
    shares = torch.bincount(drawn, minlength=5) / 60_000
    # 0.4 + 0.3 < 0.8, so the third most likely is still in the set, and no other.
    torch.testing.assert_close(shares, torch.tensor([0, 0.4, 0.3, 0.15, 0]) / 0.85, atol=0.01, rtol=0)


def test_sampling_temperature_acts_before_the_cut():
    torch.manual_seed(0)
    logits = torch.tensor([2.0, 1.0, 0.0]).repeat(40_000, 1)
    drawn = nucleus.sample_tokens(logits, torch.rand(40_000, 2), temperature=2.0, top_p=1.0)
    shares = torch.bincount(drawn, minlength=3) / 40_000
    torch.testing.assert_close(shares, torch.tensor([1.0, 0.5, 0.0]).softmax(0), atol=0.01, rtol=0)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
@pytest.mark.parametrize("top_p", [0.5, 1.0])
def test_sampling_at_the_ends_of_the_unit_interval(uniform, top_p):
    logits = torch.tensor([[-float("inf"), 0.0, -1.0, -float("inf")]])
    token = nucleus.sample_tokens(logits, torch.full((1, 2), uniform), 1.0, top_p).item()
    assert token == (1 if uniform == 0 or top_p == 0.5 else 2)


def grid(count: int) -> torch.Tensor:
    """Evenly spread first numbers, each with random second ones."""
    first = (torch.arange(count) + 0.5) / count
    return torch.stack([first, torch.rand(count, generator=torch.Generator().manual_seed(1))], 1)


@pytest.mark.parametrize("vocabulary", [5, nucleus.BLOCK, 1000])
def test_evenly_spread_numbers_give_each_token_its_share_to_within_one_draw(vocabulary):
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(0))
    drawn = nucleus.sample_tokens(logits.expand(4000, -1), grid(4000), 0.8, 1.0)
    counts = torch.bincount(drawn, minlength=vocabulary)
    assert ((counts - 4000 * (logits / 0.8).softmax(0)).abs() <= 1.01).all()
    assert (drawn.diff() >= 0).all()  # an inverse transform keeps the order


@pytest.mark.parametrize("likeliest", [3, 512])
def test_a_nucleus_wider_than_the_likeliest_tokens_is_drawn_in_full(monkeypatch, likeliest):
    monkeypatch.setattr(nucleus, "LIKELIEST", likeliest)
    probabilities = torch.tensor([0.1, 0.02, 0.2, 0.15, 0.12, 0.3, 0.01, 0.1])  # 0.3 + 0.2 + 0.15 + 0.12 < 0.85
    drawn = nucleus.sample_tokens(probabilities.log().expand(20_000, -1), grid(20_000), 1.0, 0.85)
    inside = probabilities.where(probabilities >= 0.1, 0)  # both tokens of 0.1: they are equally likely
    shares = torch.bincount(drawn, minlength=8) / 20_000
    torch.testing.assert_close(shares, inside / inside.sum(), atol=0.01, rtol=0)
