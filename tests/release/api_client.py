"""A program that speaks OpenAI's chat completions with the server."""

import json
import time

from release import chat
from release.loaded_models import load

HELLO = [{"role": "user", "content": "What is a llama?"}]
GREEDY = {"messages": HELLO, "temperature": 0, "max_tokens": 20}
LIKEWISE = chat.Settings(0, 1, 20)


def ask(api, **fields):
    return api.post("/v1/chat/completions", json=fields)


def text_of(response) -> str:
    return response.json()["choices"][0]["message"]["content"]


def told(response) -> tuple[int, str | None, str | None]:
    """(status, param, code) of an error."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and "\n" not in error["message"]
    return response.status_code, error["param"], error["code"]


def events(api, **fields) -> list[dict]:
    """All events of a streamed answer but the last, which must be [DONE]."""
    with api.stream("POST", "/v1/chat/completions", json=fields | {"stream": True}) as response:
        assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def streamed_text(chunks) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


def expected(opened, name="chat_model", messages=HELLO, how=LIKEWISE):
    return list(chat.stream(load(opened.version(name).path), messages, how))[-1]


def insist(api, **fields):
    """As a client does that is told to try again later."""
    while (response := ask(api, **fields)).status_code == 503:
        time.sleep(0.05)
    return response


def wait_for(met, seconds=20):
    deadline = time.monotonic() + seconds
    while not met() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert met()
