"""The models in memory: loaded when they are asked for, shared, and within a bound."""

import gc
import weakref

import httpx
import psutil
import pytest
from gradio_client import Client

from release import loaded_models
from release.gallery import Gallery
from release.loaded_models import MEMORY, Models, memory_bound, weight_bytes
from tests.release.api_client import GREEDY, ask
from tests.release.conftest import served
from tests.release.test_demo import say


@pytest.fixture(scope="module")
def size(bundle):
    """Bytes of one version: all have the same shape."""
    return weight_bytes(bundle)


def model_of(models, name) -> weakref.ref:
    with models.lease(name) as lease:
        assert lease.ready(0)
        return weakref.ref(lease.loaded[0].model)


def alive(reference) -> bool:
    gc.collect()
    return reference() is not None


def test_nothing_is_loaded_before_it_is_asked_for(bundle, size):
    models = Models(Gallery(bundle))
    assert models.held() == 0
    weights = sum(tensor.nbytes for tensor in model_of(models, "chat_model")().parameters())
    assert models.held() == size == weights, "the size is known before the weights are read"


def test_the_least_recently_used_model_goes_when_the_bound_is_reached(bundle, size):
    models = Models(Gallery(bundle), bound=2 * size)
    first, second = model_of(models, "chat_model"), model_of(models, "sft_model")
    assert alive(first) and alive(second)
    assert model_of(models, "chat_model")() is first(), "it is not loaded again"
    third = model_of(models, "policy_1")
    assert alive(first) and not alive(second) and alive(third)
    assert models.held() == 2 * size


def test_a_model_in_use_is_not_taken_away_and_those_who_wait_are_served_in_order(bundle, size):
    models = Models(Gallery(bundle), bound=size)
    with models.lease("sft_model") as second, models.lease("chat_model") as third:
        with models.lease("policy_1") as late:
            assert late.ahead == 2 and not late.ready(0.01)
        assert second.ready(0) and not third.ready(0.01) and third.ahead == 0
        model = second.loaded[0].model
        with models.lease("sft_model") as behind:
            assert not behind.ready(0.01), "it does not overtake, else who waits for memory might wait forever"
        assert models.held() == size
    gone = weakref.ref(model)
    del model, second, behind
    assert alive(gone), "idle, it stays until another one needs its room"
    assert third.loaded == []
    model_of(models, "chat_model")
    assert not alive(gone)


def test_who_gives_up_holds_nobody_up(bundle, size):
    models = Models(Gallery(bundle), bound=size)
    with models.lease("sft_model") as first:
        assert first.ready(0)
        with models.lease("chat_model") as gone:
            assert not gone.ready(0.01)
        with models.lease("sft_model") as next_one:
            assert next_one.ready(0) and next_one.loaded[0].model is first.loaded[0].model


def test_what_one_request_needs_is_loaded_even_beyond_the_bound(bundle, size):
    models = Models(Gallery(bundle), bound=1)
    with models.lease("chat_model", "sft_model") as lease:
        assert lease.ready(0) and len({id(one.model) for one in lease.loaded}) == 2
    model_of(models, "chat_model")
    assert models.held() == size


def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(bundle, monkeypatch):
    models = Models(Gallery(bundle))

    def broken(*arguments):
        raise OSError("no such disk")

    with monkeypatch.context() as patch:
        patch.setattr(loaded_models, "load", broken)
        with pytest.raises(OSError, match="no such disk"), models.lease("chat_model") as lease:
            lease.ready(0)
    assert models.held() == 0
    assert alive(model_of(models, "chat_model"))


def test_the_page_and_the_api_share_their_models(bundle, monkeypatch):
    loaded, load = [], loaded_models.load

    def counted(path, *arguments):
        loaded.append(path)
        return load(path, *arguments)

    monkeypatch.setattr(loaded_models, "load", counted)
    with served(Gallery(bundle)) as url, httpx.Client(base_url=url, timeout=60) as api:
        client = Client(url, verbose=False)
        assert ask(api, model="chat_model", **GREEDY).status_code == 200
        say(client, "What is a llama?")
        client.predict("What is a llama?", "", "chat_model", "sft_model", api_name="/compare")
    assert len(loaded) == 2


def test_the_bound_is_a_setting(monkeypatch):
    monkeypatch.delenv(MEMORY, raising=False)
    assert memory_bound() == psutil.virtual_memory().total // 8
    monkeypatch.setenv(MEMORY, "2.5")
    assert memory_bound() == 2_500_000_000
    for wrong in ("much", "0", "-1", "inf", "nan"):
        monkeypatch.setenv(MEMORY, wrong)
        with pytest.raises(ValueError, match=MEMORY):
            memory_bound()
