"""The API's requests are answered together, wait in line, and end with their clients."""

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import pytest

from release import chat, openai_api
from release.gallery import Gallery
from release.loaded_models import Models
from tests.release.api_client import GREEDY, HELLO, ask, events, insist, text_of, told, wait_for
from tests.release.conftest import served


def test_requests_wait_in_line_and_one_too_many_is_refused(bundle, few_rows, held):
    rows, line = few_rows
    asked, go = held
    fields = GREEDY | {"max_tokens": 2}
    with (
        served(Gallery(bundle)) as address,
        httpx.Client(base_url=address, timeout=60) as api,
        httpx.Client(base_url=address, timeout=0.5) as hasty,
        ThreadPoolExecutor(rows + line) as pool,
    ):
        first = pool.submit(ask, api, **fields)
        wait_for(lambda: asked)
        with pytest.raises(httpx.ReadTimeout):
            ask(hasty, **fields)  # waits, and leaves the line
        others = [pool.submit(insist, api, **fields, stream=bool(n % 2)) for n in range(rows + line - 1)]

        def refused():
            try:
                return told(ask(hasty, **fields))
            except httpx.ReadTimeout:  # not all of the others are in line yet: leave them a moment to take its place
                time.sleep(0.3)
                return None

        wait_for(lambda: refused() == (503, None, "overloaded"), seconds=60)
        assert int(ask(hasty, **fields).headers["retry-after"]) > 0
        go.set()
        assert {waiting.result(timeout=60).status_code for waiting in (first, *others)} == {200}
        assert ask(api, **fields).status_code == 200, "the line moves on"


def test_many_requests_at_once_get_the_answers_that_they_get_alone(api):
    asked = [
        {"messages": HELLO, "max_tokens": 12, "seed": seed, "temperature": (0, 0.5, 1)[seed % 3], "stream": False}
        for seed in range(12)
    ]
    alone = [text_of(ask(api, **fields)) for fields in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda fields: text_of(ask(api, **fields)), asked))
    assert together == alone


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_row(bundle, paused, stream):
    turned, go = paused
    fields = {"messages": HELLO, "temperature": 0, "max_tokens": 60, "stream": stream}
    with served(Gallery(bundle)) as url, httpx.Client(base_url=url, timeout=1) as leaving:
        if stream:
            with leaving.stream("POST", "/v1/chat/completions", json=fields) as response:
                assert next(response.iter_lines()).startswith("data: ")
                wait_for(lambda: turned)
        else:
            with pytest.raises(httpx.ReadTimeout):
                ask(leaving, **fields)
        (request,) = turned[0].requests()
        wait_for(lambda: request.gone)
        go.set()
        wait_for(lambda: turned[0].busy() == (0, 0))
        assert request.made == 2, "the answer went on without its client"


def test_a_client_that_reads_nothing_loses_its_turn(bundle, monkeypatch):
    monkeypatch.setattr(openai_api, "STALLED_S", 0.2)
    completions, sent = openai_api.Completions(Models(Gallery(bundle))), []
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
            await completions({"type": "http", "headers": []}, receive, send)

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
