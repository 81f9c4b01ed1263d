"""What strangers write is shown as text by a real renderer of Markdown, wherever it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from data_cleaning.markdown import CONTROLS, literal, quotation
from tests.shown import Shown

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
WORD = "word"
PLACES = (
    "{}", "before {} after", "before\n{}", "{}\nafter", "- {}", "3. {}", "> {}", "> - {}", "# {}", "*said: {}*", "**name**: {}",
    "| a | b |\n|---|---|\n| {} | c |", "| a | b |\n|---|---|\n| c | x {} |", "a\n\n{}\n\nb", "[x](x) {} `code`",
)  # fmt: skip
MARKUP = (
    "<img src=x onerror=alert(1)>", "`<img src=x>`", "`` ` ``<script>alert(1)</script>", "![a](http://evil.example/x.png)",
    "[a](http://evil.example)", "<http://evil.example>", "[x]: http://evil.example", "&lt;b&gt;", "&#60;b&#62;", "</div>",
    "```\n<b>\n```", "# h", "---", "1. x", "12) x", "| a | b |", "*a* **b** _c_ ~~d~~", "\\<b>", "<!-- x -->", "<![CDATA[x]]>",
    "    code", "\tcode", "a  \nb", "a\\\nb", "\u2028<b>", "\x00<b>", "&amp;nbsp;", "\xa0<br/>", "+ x", "===",
    "\\`<img src=x>\\`",
)  # fmt: skip
OTHERS = (
    "~~~",
    "- [ ] x",
    "|---|",
    ":-:",
    "\\",
    "$x$",
    "[^1]: x",
    "\u202e",
    "{#id}",
    "&",
    "\r\r# h",
    "[a](javascript:alert(1))",
)
TEXTS = st.lists(
    st.sampled_from(MARKUP + OTHERS)
    | st.text(st.sampled_from("`*_[]()<>!#|\\~&;:$-+=.1/ \n\r\t") | st.characters(codec="utf-8")),
    max_size=4,
).map("".join)


def shown(markdown: str) -> Shown:
    return Shown(RENDERER.render(markdown))


def one_line(text: str) -> str:
    return " ".join(CONTROLS.sub("\ufffd", text).split())


@pytest.mark.parametrize("place", PLACES)
@given(text=TEXTS.filter(one_line))
def test_a_literal_is_text_wherever_it_stands(place, text):
    wanted, found = shown(place.format(WORD)), shown(place.format(literal(text)))
    assert found.tags == wanted.tags
    assert found.text.split() == wanted.text.replace(WORD, one_line(text)).split()


@given(text=TEXTS)
def test_a_quotation_is_text(text):
    found = shown(f"# Title\n\n{quotation(text)}\n\nafter")
    assert {tag for tag, _ in found.tags} <= {"h1", "p", "blockquote"}
    assert found.text.split() == ["Title", *one_line(text).split(), "after"]


@pytest.mark.parametrize("text", MARKUP)
def test_without_escapes_it_would_be_markup(text):
    """Else the property above would hold of anything."""
    pairs = [(shown(place.format(text)), shown(place.format(WORD))) for place in PLACES]
    assert any(
        raw.tags != plain.tags or raw.text.split() != plain.text.replace(WORD, text).split() for raw, plain in pairs
    )
