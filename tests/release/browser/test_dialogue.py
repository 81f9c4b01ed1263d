"""A person leads a dialogue in a real browser: it streams, stops, changes, is kept, saved and fits a phone."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.release.browser.conftest import ENDLESS, visit
from tests.release.browser.steps import (
    answers,
    ask,
    box,
    choose,
    loaded_again,
    opened,
    questions,
    send,
    sideways,
    tab,
)

WORD = "x" * 400


def test_an_answer_streams_in_and_stops_where_it_is_told_to(page):
    choose(page, "version", "RLHF-v1")
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("number input for Longest answer").fill("4096")
    page.get_by_label("number input for Longest answer").press("Enter")
    send(page, "Count")
    expect(box(page)).to_have_value("")
    expect(answers(page).last).to_contain_text(ENDLESS[3].strip())
    first = answers(page).last.inner_text()
    page.wait_for_function(
        "size => document.querySelector('#dialogue .bot-row').innerText.length > size", arg=len(first) + 500
    )
    box(page).fill("next")  # the box is free while the answer grows
    page.locator("#stop").click()
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#state")).to_contain_text("Stopped.")
    stopped = answers(page).last.inner_text()
    assert len(stopped) > len(first) and "RLHF-v1" in stopped
    page.wait_for_timeout(300)
    assert answers(page).last.inner_text() == stopped and box(page).input_value() == "next"


def test_questions_are_edited_and_taken_back(page):
    ask(page, "What is a cria?", "young llama")
    assert answers(page).last.locator("strong").inner_text() == "young"
    box(page).fill("Really?")
    box(page).press("Enter")
    expect(answers(page)).to_have_count(2)
    expect(page.locator("#send")).to_be_visible()
    page.locator("#edit").click()
    expect(box(page)).to_have_value("Really?")
    expect(questions(page)).to_have_count(1)
    ask(page, "Are you sure?", "young llama")
    assert questions(page).all_inner_texts() == ["What is a cria?", "Are you sure?"]
    page.locator("#undo").click()
    expect(questions(page)).to_have_count(1)
    page.locator("#clear").click()
    expect(questions(page)).to_have_count(0)


def test_versions_answer_in_turn_and_a_reload_keeps_them(page):
    ask(page, "What is a cria?", "llama")
    choose(page, "version", "SFT")
    ask(page, "And now?", "something else")
    said = answers(page).all_inner_texts()
    assert "Chat" in said[0] and "SFT" in said[1]
    loaded_again(page)
    expect(answers(page)).to_have_count(2)
    assert answers(page).all_inner_texts() == said
    expect(page.locator("#version input")).to_have_value("SFT")
    ask(page, "Still there?", "something else")


@pytest.mark.parametrize("ending", ["md", "json"])
def test_a_dialogue_is_saved_as_a_file(page, ending):
    ask(page, "What is a `cria`?", "llama")
    with page.expect_download() as download:
        page.locator(f"#save-{ending}").click()
    assert re.fullmatch(rf"cria-Chat-\d+\.{ending}", download.value.suggested_filename)
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert "What is a `cria`?" in text and "A cria is a **young** llama." in text
    if ending == "json":
        assert [message["role"] for message in json.loads(text)["messages"]] == ["user", "assistant"]


def test_the_details_of_an_answer_lead_to_its_lineage(page):
    page.locator("#about-answer").click()
    expect(page.locator("#details")).to_contain_text("There is no answer yet")
    ask(page, "What is a cria?", "llama")
    expect(page.locator("#details")).to_be_empty()
    page.locator("#about-answer").click()
    expect(page.locator("#details")).to_contain_text(re.compile(r"Answer 1 .* by Chat: 4 tokens in .* tokens/s"))
    expect(page.locator("#details")).to_contain_text("No reward model is at hand")
    page.locator("#to-lineage").click()
    expect(page.locator("#lineage")).to_contain_text("Parents come before their children")
    expect(page.locator("#lineage td", has_text=re.compile(r"^tiny/chat_model$")).last).to_be_in_viewport()


def test_a_phone_shows_everything_without_scrolling_sideways(browser, address):
    with visit(browser, viewport={"width": 380, "height": 780}, is_mobile=True, has_touch=True) as context:
        page = opened(context, address)
        ask(page, f"What is {WORD}?", "llama")
        page.locator("#about-answer").click()
        expect(page.locator("#details")).to_contain_text("tokens/s")
        assert sideways(page) == 0
        for name in ("Compare", "Results", "Model card", "Lineage"):
            tab(page, name)
            expect(page.get_by_role("tabpanel")).to_be_visible()
            assert sideways(page) == 0, name
        tab(page, "Chat")
        page.locator("#to-lineage").click()
        expect(page.locator("#lineage")).to_be_visible()


def test_the_parts_of_the_page_tell_a_screen_reader_their_names_and_whether_they_are_open(page):
    part = page.get_by_role("button", name="System prompt", exact=True)
    expect(part).to_have_attribute("aria-expanded", "false")
    part.click()
    expect(part).to_have_attribute("aria-expanded", "true")
    page.get_by_role("button", name="For a child").click()
    expect(page.locator("#system textarea")).to_have_value(re.compile("child of eight"))
    tab(page, "Compare")
    expect(page.locator("#compare-state")).to_have_attribute("role", "status")
    unnamed = """() => [...document.querySelectorAll('button, input, textarea, a')].filter(one => one.checkVisibility()
      && !(one.getAttribute('aria-label') || one.innerText.trim() || one.labels?.length)).map(one => one.outerHTML)"""
    for name in ("Compare", "Results", "Model card", "Chat"):
        tab(page, name)
        assert page.evaluate(unnamed) == []


def test_the_keyboard_alone_asks_and_compares_the_newest_with_the_oldest(page):
    box(page).focus()
    page.keyboard.type("What is a cria?")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(1)
    expect(page.locator("#send")).to_be_visible()
    page.get_by_role("tab", name="Chat", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    choose(page, "first", "SFT")
    page.locator("#ends").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#first input")).to_have_value("Chat")
    expect(page.locator("#second input")).to_have_value("Base")
    page.keyboard.press("Tab")
    page.keyboard.type("What is a cria?")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_be_visible()


def test_every_tab_has_the_same_width(page):
    widths = set()
    for name in ("Chat", "Compare", "Results", "Model card", "Lineage"):
        tab(page, name)
        expect(page.get_by_role("tabpanel")).to_be_visible()
        widths.add(page.locator(".masthead").bounding_box()["width"])
    assert len(widths) == 1
