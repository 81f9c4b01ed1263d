"""The API's requests wait in line, and end with their clients."""

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import pytest

from release import chat, openai_api
from release.gallery import Gallery
from tests.release.api_client import (
    GREEDY,
    HELLO,
    ask,
    events,
    insist,
    told,
    wait_for,
)
from tests.release.conftest import served


@pytest.fixture
def slowed(monkeypatch):
    """(tokens, go): tokens made so far of all answers. An answer goes on after its first token once `go` is set."""
    tokens, go, stream, running = [], threading.Event(), chat.stream, threading.Lock()

    def slow(*arguments):
        assert running.acquire(blocking=False), "two answers at once"
        try:
            for answer in stream(*arguments):
                tokens.append(answer)
                yield answer
                assert go.wait(15)
                time.sleep(0.02)
        finally:
            running.release()

    monkeypatch.setattr(chat, "stream", slow)
    yield tokens, go
    go.set()


def test_requests_wait_in_line_and_one_too_many_is_refused(bundle, slowed):
    tokens, go = slowed
    fields = GREEDY | {"max_tokens": 2}
    with (
        served(Gallery(bundle)) as address,
        httpx.Client(base_url=address, timeout=60) as api,
        httpx.Client(base_url=address, timeout=0.5) as hasty,
        ThreadPoolExecutor(openai_api.WAITING + 1) as pool,
    ):
        first = pool.submit(ask, api, **fields)
        wait_for(lambda: tokens)
        with pytest.raises(httpx.ReadTimeout):
            ask(hasty, **fields)  # waits, and leaves the line
        others = [pool.submit(insist, api, **fields, stream=bool(n % 2)) for n in range(openai_api.WAITING)]

        def refused():
            try:
                return told(ask(hasty, **fields))
            except httpx.ReadTimeout:  # not all of the others are in line yet
                return None

        wait_for(lambda: refused() == (429, None, "rate_limit_exceeded"))
        assert int(ask(hasty, **fields).headers["retry-after"]) > 0
        go.set()
        assert {waiting.result(timeout=60).status_code for waiting in (first, *others)} == {200}
        assert len(tokens) == 2 * (openai_api.WAITING + 1), "who left the line got no answer"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_its_answer(url, api, slowed, stream):
    tokens, go = slowed
    fields = {"messages": HELLO, "temperature": 0, "max_tokens": 60, "stream": stream}
    leaving = httpx.Client(base_url=url, timeout=60 if stream else 1)
    if stream:
        with leaving.stream("POST", "/v1/chat/completions", json=fields) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            go.set()
            wait_for(lambda: len(tokens) > 3)
    else:
        with pytest.raises(httpx.ReadTimeout):
            ask(leaving, **fields)
        go.set()
    leaving.close()
    left = len(tokens)
    assert ask(api, **GREEDY | {"max_tokens": 1}).status_code == 200
    assert len(tokens) <= left + 4, "the answer went on without its client"


def test_a_client_that_reads_nothing_loses_its_turn(bundle, monkeypatch):
    monkeypatch.setattr(openai_api, "STALLED_S", 0.2)
    completions, sent = openai_api.Completions(Gallery(bundle)), []
    body = json.dumps(GREEDY | {"stream": True}).encode()

    async def ask_and_read(most: int) -> None:
        waiting = [{"type": "http.request", "body": body}]

        async def receive():
            return waiting.pop() if waiting else await anyio.sleep_forever()

        async def send(message):
            sent.append(message)
            if len(sent) >= most:
                await anyio.sleep_forever()

        with anyio.fail_after(30):
            await completions({"type": "http"}, receive, send)

    anyio.run(ask_and_read, 3)
    assert len(sent) == 3
    sent.clear()
    anyio.run(ask_and_read, 1000)
    assert b"[DONE]" in sent[-1]["body"] and not sent[-1]["more_body"]


def test_a_failure_during_the_answer_is_told_in_its_events(api, monkeypatch):
    stream = chat.stream

    def failing(*arguments):
        yield from itertools.islice(stream(*arguments), 3)
        raise RuntimeError("out of memory\nat line 5")

    monkeypatch.setattr(chat, "stream", failing)
    chunks = events(api, **GREEDY)
    assert chunks[-1]["error"]["message"] == "No answer: RuntimeError: out of memory" and len(chunks) > 1
    assert told(ask(api, **GREEDY)) == (500, None, None)
    monkeypatch.undo()
    assert ask(api, **GREEDY).status_code == 200, "the line moves on"
