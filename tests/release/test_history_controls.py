"""Undo, edit, what the browser keeps and the files, as a client of the page meets them."""

import json

import pytest

from release import history, history_controls
from release.examples import SYSTEM_PROMPTS
from release.history import Dialogue
from release.http_guard import body_refusal
from release.page import system_prompt
from tests.release.test_demo import context_used, say, texts
from tests.release.test_demo_waiting import ask, held  # noqa: F401
from tests.release.test_history import dialogue


def test_undo_takes_one_exchange_back_at_a_time(client):
    say(client, "What is a llama?")
    say(client, "And a cria?")
    messages, box, state = client.predict("", api_name="/undo")
    assert len(messages) == 2 and box == "And a cria?" and "taken back" in state
    messages, box, _ = client.predict("I write this", api_name="/undo")
    assert messages == [] and box == "I write this"
    messages, box, state = client.predict("", api_name="/undo")
    assert (messages, box) == ([], "") and "no question yet" in state
    assert len(say(client, "Hi")[-1][0]) == 2, "the model reads nothing that was taken back"


def test_edit_puts_the_question_before_what_is_written(client):
    say(client, "What is a llama?")
    messages, box, state = client.predict("Really?", api_name="/edit")
    assert (messages, box) == ([], "What is a llama?\nReally?") and "send it" in state


def test_undo_ends_an_answer_that_did_not_begin(client, held):  # noqa: F811
    reading, go = held
    job = ask(client, "What is a llama?")
    assert reading.wait(30)
    messages, box, _ = client.predict("", api_name="/undo")
    assert (messages, box) == ([], "What is a llama?")
    go.set()
    job.result(timeout=60)


def test_a_dialogue_comes_back_and_goes_on(client):
    first = context_used(say(client, "And a cria?")[-1][2])
    client.predict(api_name="/clear")
    kept = history.saved(
        dialogue(("<b>Llama?</b>", "**A** <script>x</script>"), version="sft_model", system="Be brief.")
    )[0]
    messages, menu, system, state, line = client.predict(kept, api_name="/restore")
    assert texts(messages) == ["<b>Llama?</b>", "A <script>x</script>\nChat"]
    assert menu["value"] == "sft_model" and system == "Be brief." and "2 messages" in state
    messages, _, state = say(client, "And a cria?")[-1]
    assert len(messages) == 4 and context_used(state) > first
    assert "the oldest" not in line


@pytest.mark.parametrize(
    "hostile", ["", "{}", "[" * 50_000, '{"turns": 1}', "\x00", history.saved(dialogue(version="x"))[0]]
)
def test_a_hostile_copy_leaves_the_page_fresh(client, hostile):
    client.predict(hostile, api_name="/restore")
    assert len(say(client, "Hi")[-1][0]) == 2


def test_what_the_browser_keeps_is_text_that_the_guard_lets_through():
    largest = history.saved(dialogue(*(("x", "\x01" * 3_000) for _ in range(99))))[0]
    body = json.dumps({"data": [largest], "fn_index": 1, "session_hash": "a"}).encode()
    assert len(largest) > history.MAX_BYTES - 20_000 and body_refusal(body, "/gradio_api/queue/join") is None


def test_the_page_says_how_much_the_browser_has_no_room_for():
    turns = dialogue(*(("x", "y" * 9_000) for _ in range(30))).turns
    text, line = history_controls.keep(turns, 0, "chat_model", "")
    left_out = 60 - len(json.loads(text)["turns"])
    assert 0 < left_out < 60 and f"oldest {left_out} messages" in line
    assert history_controls.keep(turns[:2], 0, "chat_model", "")[1] == history_controls.kept_line()
    restored = history.read_back(text, ["chat_model"])
    again = history_controls.keep(restored.turns, restored.left_out, "chat_model", "")
    assert again == (text, line), "still said after a reload"


@pytest.mark.parametrize("empty", [([], 0, "chat_model", ""), ([], 0, None, "x"), ([], 0, None, "")])
def test_nothing_to_keep_overwrites_what_was_kept(empty):
    assert history_controls.keep(*empty)[0] == history.NOTHING != "", "gradio does not write an empty text"


def test_a_new_dialogue_empties_the_browser_too(client):
    say(client, "What is a llama?")
    assert history.NOTHING in client.predict(api_name="/clear")


def test_the_dialogue_is_kept_after_each_event_that_changes_it(client):
    events = client.config["dependencies"]
    (saved,) = (
        part["id"] for part in client.config["components"] if part["props"].get("storage_key") == "cria-dialogue"
    )
    after = {event["trigger_after"] for event in events if saved in event["outputs"]}
    named = {event["api_name"] for event in events if event["id"] in after}
    assert {"ready", "stop", "undo", "edit", "preset", "choose"} <= named
    assert not any(saved in event["inputs"] and event["api_name"] != "restore" for event in events)


@pytest.mark.parametrize("ending", ["md", "json"])
def test_a_dialogue_is_handed_to_the_browser_as_a_file(client, opened, ending):
    now = ("chat_model", "Be brief.", 0, 1, 20)
    parcel, state = client.predict(*now, api_name=f"/save-{ending}")
    assert not parcel and "nothing to save" in state
    say(client, "What is a ``` llama?", system="Be brief.")
    parcel, state = client.predict(*now, api_name=f"/save-{ending}")
    file = json.loads(parcel)
    assert file["name"].startswith("cria-Chat-") and file["name"].endswith(f".{ending}") and file["name"] in state
    for told in ("What is a ``` llama?", "Be brief.", opened.version("chat_model").content):
        assert told in file["text"]
    if ending == "json":
        assert json.loads(file["text"])["settings"] == {"temperature": 0, "top_p": 1, "max_new_tokens": 20}


def test_presets_are_offered_where_the_context_has_room(client, opened):
    labels = {part["props"].get("value") for part in client.config["components"] if part["type"] == "button"}
    assert {*SYSTEM_PROMPTS, "Llama 2's default"} <= labels
    for label, text in SYSTEM_PROMPTS.items():
        assert system_prompt(opened, "chat_model", 20, label, text)[0] == text
    assert "too long" in system_prompt(opened, "chat_model", 20, "It", "sea " * 300)[1]


def test_every_control_has_a_name(client):
    controls = ("textbox", "dropdown", "slider", "checkbox", "radio", "chatbot")
    for part in client.config["components"]:
        if part["type"] in controls:
            assert part["props"].get("label"), part["props"].get("elem_id")
        if part["type"] == "button":
            assert part["props"].get("value")


def test_restoring_and_a_shared_dialogue_come_before_the_first_look(client):
    by_name = {event["api_name"]: event for event in client.config["dependencies"]}
    restore, taken_up = by_name["restore"], by_name["continue"]
    looks = [event for event in client.config["dependencies"] if event["outputs"] == by_name["refresh"]["outputs"]]
    assert restore["js"] and taken_up["js"] and taken_up["trigger_after"] == restore["id"]
    assert {event["trigger_after"] for event in looks} == {None, taken_up["id"]}
    assert by_name["refresh"]["trigger_after"] is None, "the public name is that of the look that clients ask for"


def test_a_copy_has_only_the_dialogue():
    kept = json.loads(history.saved(Dialogue("chat_model", "", [], 0))[0])
    assert kept.keys() == {"format", "version", "system", "left_out", "turns"}
