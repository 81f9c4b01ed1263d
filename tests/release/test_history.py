"""What the browser keeps is read back only as the page could have written it; files show each message as written."""

import json
import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from data_cleaning.markdown import literal
from release import chat, history
from release.bundle import Version
from release.history import Dialogue
from tests.data_cleaning.test_markdown import MARKUP, TEXTS

OFFERED = ("chat_model", "sft_model")
AT = datetime(2025, 11, 27, 6, 50, 1, tzinfo=UTC)
VERSION = Version("chat_model", "Chat <b>", "", None, "tiny/chat_model", "9f" * 32, "00", 128)
WORDS = st.text(st.characters(codec="utf-8"), max_size=30)


FIGURES = {"tokens": 12, "seconds": 0.25}


def exchange(question, answer, figures=FIGURES):
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer, "by": "Chat", "version_content": "9f" * 32} | figures,
    ]


def dialogue(*exchanges, version="chat_model", system="", left_out=0):
    return Dialogue(version, system, [turn for pair in exchanges for turn in exchange(*pair)], left_out)


DIALOGUES = st.builds(
    lambda pairs, version, system, left_out: dialogue(*pairs, version=version, system=system, left_out=left_out),
    st.lists(st.tuples(WORDS.filter(str.strip), WORDS), max_size=4), st.sampled_from(OFFERED), WORDS, st.integers(0, 99),
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["user", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "by", "turns", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
GOOD = json.loads(history.saved(dialogue(("What is a cria?", "A young llama."), ("And?", "")))[0])


def is_none_or_valid(found):
    return found is None or history.read_back(history.saved(found)[0], OFFERED) == found


@given(DIALOGUES)
def test_what_was_saved_comes_back(kept):
    text, left_out = history.saved(kept)
    assert history.read_back(text, OFFERED) == kept and left_out == kept.left_out


def test_an_answer_from_before_its_figures_were_kept_comes_back():
    kept = dialogue(("What is a cria?", "A young llama.", {}))
    assert history.read_back(history.saved(kept)[0], OFFERED) == kept


@pytest.mark.parametrize("figures", [{"tokens": 1}, {"tokens": True, "seconds": 1.0}, {"tokens": 1, "seconds": -1.0},
                                     {"tokens": 1.5, "seconds": 1.0}, {"tokens": 1, "seconds": float("nan")},
                                     {"tokens": 10**9, "seconds": 1.0}, {"tokens": "1", "seconds": "1"}])  # fmt: skip
def test_figures_that_no_answer_has_are_refused(figures):
    assert history.read_back(history.saved(dialogue(("Hi", "Hello", figures)))[0], OFFERED) is None


def test_a_question_has_no_figures():
    turns = [GOOD["turns"][0] | FIGURES, *GOOD["turns"][1:]]
    assert history.read_back(json.dumps(GOOD | {"turns": turns}), OFFERED) is None


@given(VALUES)
def test_any_json_value_is_refused_or_valid(value):
    assert history.read_back(value, OFFERED) is None or isinstance(value, str)
    assert is_none_or_valid(history.read_back(json.dumps(value), OFFERED))


@given(value=VALUES, field=st.sampled_from([*GOOD, "unknown"]))
def test_any_value_in_any_field_is_refused_or_valid(value, field):
    assert is_none_or_valid(history.read_back(json.dumps(GOOD | {field: value}), OFFERED))


@given(value=VALUES, place=st.integers(0, 3), field=st.sampled_from([*GOOD["turns"][1], "unknown"]))
def test_any_value_in_any_turn_is_refused_or_valid(value, place, field):
    turns = [turn | ({field: value} if at == place else {}) for at, turn in enumerate(GOOD["turns"])]
    assert is_none_or_valid(history.read_back(json.dumps(GOOD | {"turns": turns}), OFFERED))


@pytest.mark.parametrize(
    "hostile",
    [
        None, 7, {}, [], b"{}", "", "{", "null", "[]", "NaN", history.NOTHING, "[" * 100_000, "9" * 5_000, "\ud800",
        json.dumps(GOOD)[:-1], json.dumps(GOOD) + " " * history.MAX_BYTES,
        *(json.dumps(GOOD | change) for change in (
            {"version": "deleted_model"}, {"version": None}, {"version": ["chat_model"]}, {"format": 2}, {"format": True},
            {"system": None}, {"system": "x" * (chat.MAX_CHARACTERS + 1)}, {"system": "\ud800"}, {"left_out": -1},
            {"left_out": True}, {"left_out": 1e300}, {"left_out": 10**9}, {"turns": {}}, {"turns": "user"},
            {"turns": GOOD["turns"][:1]}, {"turns": GOOD["turns"][1:3]}, {"turns": [[], []]}, {"script": "alert(1)"},
            {"turns": exchange("x" * (chat.MAX_CHARACTERS + 1), "")}, {"turns": exchange(" ", "")},
            {"turns": exchange("x", {"text": "y"})}, {"turns": exchange("x", {"path": "/etc/passwd"})},
        )),
    ],
)  # fmt: skip
def test_hostile_values_give_a_fresh_page(hostile):
    assert history.read_back(hostile, OFFERED) is None


def test_the_oldest_exchanges_are_left_out_of_a_copy_that_would_be_too_large():
    long = dialogue(*((f"question {place}", "ä" * 9_000) for place in range(30)), left_out=4)
    text, left_out = history.saved(long)
    found = history.read_back(text, OFFERED)
    assert history.MAX_BYTES - 20_000 < len(text.encode()) <= history.MAX_BYTES
    assert found.turns == long.turns[left_out - 4 :] and found.left_out == left_out == 4 + 2 * 20
    assert history.saved(dialogue(("x", "x" * history.MAX_BYTES)))[1] == 2, "even the last one does not fit"


def test_a_copy_holds_only_what_can_be_read_back():
    odd = dialogue(("x", "y"), system="half a character: \ud800")
    assert history.read_back(history.saved(odd)[0], OFFERED).system == "half a character: ?"
    odd = dialogue(("x", "y"), system="x" * (chat.MAX_CHARACTERS + 1))
    assert history.read_back(history.saved(odd)[0], OFFERED).system == ""


def exported(*exchanges, **others):
    settings = {"temperature": 0.6, "top_p": 0.9, "max_new_tokens": 64}
    return history.document(dialogue(*exchanges, **others), "Cria · tiny", VERSION, settings, AT)


def blocks(markdown):
    return [token.content for token in MarkdownIt().parse(markdown) if token.type == "fence"]


@given(question=TEXTS, answer=TEXTS, system=TEXTS.filter(bool))
def test_markdown_shows_each_text_as_written_and_nothing_else(question, answer, system):
    markdown = history.as_markdown(exported((question, answer), system=system))
    wanted = [
        text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd") for text in (system, question, answer)
    ]
    assert blocks(markdown) == [f"{text}\n" for text in wanted]
    headings = [token for token in MarkdownIt().parse(markdown) if token.type == "heading_open"]
    assert [token.tag for token in headings] == ["h1", "h2", "h2", "h2"]


@pytest.mark.parametrize("markup", MARKUP)
def test_names_bring_no_markup_into_the_file(markup):
    version = Version("x", markup, "", None, markup, markup, "", 128)
    document = history.document(dialogue(("a", "b")), markup, version, {}, AT)
    document["messages"][1] |= {"version": markup, "version_content": markup}
    tokens = MarkdownIt().parse(history.as_markdown(document))
    assert {token.type for token in tokens} <= {
        "heading_open", "heading_close", "inline", "bullet_list_open", "bullet_list_close", "list_item_open",
        "list_item_close", "paragraph_open", "paragraph_close", "fence",
    }  # fmt: skip
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= {"text", "text_special", "softbreak"}


def test_a_file_names_versions_settings_and_what_is_missing():
    document = exported(("a", "b"), left_out=6)
    assert json.loads(history.as_json(document)) == document
    assert document["version"]["content"] == document["messages"][1]["version_content"] == "9f" * 32
    assert [message["role"] for message in document["messages"]] == ["user", "assistant"]
    markdown = history.as_markdown(document)
    for told in ("2025-11-27T06:50:01Z", literal("Chat <b>"), "9f" * 32, "temperature 0.6", "6 older messages"):
        assert told in markdown


@given(st.text(max_size=20))
def test_a_file_name_is_plain(title):
    document = exported() | {"version": {"title": title}}
    name = history.file_name(document, "md")
    assert name.startswith("cria-") and name.endswith("-20251127065001.md")
    assert set(name) <= set(string.ascii_letters + string.digits + ".-") and "/" not in name


@pytest.mark.parametrize(
    ("pending", "written", "keep_both", "left", "box"),
    [
        ("", "", False, 2, "two"), ("", "  ", False, 2, "two"), ("", "new", False, 2, "new"),
        ("", "new", True, 2, "two\nnew"), ("three", "", False, 4, "three"), ("three", "new", True, 4, "three\nnew"),
    ],
)  # fmt: skip
def test_the_last_question_goes_back_into_the_box(pending, written, keep_both, left, box):
    turns = dialogue(("one", "1"), ("two", "2")).turns
    assert history.without_last(turns, pending, written, keep_both) == (turns[:left], box)
    assert history.without_last([], "", written, keep_both) == ([], written)
