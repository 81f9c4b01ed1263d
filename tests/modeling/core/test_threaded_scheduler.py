"""A scheduler with a thread of its own: everybody gets their tokens, faults are told, and nothing is held afterwards."""

import gc
import threading
import weakref

import pytest

from modeling.core import request_rows
from modeling.core.continuous_batching import ThreadedScheduler
from tests.modeling.core.crowds import CLOSING, Asked, alone, made


@pytest.fixture(scope="module")
def model():
    return made()


def test_nothing_holds_a_model_after_its_last_row():
    model, scheduler = made(), ThreadedScheduler()
    request = Asked().submit(scheduler, model)
    finish(request)
    wait_until_idle(scheduler)
    gone = weakref.ref(model)
    del model, request
    gc.collect()
    assert gone() is None


def finish(request) -> list[int]:
    tokens = []
    for token in request.tokens(10):
        assert token is not None, "no token for ten seconds"
        tokens.append(token)
        if token == CLOSING or len(tokens) == request.most:
            return tokens


def wait_until_idle(scheduler: ThreadedScheduler) -> None:
    for thread in threading.enumerate():
        if thread is scheduler._thread:
            thread.join(10)
    assert scheduler.busy() == (0, 0)


def test_threads_that_ask_at_once_all_get_their_own_tokens(model):
    scheduler, found = ThreadedScheduler(rows=3), {}

    def ask(seed):
        found[seed] = finish(Asked(seed=seed, most=5).submit(scheduler, model))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {seed: alone(model, Asked(seed=seed, most=5)) for seed in range(12)}


def test_a_fault_of_the_scheduler_is_told_to_all_and_the_next_request_is_answered(model, monkeypatch):
    def broken(self):
        raise KeyError("a fault")

    scheduler = ThreadedScheduler()
    with monkeypatch.context() as patch:
        patch.setattr(request_rows.Group, "step", broken)
        requests = [Asked(seed=seed, most=3).submit(scheduler, model) for seed in range(2)]
        for request in requests:
            with pytest.raises(KeyError, match="a fault"):
                finish(request)
    wanted = alone(model, Asked(seed=5))
    assert finish(Asked(seed=5).submit(scheduler, model)) == wanted
