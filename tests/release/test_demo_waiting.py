"""What the chat does with a message that is stopped, fails or waits before its first word."""

import threading

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from release import chat
from release.gallery import Gallery
from tests.release.api_client import wait_for
from tests.release.conftest import served
from tests.release.test_demo import texts


@pytest.fixture
def held(monkeypatch):
    """Answers that do not begin until the event is set; a second one tells that the first is asked for."""
    reading, go, stream = threading.Event(), threading.Event(), chat.stream

    def slow(*arguments):
        reading.set()
        assert go.wait(30)
        yield from stream(*arguments)

    monkeypatch.setattr(chat, "stream", slow)
    yield reading, go
    go.set()


def ask(client, text):
    return client.submit(text, "chat_model", "", 0, 1, 20, api_name="/chat")


def test_stopped_before_its_first_word_a_message_comes_back(client, held):
    reading, go = held
    job = ask(client, "What is a llama?")
    assert reading.wait(30)
    messages, state, box = client.predict("", api_name="/stop")
    assert messages == [] and "Stopped" in state and box == "What is a llama?"
    assert client.predict("meanwhile", api_name="/stop")[2] != "What is a llama?", "it comes back once"
    go.set()
    job.result(timeout=60)


def test_what_was_written_meanwhile_is_kept_behind_it(client, held):
    reading, go = held
    job = ask(client, "What is a llama?")
    assert reading.wait(30)
    assert client.predict("And a cria?", api_name="/stop")[2] == "What is a llama?\nAnd a cria?"
    go.set()
    job.result(timeout=60)


def test_an_answer_that_fails_in_an_unforeseen_way_gives_the_text_back(client, monkeypatch):
    def broken(*arguments):
        raise TypeError("unforeseen")

    monkeypatch.setattr(chat, "stream", broken)
    with pytest.raises(AppError):
        ask(client, "What is a llama?").result(timeout=60)
    messages, state, box = client.predict("", api_name="/failed")
    assert (messages, box) == ([], "What is a llama?") and "Stopped" in state


def test_who_waits_in_line_is_told_the_place_and_the_line_moves(bundle, few_rows, paused):
    rows, line = few_rows
    turned, go = paused
    with served(Gallery(bundle)) as url:
        clients = [Client(url, verbose=False) for _ in range(rows + line)]
        assert "Waiting for its turn" in clients[0].predict(api_name="/wait")  # what Send does before it gets in line
        jobs = [ask(client, "What is a llama?") for client in clients[:rows]]
        wait_for(lambda: turned)
        jobs += [ask(client, "What is a cria?") for client in clients[rows:]]
        wait_for(lambda: f"Your place in line: {line}" in "".join(lines(jobs)))
        full = ask(Client(url, verbose=False), "And I?")
        full.result(timeout=60)
        assert "Too many people are asking" in lines([full])[-1] and full.outputs()[-1][1] == "And I?"
        go.set()
        answered = [job.result(timeout=60) for job in jobs]
        assert all(len(texts(output[0])) == 2 for output in answered)


def lines(jobs) -> list[str]:
    """All state lines that the jobs were shown until now."""
    return [line for job in jobs for output in job.outputs() if isinstance(line := output[2], str)]


def test_people_who_ask_at_once_get_the_answers_that_they_get_alone(url, client):
    alone = texts(ask(client, "What is a llama?").result(timeout=60)[0])
    jobs = [ask(Client(url, verbose=False), "What is a llama?") for _ in range(6)]
    assert [texts(job.result(timeout=60)[0]) for job in jobs] == [alone] * 6


@pytest.mark.parametrize("leaves", ["stopped", "closed"])
def test_who_leaves_frees_the_row(bundle, paused, leaves):
    turned, go = paused
    with served(Gallery(bundle)) as url:
        if leaves == "stopped":
            job = Client(url, verbose=False).submit("Hi", "chat_model", "", 0, 1, 60, api_name="/chat")
            wait_for(lambda: turned)
            job.cancel()
        else:
            ask_and_close(url, lambda: bool(turned))
        (request,) = turned[0].requests()
        wait_for(lambda: request.gone)
        go.set()
        wait_for(lambda: turned[0].busy() == (0, 0))
        assert request.made == 2, "the answer went on"


def ask_and_close(url, met) -> None:
    """As a browser whose tab is closed once `met`."""
    events = Client(url, verbose=False).config["dependencies"]
    (event,) = (event["id"] for event in events if event["api_name"] == "chat")
    asked = {"data": ["Hi", None, "chat_model", "", 0, 1, 60], "fn_index": event, "session_hash": "closing"}
    with httpx.Client(base_url=url, timeout=30) as browser:
        assert browser.post("/gradio_api/queue/join", json=asked).status_code == 200
        with browser.stream("GET", "/gradio_api/queue/data", params={"session_hash": "closing"}):
            wait_for(met)


def test_sending_waits_answers_and_is_ready_in_that_order(client):
    by_name = {}
    for event in client.config["dependencies"]:
        by_name.setdefault(event["api_name"], event)
    assert by_name["chat"]["trigger_after"] == by_name["wait"]["id"]
    for name in ("ready", "failed"):
        assert by_name[name]["trigger_after"] == by_name["chat"]["id"]
    assert by_name["ready"]["trigger_only_on_success"] and by_name["failed"]["trigger_only_on_failure"]
    buttons = {part["id"] for part in client.config["components"] if part["props"].get("elem_id") in ("send", "stop")}
    assert len(buttons) == 2 and all(
        buttons < set(by_name[name]["outputs"]) for name in ("wait", "ready", "failed", "stop", "clear")
    )
