"""Rows that begin alike share the pass over their beginning, and their last states are those that they have alone."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaModel

from modeling.core import batching, last_states
from modeling.core.last_states import LEAST_SHARED, families

ROWS = st.lists(st.lists(st.integers(1, 2), min_size=1, max_size=40), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.2)  # fmt: skip
    return LlamaModel(config).eval()


def answers(seed: int, prompts: int = 4, samples: int = 3) -> list[list[int]]:
    """Rows of prompts of unlike length with several answers each, and two rows that stand alone, in any order."""
    rng = random.Random(seed)

    def drawn(length: int) -> list[int]:
        return [rng.randrange(64) for _ in range(length)]

    asked = [drawn(rng.randint(LEAST_SHARED, 50)) for _ in range(prompts)]
    rows = [prompt + drawn(rng.randint(1, 30)) for prompt in asked for _ in range(samples)] + [drawn(1), drawn(60)]
    rng.shuffle(rows)
    return rows


@pytest.mark.parametrize("budget", [1, 100, 100_000])
def test_states_are_those_of_rows_alone(model, monkeypatch, budget):
    monkeypatch.setattr(batching, "CPU_TOKENS", budget)
    rows, done = answers(budget), []
    found = last_states.last_states(model, rows, done.append)
    with torch.inference_mode():
        alone = torch.stack([model(input_ids=torch.tensor([row])).last_hidden_state[0, -1] for row in rows])
    torch.testing.assert_close(found, alone.float(), atol=2e-2, rtol=2e-2)
    assert done == sorted(done) and done[-1] == len(rows)


def test_a_beginning_is_read_once(model, monkeypatch):
    monkeypatch.setattr(batching, "CPU_TOKENS", 128)  # rests of unlike length then share no pass
    rows, read = answers(1, prompts=3, samples=8), []
    with model.embed_tokens.register_forward_hook(lambda module, given, out: read.append(given[0].numel())):
        last_states.last_states(model, rows)
    assert sum(read) < 0.7 * sum(map(len, rows))


@given(ROWS)
def test_families_hold_every_row_once_with_the_beginning_that_they_share(rows):
    found = families(rows)
    assert sorted(place for places, _ in found for place in places) == list(range(len(rows)))
    for places, shared in found:
        assert len({tuple(rows[place][:shared]) for place in places}) == 1
        assert (shared >= LEAST_SHARED) == (len(places) > 1) and all(len(rows[place]) > shared for place in places)
