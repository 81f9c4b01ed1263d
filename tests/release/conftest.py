"""One small release for all tests of this folder, made by the real stage from a real store."""

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from modeling.core.continuous_batching import ThreadedScheduler
from release import answering, loaded_models, screenshots
from release.gallery import Gallery
from tests.conftest import MemoryLog
from tests.release import toy_store


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> toy_store.ToyStore:
    return toy_store.evaluated(tmp_path_factory.mktemp("store"))


@pytest.fixture
def copied(store, tmp_path) -> toy_store.ToyStore:
    """The store once more, to be spoiled."""
    shutil.copytree(store.root, tmp_path / "store")
    return toy_store.ToyStore(tmp_path / "store")


@pytest.fixture(scope="session")
def bundle_metrics(store, tmp_path_factory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("release") / "bundle"
    metrics = toy_store.release(store, out, MemoryLog())
    return out, metrics


@pytest.fixture(scope="session")
def bundle(bundle_metrics) -> Path:
    return bundle_metrics[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def opened(bundle):
    return Gallery(bundle).now()


@contextlib.contextmanager
def served(gallery: Gallery, every_token: bool = True) -> Iterator[str]:
    """The address of a chat on this gallery that shows every token, or as many as it shows people."""
    show_every, answering.SHOW_EVERY = answering.SHOW_EVERY, 0.0 if every_token else answering.SHOW_EVERY
    with screenshots.served(gallery) as address:
        yield address
    answering.SHOW_EVERY = show_every


@pytest.fixture
def few_rows(monkeypatch) -> tuple[int, int]:
    """(rows, places in line) of the servers that are started in this test."""
    rows, line = 2, 3
    monkeypatch.setattr(loaded_models, "ThreadedScheduler", partial(ThreadedScheduler, rows, line))
    return rows, line


@pytest.fixture
def held(monkeypatch):
    """(schedulers that were asked for a turn, go): none is taken before `go` is set."""
    asked, go, turn = [], threading.Event(), ThreadedScheduler.turn

    def waits(scheduler):
        asked.append(scheduler)
        assert go.wait(120)
        return turn(scheduler)

    monkeypatch.setattr(ThreadedScheduler, "turn", waits)
    yield asked, go
    go.set()


@pytest.fixture
def paused(monkeypatch):
    """(schedulers after their first turn, go): they take the next turn when `go` is set."""
    turned, go, turn = [], threading.Event(), ThreadedScheduler.turn

    def pauses(scheduler):
        going = turn(scheduler)
        turned.append(scheduler)
        assert go.wait(120)
        return going

    monkeypatch.setattr(ThreadedScheduler, "turn", pauses)
    yield turned, go
    go.set()


@pytest.fixture(scope="module")
def url(bundle):
    with served(Gallery(bundle)) as address:
        yield address


@pytest.fixture
def client(url):
    return Client(url, verbose=False)


@pytest.fixture(scope="module")
def api(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
