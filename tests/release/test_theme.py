"""Answers are shown with their Markdown and without HTML of their own; what people write is shown as written."""

import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from release import theme
from tests.data_cleaning.test_markdown import MARKUP, OTHERS, TEXTS
from tests.shown import Shown

PAGE = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(
    ["table", "strikethrough"]
)  # as gradio's page reads it
TAGS = {"div", "p", "br", "strong", "em", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "table", "thead", "tbody",
        "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"}  # fmt: skip


def page_of(content: str) -> Shown:
    """What is shown of it. The page reads each message as Markdown, and must find nothing to do."""
    assert PAGE.render(content).strip() == content.replace("\0", "\ufffd")
    return Shown(content)


def is_harmless(shown: Shown) -> bool:
    return all(tag in TAGS and {name for name, _ in given} <= {"style", "class", "start"} for tag, given in shown.tags)


@given(text=TEXTS)
def test_an_answer_brings_no_html_links_or_images(text):
    assert is_harmless(page_of(theme.rendered(text)))


@pytest.mark.parametrize("text", [*MARKUP, *OTHERS])
@pytest.mark.parametrize(
    "around", ["`x` {}", "``` {}\n", "`` ` {} ``", "```\n{}\n```\n{}", "> {}\r\r{}", "1. x\n\n   {}", "`{}"]
)
def test_whatever_surrounds_it(around, text):
    content = around.replace("{}", text)
    assert is_harmless(page_of(theme.rendered(content)))
    assert page_of(theme.plain(content)).tags == [("div", (("style", "white-space: pre-wrap"),))]


@given(text=TEXTS)
def test_what_people_write_is_shown_as_written(text):
    shown = page_of(theme.plain(text))
    assert len(shown.tags) == 1
    assert shown.text == theme.LINE_END.sub("\n", text)


def test_markdown_of_an_answer_is_shown_as_such():
    shown = page_of(
        theme.rendered("# Llamas\n\nThey are **strong**:\nand *kind*.\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    )
    assert [tag for tag, _ in shown.tags] == ["div", "h1", "p", "strong", "br", "em", "ul", "li", "li", "table", "thead", "tr",
                                              "th", "th", "tbody", "tr", "td", "td"]  # fmt: skip
    assert Shown(theme.rendered("if a<b `a<b`\n```\n<div>\n```")).text.split() == ["if", "a<b", "a<b", "<div>"]
    assert "[a](http://b)" in Shown(theme.rendered("![x](y) [a](http://b)")).text


def test_an_answer_cut_inside_a_code_block_does_not_swallow_what_follows():
    shown = page_of(theme.rendered("Like so:\n```python\nx = 1") + "<div>Final</div>")
    assert [tag for tag, _ in shown.tags] == ["div", "p", "pre", "code", "div"]
    assert shown.text.split() == ["Like", "so:", "x", "=", "1", "Final"]
