"""A person shares a dialogue in a real browser; another one reads it, goes on from it, and the first withdraws the link."""

import re

from playwright.sync_api import expect

from modeling.rlhf.ratings.shared_dialogues import ID
from tests.release.browser.conftest import visit
from tests.release.browser.steps import answers, ask, loaded_again, opened, questions, ready

GONE = "There is no such dialogue"


def shared(page) -> str:
    """Shares the dialogue of a page. Returns the link that the page shows."""
    page.locator("#share-part button").first.click()
    page.locator("#share").click()
    link = page.locator("#share-address textarea, #share-address input")
    expect(link).to_have_value(re.compile(f"^{re.escape(page.evaluate('location.origin'))}/shared/{ID}$"))
    return link.input_value()


def test_a_dialogue_is_shared_read_taken_up_and_withdrawn(page, browser, address):
    ask(page, "What is a cria?", "llama")
    link = shared(page)
    with visit(browser) as other:
        own = opened(other, address)
        ask(own, "My own question", "llama")
        reading = other.new_page()
        reading.goto(link)
        expect(reading.get_by_text("What is a cria?")).to_be_visible()
        expect(reading.locator("section strong", has_text="young")).to_be_visible()
        assert reading.locator("script, input, textarea, button").count() == 0
        reading.get_by_role("link", name="Continue from here").click()
        ready(reading)
        expect(questions(reading)).to_have_text(["What is a cria?"])
        assert "continue" not in reading.url
        loaded_again(reading)
        expect(questions(reading)).to_have_text(["My own question"])  # a link alone replaces nothing
        reading.goto(link)
        reading.get_by_role("link", name="Continue from here").click()
        ready(reading)
        ask(reading, "And its mother?", "llama")
        loaded_again(reading)
        expect(questions(reading)).to_have_text(["What is a cria?", "And its mother?"])
        expect(answers(page)).to_have_count(1)
        page.locator("#withdraw-link").click()
        expect(page.get_by_text("The link is withdrawn")).to_be_visible()
        reading.goto(link)
        expect(reading.get_by_text(GONE)).to_be_visible()
