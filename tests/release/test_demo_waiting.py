"""What the chat does with a message that is stopped, fails or waits before its first word."""

import threading

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from release import chat
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


def test_who_waits_in_line_is_told_so(url, client, held):
    reading, go = held
    first = ask(client, "What is a llama?")
    assert reading.wait(30)
    second = Client(url, verbose=False)
    assert "Waiting for its turn" in second.predict(api_name="/wait")  # what Send does before it gets in line
    waiting = ask(second, "What is a cria?")
    go.set()
    assert texts(waiting.result(timeout=60)[0]) and texts(first.result(timeout=60)[0])


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
