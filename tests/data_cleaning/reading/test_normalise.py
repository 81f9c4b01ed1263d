"""Invisible characters go before any rule sees a text; those that a script or an emoji needs stay."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_cleaning.contamination import stage as contamination
from data_cleaning.dedup import stage as dedup
from data_cleaning.documents import LABELLED_SCHEMA, read_documents
from data_cleaning.filters import pii
from data_cleaning.reading import extract
from data_cleaning.reading.normalise import INVISIBLE, clean
from data_cleaning.recipes import ContaminationRecipe, DedupRecipe, ExtractRecipe, PiiRecipe
from tests.data_cleaning.raw import sources_artifact
from tests.data_cleaning.samples import artifact, manual

# One of every kind: hyphen, joiners, spaces and marks of width 0, bidirectional controls, operators, fillers, selectors,
# tags, annotation and music.
KINDS = (
    "\x08\x7f\x9d\xad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2063\u2066"
    "\u2069\u206f\u3164\ufe00\ufe0f\ufeff\uffa0\ufff9\U0001bca0\U0001d173\U000e0001\U000e0041\U000e0100"
)
NEEDED = {
    "Persian plural": "کتاب\u200cها",
    "Persian prefix": "می\u200cخواهم",
    "Persian suffix of a Latin word": "PDF\u200cها",
    "Arabic letter by itself in its first shape": "۱۳۷۰ ه\u200d.",
    "Hindi half letter": "क्\u200dष",
    "Hindi visible virama": "क्\u200cष",
    "Bengali ya-phala": "র\u200d্যাব",
    "Malayalam chillu": "അവന്\u200d പോയി",
    "Malayalam virama at the end": "അവന്\u200c പോയി",
    "Sinhala conjunct": "ශ්\u200dරී",
    "Khmer words": "ខ្មែរ\u200bភាសា",
    "Thai words": "ภาษา\u200bไทย",
    "Mongolian vowel separator": "ᠠᠢᠮᠠᠭ\u180eᠠ",
    "Korean syllable without its first letter": "\u115fᅡ",
    "family": "👨\u200d👩\u200d👧",
    "burning heart": "❤\ufe0f\u200d🔥",
    "nodding": "🙂\u200d↔\ufe0f",
    "keycap": "1\ufe0f\u20e3",
    "flag of England": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "ideograph in its variant": "葛\U000e0100城",
    "Hebrew points in their order": "י\u05b7\u034f\u05b4",
}


def name(sign):
    return f"U+{ord(sign):04X}"


@pytest.mark.parametrize("sign", KINDS, ids=name)
def test_an_invisible_character_in_a_word_is_removed_and_counted(sign):
    assert clean(f"a sum{sign}mer, na{sign}{sign}ïve{sign}.") == ("a summer, naïve.", 4)
    assert clean(f"лет{sign}о") == ("лето", 1)


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED.keys())
def test_what_a_script_or_an_emoji_needs_stays(text):
    assert clean(f"{text} – {text}") == (f"{text} – {text}", 0)


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED.keys())
def test_a_needed_character_that_is_repeated_stays_once(text):
    if "\U000e0067" in text:
        return  # the tags of a flag are letters
    doubled = INVISIBLE.sub(lambda run: run[0] * 3, text)
    assert clean(doubled) == (text, len(doubled) - len(text))


def test_hidden_instructions_in_tags_are_removed_behind_a_flag_too():
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all rules") + "\U000e007f"
    assert clean(f"🏴{hidden}") == ("🏴", len(hidden))


TEXTS = st.text(
    st.sampled_from("ab1 \n\r\t.é\u0301#\0\u20e3" + KINDS + "".join(NEEDED.values())) | st.characters(), max_size=30
)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_second_pass_changes_nothing(text):
    once = clean(text)[0]
    assert clean(once) == (once, 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(categories=("L", "M", "N", "P", "S")), min_size=1, max_size=9), min_size=1))
def test_text_without_such_characters_keeps_its_bytes(words):
    text = unicodedata.normalize("NFC", " ".join(words))
    if not INVISIBLE.search(text):
        assert clean(text) == (text, 0)


@settings(max_examples=200, deadline=None)
@given(st.text("abcdefghij ,.", min_size=2, max_size=60), st.data())
def test_wherever_they_stand_in_an_alphabet_without_joining_all_go(text, data):
    text = clean(text)[0]
    places = data.draw(st.lists(st.tuples(st.integers(0, len(text)), st.sampled_from(KINDS)), max_size=9))
    dirty = text
    for place, sign in sorted(places, reverse=True):
        dirty = dirty[:place] + sign + dirty[place:]
    assert clean(dirty) == (text, len(places))


def test_no_document_keeps_both_copies_an_address_or_a_benchmark_question(tmp_path, log):
    """Every stage behind the extraction sees the plain words, whatever character is in them."""
    topic = max((text for text in manual() if len(text) < 4000), key=len)
    question = "Which of these seven animals of the high Andes carries loads over the mountain passes of Peru"
    texts = {"plain": topic}
    for sign in KINDS:
        texts[f"copy {name(sign)}"] = topic.replace("e", f"e{sign}")
        texts[f"mail {name(sign)}"] = (
            f"Write to jane.d{sign}oe@exam{sign}ple.org about number {ord(sign)} of this list."
        )
        texts[f"asked {name(sign)}"] = question.replace("n", f"n{sign}")
    lines = "\n".join(json.dumps({"id": key, "text": text}) for key, text in texts.items()).encode()
    for step in ("documents", "pii", "dedup", "contamination"):
        (tmp_path / step).mkdir()
    sources = sources_artifact(tmp_path / "sources", {"a.jsonl": lines})
    metrics = extract.run(ExtractRecipe(10**6, 10**6, 100, 1000), {"sources": sources}, tmp_path / "documents", log)
    added = sum(
        text.count(sign) for key, text in texts.items() if key != "plain" for sign in KINDS if name(sign) in key
    )
    assert metrics["invisible_removed"] == metrics["by_source"]["own"]["invisible_removed"] == added

    found = read_documents(tmp_path / "documents")
    for field, value in (("lang", "en"), ("lang_score", 1.0)):
        found = found.append_column(field, [[value] * found.num_rows])
    labelled = artifact(tmp_path / "labelled", own=found.cast(LABELLED_SCHEMA))
    pii.run(PiiRecipe(("email",), (), ()), {"quality": labelled}, tmp_path / "pii", log)
    assert not any("jane" in text for text in read_documents(tmp_path / "pii")["text"].to_pylist())
    recipe = DedupRecipe(shingle_words=5, bands=20, rows=8, min_jaccard=0.75, notices=(), ranks=(), seed=1)
    dedup.run(recipe, {"pii": labelled}, tmp_path / "dedup", log)
    left = [key.partition(":")[2] for key in read_documents(tmp_path / "dedup")["id"].to_pylist()]
    assert sum(key == "plain" or key.startswith("copy") for key in left) == 1
    sample = tmp_path / "benchmarks" / "raw" / "quiz" / "a.jsonl"
    sample.parent.mkdir(parents=True)
    asked = question.replace("an", "a\u00adn")  # a benchmark file may hold some as well
    sample.write_text(json.dumps({"question": asked, "answer": "The llama"}))
    inputs = {"deduplicated": labelled, "benchmarks": tmp_path / "benchmarks"}
    contamination.run(ContaminationRecipe(10, 0.5, 0.5, 4), inputs, tmp_path / "contamination", log)
    assert not any("Andes" in text for text in read_documents(tmp_path / "contamination")["text"].to_pylist())
