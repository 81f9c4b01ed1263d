"""A person compares two versions in a real browser, votes, sees the results, and what the browser keeps may be damaged."""

import json
import re

from playwright.sync_api import expect

from release import second_opinions
from release.http_guard import MAX_BODY_BYTES
from tests.release.browser import kept
from tests.release.browser.conftest import visit
from tests.release.browser.steps import answers, ask, compare, loaded_again, opened, tab, vote


def test_a_vote_names_the_versions_counts_and_is_withdrawn(page, votes):
    tab(page, "Compare")
    compare(page, "What is a cria?")
    shown = " ".join(page.locator(".answer").all_inner_texts())
    assert "young llama" in shown and "wide and deep" in shown and "Chat" not in shown and "Base" not in shown
    vote(page, "A is better", reason="it is true")
    shown = " ".join(page.locator(".answer").all_inner_texts())
    assert re.search(r"[AB]: Chat", shown) and re.search(r"[AB]: Base", shown)
    (row,) = votes.counted("tiny")
    assert (row["preferred"], row["reason"]) == ("a", "it is true")
    tab(page, "Results")
    expect(page.locator("#standings")).to_contain_text("1 vote of 1 rater on 1 prompt")
    expect(page.locator("#standings")).to_contain_text("it is true")
    tab(page, "Compare")
    page.locator("#withdraw").click()
    expect(page.get_by_text("The vote is withdrawn.")).to_be_visible()
    tab(page, "Results")
    expect(page.locator("#standings")).to_contain_text("Nobody has voted yet")
    assert votes.count("tiny") == 0


def test_another_person_judges_the_same_answers_without_names_and_then_asks(page, browser, address, votes, monkeypatch):
    tab(page, "Compare")
    compare(page, "What is a mare?")
    vote(page, "A is better", reason="my reason")
    first = votes.counted("tiny")[-1]
    monkeypatch.setenv(second_opinions.SHARE, "1")
    with visit(browser) as other:
        reading = opened(other, address)
        tab(reading, "Compare")
        compare(reading, "My own question")
        expect(reading.locator("#asked")).to_contain_text("What is a mare?")
        shown = " ".join(reading.locator(".answer").all_inner_texts())
        assert "young llama" in shown and "wide and deep" in shown and "Chat" not in shown and "my reason" not in shown
        vote(reading, "B is better")
        second = votes.counted("tiny")[-1]
        assert second["comparison"] == first["id"] and second["rater"] != first["rater"]
        compare(reading, "My own question")
        expect(reading.locator("#asked")).to_be_empty()
        vote(reading, "B is better")
        assert votes.counted("tiny")[-1]["messages"][0]["content"] == "My own question"


def test_a_browser_keeps_its_rater_and_replaces_what_is_no_name(page, votes):
    raters = []
    for damaged in (None, None, {"a": 1}, "\ud800", "x" * (MAX_BODY_BYTES + 1)):
        if damaged is not None:
            kept.put(page, kept.RATER, kept.sealed(page, json.dumps(damaged)))
            loaded_again(page)
        tab(page, "Compare")
        compare(page, f"What is {len(raters)}?")
        vote(page, "B is better")
        raters.append(votes.counted("tiny")[-1]["rater"])
    assert all(re.fullmatch("[0-9a-f]{32}", rater) for rater in raters)
    assert raters[0] == raters[1] and len(set(raters)) == len(raters) - 1
    loaded_again(page)
    tab(page, "Compare")
    compare(page, "And after a reload?")
    vote(page, "B is better")
    assert votes.counted("tiny")[-1]["rater"] == raters[-1]


def test_a_damaged_dialogue_leaves_a_page_that_works(page):
    ask(page, "What is a cria?", "llama")
    for damaged in ("no seal", "a:b", kept.sealed(page, "no JSON"), kept.sealed(page, '{"turns": [7]}'),
                    kept.sealed(page, json.dumps("x" * 300_000)), kept.sealed(page, json.dumps({"format": 1}))):  # fmt: skip
        kept.put(page, kept.DIALOGUE, damaged)
        loaded_again(page)
        expect(page.get_by_text("Say something")).to_be_visible()
        assert answers(page).count() == 0
    ask(page, "What is a cria?", "llama")
