"""Texts of a hostile person or model stay text: no script runs, no element appears, no other host is asked.

That no dialog opened, no script ran and no request left is checked at the end of each test (conftest.py).
"""

import json
import re

import pytest
from playwright.sync_api import expect

from release import history
from release.gallery import Gallery
from tests.release.browser import hostile, kept
from tests.release.browser.steps import answers, ask, box, compare, loaded_again, questions, tab, vote
from tests.release.browser.test_sharing import shared
from tests.release.conftest import served

LAST = f"end of {len(hostile.TEXTS) - 1}"
PARTS = ("#dialogue .message", ".answer", "#standings", "#details", "#state", "#system-part .prose")


@pytest.fixture(scope="module")
def address(hostile_release, votes):
    with served(Gallery(hostile_release), every_token=False) as url:
        yield url


def brought(page) -> list[str]:
    return [element for part in PARTS for element in page.evaluate(hostile.BROUGHT, part)]


def test_in_the_dialogue(page):
    text = "\n".join(hostile.TEXTS)
    ask(page, text, LAST)
    assert brought(page) == []
    assert questions(page).inner_text().split() == text.split()
    shown = answers(page).inner_text()
    assert shown.count(f"window.{hostile.MARK}=1") >= sum(hostile.MARK in text for text in hostile.TEXTS) - 2
    loaded_again(page)
    expect(answers(page)).to_contain_text(LAST)
    assert brought(page) == []
    page.locator("#about-answer").click()
    expect(page.locator("#details")).to_contain_text("tokens/s")
    page.locator("#edit").click()
    expect(box(page)).to_have_value(text)
    assert brought(page) == []


def test_in_a_vote_and_in_its_results(page, votes):
    tab(page, "Compare")
    for text in hostile.TEXTS[::8]:
        compare(page, text)
        vote(page, "A is better", reason=text)
        assert brought(page) == []
    tab(page, "Results")
    expect(page.locator("#standings")).to_contain_text(f"{len(hostile.TEXTS[::8])} votes of 1 rater")
    page.locator("#standings summary", has_text="reasons").click()
    assert brought(page) == [] and hostile.TEXTS[0] in page.locator("#standings").inner_text()


def test_in_a_shared_dialogue(page):
    ask(page, "\n".join(hostile.TEXTS), LAST)
    link = shared(page)
    expect(page.locator("#links input")).to_have_value(re.compile("<script>"))
    assert [element for part in (*PARTS, "#links") for element in page.evaluate(hostile.BROUGHT, part)
            if not element.startswith("<input")] == []  # fmt: skip
    page.goto(link)
    expect(page.locator("section").last).to_contain_text(LAST)
    assert page.evaluate(hostile.BROUGHT, "section") == [] and hostile.TEXTS[0] in page.inner_text("section.user")
    page.get_by_role("link", name="Continue from here").click()
    expect(answers(page)).to_contain_text(LAST)
    assert brought(page) == []


def test_in_what_the_browser_kept(page):
    turns = [
        turn
        for text in hostile.TEXTS
        for turn in ({"role": "user", "content": text},
                     {"role": "assistant", "content": text, "by": text, "version_content": text})
    ]  # fmt: skip
    copy = {
        "format": history.FORMAT,
        "version": "chat_model",
        "system": hostile.TEXTS[1],
        "left_out": 0,
        "turns": turns,
    }
    kept.put(page, kept.DIALOGUE, kept.sealed(page, json.dumps(json.dumps(copy))))
    loaded_again(page)
    expect(answers(page)).to_have_count(len(hostile.TEXTS))
    page.locator("#about-answer").click()
    expect(page.locator("#details")).to_contain_text("not in the menu now")
    assert brought(page) == []
    assert hostile.TEXTS[0] in answers(page).first.inner_text()
