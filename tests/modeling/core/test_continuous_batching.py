"""Rows that join and leave at any time get the tokens that they get alone, and no row harms another."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from modeling.core import sampling
from modeling.core.continuous_batching import LineFullError, Scheduler
from modeling.core.live_batch import PLACES, LiveBatch
from modeling.core.request_rows import CHUNK
from tests.modeling.core.crowds import CLOSING, POISON, Asked, alone, drained, made, received


@pytest.fixture(scope="module")
def model():
    return made()


def test_an_answer_is_that_of_transformers(model):
    asked = Asked(prompt=CHUNK + 3, temperature=0, most=12)
    ids = torch.tensor([asked.ids()])
    wanted = model.generate(ids, do_sample=False, max_new_tokens=12, eos_token_id=CLOSING, pad_token_id=0)
    assert alone(model, asked) == wanted[0, len(asked.ids()) :].tolist()


ASKED = st.builds(
    Asked,
    prompt=st.integers(1, 12) | st.sampled_from([PLACES - 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5]),
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_p=st.sampled_from([0.2, 0.9, 1.0]),
    most=st.integers(1, 12) | st.just(PLACES + 2),
    seed=st.integers(0, 2**16),
)
# (turns before it joins, what is asked, tokens after which it leaves)
CROWD = st.lists(st.tuples(st.integers(0, 6), ASKED, st.none() | st.integers(0, 5)), min_size=2, max_size=12)


@settings(max_examples=30, deadline=None)
@given(CROWD, st.integers(1, 12))
def test_tokens_in_a_crowd_are_those_alone(model, crowd, rows):
    scheduler = Scheduler(rows, line=len(crowd))
    requests = []
    for wait, asked, leaves in crowd:
        for _ in range(wait):
            scheduler.turn()
            leave(scheduler, requests)
        requests.append((asked.submit(scheduler, model), asked, leaves))
    while scheduler.turn():
        leave(scheduler, requests)
    for request, asked, leaves in requests:
        wanted = alone(model, asked)
        found = received(request)
        assert found == wanted or (leaves is not None and leaves <= len(found) and found == wanted[: len(found)])
    assert scheduler.busy() == (0, 0)


def leave(scheduler: Scheduler, requests: list) -> None:
    for request, _, leaves in requests:
        if leaves is not None and request.made >= leaves:
            scheduler.cancel(request)


def test_logits_of_a_crowd_are_close_in_float32():
    model, batch, prompts = made(dtype=torch.float32), LiveBatch(made(dtype=torch.float32)), []
    for seed in range(9):
        ids = Asked(prompt=3 + 9 * seed, seed=seed).ids()
        cache = DynamicCache(config=model.config)
        with torch.inference_mode():
            model(torch.tensor([ids]), past_key_values=cache)
        batch.join(cache, len(ids) + 4)
        prompts.append(ids)
    batch.leave(2)
    prompts[2] = prompts.pop()
    logits = batch.step([7] * len(prompts), slice(0, len(prompts)))
    for row, ids in enumerate(prompts):
        with torch.inference_mode():
            wanted = model(torch.tensor([[*ids, 7]])).logits[0, -1]
        torch.testing.assert_close(logits[row], wanted, rtol=1e-3, atol=1e-3)


def test_the_closing_token_ends_a_row_and_frees_it(model):
    asked = next(one for seed in range(200) if CLOSING in alone(model, one := Asked(seed=seed, temperature=2.0)))
    tokens = alone(model, asked)
    assert tokens[-1] == CLOSING and CLOSING not in tokens[:-1]


def test_a_row_that_is_cancelled_is_free_for_the_next_in_line(model):
    scheduler = Scheduler(rows=1)
    first, second = (Asked(most=50, seed=seed, temperature=0.3).submit(scheduler, model) for seed in (3, 4))
    scheduler.turn()
    assert scheduler.busy() == (1, 1) and received(first) and not received(second)
    scheduler.cancel(first)
    scheduler.turn()
    assert scheduler.busy() == (1, 0) and received(second) and received(first) == []


def test_who_leaves_the_line_is_not_answered_and_those_behind_move_up(model):
    scheduler = Scheduler(rows=1)
    requests = [Asked(seed=seed).submit(scheduler, model) for seed in range(4)]
    scheduler.turn()
    assert [scheduler.place(request).number for request in requests] == [0, 1, 2, 3]
    scheduler.cancel(requests[1])
    assert [scheduler.place(request).number for request in requests[2:]] == [1, 2]
    drained(scheduler)
    assert [bool(received(request)) for request in requests] == [True, False, True, True]


def test_the_estimate_grows_with_the_place_and_shrinks_with_the_rows(model):
    def seconds(rows):
        scheduler = Scheduler(rows)
        requests = [Asked(most=40, temperature=0.3).submit(scheduler, model) for _ in range(rows + 2)]
        assert scheduler.place(requests[-1]).seconds is None, "nothing is measured yet"
        scheduler.turn()
        scheduler._turn_s = 0.1
        return [scheduler.place(request).seconds for request in requests[-2:]]

    one, many = seconds(1), seconds(4)
    assert one[0] == pytest.approx(10) and one[1] == 2 * one[0]
    assert many[0] == pytest.approx(one[0] / 4)


def test_the_line_has_a_bound(model):
    scheduler = Scheduler(rows=1, line=2)
    for _ in range(3):
        Asked().submit(scheduler, model)
    with pytest.raises(LineFullError, match="2 requests wait"):
        Asked().submit(scheduler, model)
    drained(scheduler)
    assert Asked().submit(scheduler, model)


def test_a_long_prompt_does_not_hold_the_others_up(model):
    scheduler = Scheduler()
    writing = Asked(most=20, temperature=0, seed=2).submit(scheduler, model)
    scheduler.turn()
    long = Asked(prompt=5 * CHUNK).submit(scheduler, model)
    for turn in range(4):
        before = writing.made
        scheduler.turn()
        assert writing.made == before + 1 and long.made == 0, turn
    scheduler.turn()
    assert long.made == 2, "its first token, and that of the step that follows"


def test_the_cache_stays_within_its_budget(model, monkeypatch):
    monkeypatch.setattr(sampling, "CPU_TOKEN_BUDGET", 60)
    scheduler, held = Scheduler(), []
    requests = [Asked(prompt=4, most=16, seed=seed, temperature=0.3).submit(scheduler, model) for seed in range(7)]
    huge = Asked(prompt=50, most=30).submit(scheduler, model)
    last = Asked(prompt=4, most=16).submit(scheduler, model)
    while scheduler.turn():
        held.append(scheduler.busy()[0])
    assert max(held) == 3 and held[0] == 3, "three rows of 20 tokens"
    assert all(received(request) for request in (*requests, huge, last)), "the huge one is answered, alone"


@pytest.mark.parametrize("when", ["prompt", "answer"])
def test_a_failure_in_one_row_is_told_to_it_alone(when):
    model, wanted = made(), [alone(made(), Asked(seed=seed, most=10)) for seed in range(3)]

    def poisoned(module, inputs, given):
        ids = inputs[0] if inputs else given["input_ids"]
        if (ids == POISON).any():
            raise RuntimeError("out of memory")

    model.model.embed_tokens.register_forward_pre_hook(poisoned, with_kwargs=True)
    scheduler = Scheduler()
    requests = [Asked(seed=seed, most=10).submit(scheduler, model) for seed in range(3)]
    scheduler.turn()
    bad = Asked(most=10).submit(scheduler, model, [5, POISON, 7] if when == "prompt" else [5, 6, 7])
    scheduler.turn()
    if when == "answer":
        assert not bad.gone
        bad.last = POISON
    drained(scheduler)
    with pytest.raises(RuntimeError, match="out of memory"):
        received(bad)
    assert [received(request) for request in requests] == wanted
    assert scheduler.busy() == (0, 0)


def test_logits_that_are_not_numbers_end_their_row_alone():
    model, wanted = made(), [alone(made(), Asked(seed=seed)) for seed in range(3)]

    def poisoned(module, inputs, hidden):
        return hidden.masked_fill((inputs[0] == POISON)[..., None], torch.nan)

    model.model.embed_tokens.register_forward_hook(poisoned)
    scheduler = Scheduler()
    requests = [Asked(seed=seed).submit(scheduler, model) for seed in range(3)]
    unread, bad = (Asked(seed=9).submit(scheduler, model, ids) for ids in ([5, POISON, 7], [5, 6, 7]))
    scheduler.turn()
    assert unread.gone and not bad.gone
    bad.last = POISON
    drained(scheduler)
    for request in (unread, bad):
        with pytest.raises(RuntimeError, match="not numbers"):
            received(request)
    assert [received(request) for request in requests] == wanted


def test_two_models_answer_at_once(model):
    other, scheduler = made(seed=1), Scheduler()
    requests = [(which, Asked(seed=seed)) for seed in range(3) for which in (model, other)]
    asked = [one.submit(scheduler, which) for which, one in requests]
    scheduler.turn()
    assert all(request.made for request in asked)
    drained(scheduler)
    assert [received(request) for request in asked] == [alone(which, one) for which, one in requests]
