"""The page follows a store that is being filled: its menu, its release, the user's choice and the dialogue."""

import shutil
from dataclasses import replace

import gradio as gr
import pytest
from fastapi import FastAPI
from gradio_client import Client

from data_cleaning.run_notice import announcing
from release import history, page
from release.answering import respond
from release.gallery import Gallery
from release.loaded_models import Models
from release.page_texts import describe, placeholder, run_line
from tests.release.conftest import served
from tests.release.test_demo import say, texts
from tests.release.test_gallery import LISTED
from tests.release.test_history import dialogue
from tests.shown import Shown

SKIPPED = ({"__type__": "update"}, {"props": {"__type__": "update"}, "__type__": "update"})


@pytest.fixture
def live(store, tmp_path):
    """(place, gallery, client) of a chat on a store that is still empty."""
    folder = tmp_path / "live" / "tiny"
    gallery = Gallery(folder / "bundle", folder, LISTED)
    with served(gallery) as url:
        yield (
            lambda asset: shutil.copytree(store.folder(asset, "tiny"), folder / asset),
            gallery,
            Client(url, verbose=False),
        )


def look(client, name):
    """What a look of the page changes, by element; `name`: the version that its menu shows."""
    event = next(event for event in client.config["dependencies"] if event["api_name"] == "refresh")
    left_out = {part["id"] for part in client.config["components"] if part["type"] in ("state", "button")}
    elements = [place for place in event["outputs"] if place not in left_out]  # as the client does
    known = {part["id"]: part["props"].get("elem_id") for part in client.config["components"]}
    answers = client.predict(name, api_name="/refresh")
    changed = {known[place]: answer for place, answer in zip(elements, answers, strict=True)}
    return {name: answer for name, answer in changed.items() if answer not in SKIPPED}


def menu(changed):
    return [value for _, value in changed["version"]["choices"]], changed["version"]["value"]


def test_versions_come_into_the_menu_and_the_newest_is_chosen(live):
    place, _, client = live
    first = look(client, None)
    assert menu(first) == ([], None)
    assert "not made yet" in first["dialogue"]["placeholder"] and not first["dialogue"]["examples"]
    assert "version" not in look(client, None), "nothing is sent where nothing changed"
    place("base_model")
    second = look(client, None)
    assert menu(second) == (["Base"], "Base")
    assert len(second["dialogue"]["examples"]) == 6
    place("sft_model")
    assert menu(look(client, "Base")) == (["SFT", "Base"], "SFT")


def test_a_choice_is_kept(live):
    place, _, client = live
    place("base_model")
    place("sft_model")
    look(client, None)
    client.predict(api_name="/choose")
    place("chat_model")
    assert menu(look(client, "Base")) == (["Chat", "SFT", "Base"], "Base")


def test_a_dialogue_is_kept_with_the_version_that_answers_it(live):
    place, _, client = live
    place("base_model")
    look(client, None)
    messages, _, _ = say(client, "What is a llama?", version="Base")[-1]
    assert "Base" in texts(messages)[1]
    place("sft_model")
    changed = look(client, "Base")
    assert menu(changed) == (["SFT", "Base"], "Base")
    assert "value" not in changed["dialogue"], "the messages are left alone"
    messages, _, _ = say(client, "And a cria?", version="SFT")[-1]
    assert len(messages) == 4 and "Base" in texts(messages)[1] and "SFT" in texts(messages)[3]


def test_a_question_that_is_taken_back_stays_with_its_version(live):
    place, _, client = live
    place("base_model")
    look(client, None)
    say(client, "What is a llama?", version="Base")
    client.predict("", api_name="/edit")
    place("sft_model")
    assert menu(look(client, "Base")) == (["SFT", "Base"], "Base")


def test_a_dialogue_from_the_browser_keeps_its_version(live):
    place, _, client = live
    place("base_model")
    place("sft_model")
    kept = history.saved(dialogue(("What is a llama?", "An animal."), version="Base"))[0]
    client.predict(kept, api_name="/restore")
    assert menu(look(client, "Base")) == (["SFT", "Base"], "Base")


def test_each_version_of_the_menu_is_described_in_one_line_of_text(opened):
    for chosen in opened.offered:
        shown = Shown(describe(opened, chosen.name))
        assert chosen.content[:12] in shown.text
        for version in opened.offered:
            assert f"{version.title}: {version.about}" in shown.text and version.about
    hostile = replace(opened, versions=tuple(replace(one, title="<b>", about="<img src=x>") for one in opened.versions))
    assert Shown(describe(hostile, opened.offered[0].name)).tags == shown.tags


def test_a_question_before_any_version_comes_back(live):
    _, _, client = live
    messages, box, state = say(client, "hello", version=None)[-1]
    assert (messages, box) == ([], "hello") and "No version is made yet" in state


def test_the_release_brings_its_card_and_a_tuned_temperature_stays(live, bundle):
    place, gallery, client = live
    place("chat_model")
    (gallery.folder / "temperature_curve").mkdir()
    (gallery.folder / "temperature_curve" / "choice.json").write_text('{"Chat": 0.3}')
    assert look(client, None)["temperature"] == 0.3
    client.predict(api_name="/tune")
    shutil.copytree(bundle, gallery.bundle)
    (gallery.bundle / "RECORD.json").touch()
    changed = look(client, "Chat")
    assert "Hardware, software and carbon" in changed["card"] and "temperature" not in changed


def test_the_line_on_the_run_says_what_is_made_and_when_nothing_is(live, bundle):
    _, gallery, _ = live
    with announcing(gallery.folder.parent) as say_now:
        say_now("sft_model (3 of 9) <b>")
        line = run_line(gallery.now(), gallery.making())
        assert "sft_model (3 of 9)" in line and "slower" in line and "<b>" not in line
        assert "sft_model" in placeholder(gallery.now(), gallery.making()).replace("\\", "")
    assert "no run is making it" in run_line(gallery.now(), gallery.making())
    assert run_line(Gallery(bundle).now(), None) == ""


def test_the_sessions_that_the_server_holds_are_bounded(bundle):
    built = page.build(Models(Gallery(bundle)))
    gr.mount_gradio_app(FastAPI(), built, "/")
    assert built.state_holder.capacity == page.MOST_SESSIONS


@pytest.mark.parametrize("text, system", [("\ud800", ""), ("Hi", "a\udfff")])
def test_half_a_character_is_a_line(bundle, text, system):
    (shown,) = respond(Models(Gallery(bundle)), text, [], "chat_model", system, 0, 1, 5)
    assert shown[2] == text and "half a character" in shown[3]


def test_a_dialogue_on_the_page_has_an_end(bundle):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x", "by": "Chat"}] * 200
    (shown,) = respond(Models(Gallery(bundle)), "More", turns, "chat_model", "", 0, 1, 5)
    assert shown[1] == turns and shown[2] == "More" and "400 messages" in shown[3]
