"""The quality rules against slow, literal versions of them, one made offender a rule, and the stage's promises."""

import re
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_cleaning.documents import read_documents
from data_cleaning.filters import quality
from data_cleaning.filters.text_measures import STOP_WORDS, Measures
from data_cleaning.recipes import QualityRecipe
from orchestration.thresholds import profiles
from tests.data_cleaning.samples import artifact, contents, licences, manual, table

PROFILES = {profile.name: profile for profile in profiles()}
GOOD = """The river rises in the hills to the north of the town and flows through a wide valley of farms and orchards.
Its water was used by mills for more than four hundred years, and some of their wheels can still be seen near the old bridge.
In spring the lower meadows are often flooded, which is why most of the houses stand on the higher bank to the east.
Fishermen from the villages have kept their boats in a small harbour below the weir since before records were written.
Today the valley is known for its apples, and a railway carries visitors along the water every summer until late in the year."""


def measures(texts: list[str], lang: str = "en") -> Measures:
    return Measures(pa.array(texts, pa.string()), pa.array([lang] * len(texts)))


def verdict(text: str, profile: str = "web") -> tuple[str | None, float | None]:
    reasons, values = quality.judge(measures([text]), PROFILES[profile])
    return reasons[0], values[0]


def plain_words(text: str) -> list[str]:
    return [re.sub(r"[\W_]+", "", word).lower() for word in text.split()]


def slow_top(text: str, n: int) -> float:
    raw, words = text.split(), plain_words(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(grams)
    if not counts or max(counts.values()) < 2:
        return 0.0
    most = max(counts.values())
    length = max(sum(len(word) + 1 for word in raw[i : i + n]) for i, gram in enumerate(grams) if counts[gram] == most)
    return min(most * length / len(text.strip()), 1.0)


def slow_duplicated(text: str, n: int) -> float:
    raw, words = text.split(), plain_words(text)
    seen, covered = set(), set()
    for i in range(len(words) - n + 1):
        gram = tuple(words[i : i + n])
        if gram in seen:
            covered.update(range(i, i + n))
        seen.add(gram)
    return min(sum(len(raw[i]) + 1 for i in covered) / max(len(text.strip()), 1), 1.0)


@pytest.fixture(scope="module")
def real() -> list[str]:
    return [text[:6000] for text in manual()[:50] + licences()[:30]]


def test_measures_equal_the_slow_ones_on_real_documents(real):
    found = measures(real)
    solid = [[word for word in text.split() if any(c.isalnum() for c in word)] for text in real]
    assert found.word_count.tolist() == [len(words) for words in solid]
    np.testing.assert_allclose(found.mean_word_length, [np.mean([len(word) for word in words]) for words in solid])
    letters = [np.mean([any(c.isalpha() for c in word) for word in text.split()]) for text in real]
    np.testing.assert_allclose(found.alphabetic_words, letters)
    stops = [
        len({re.sub(r"[\W\d_]+", "", word).lower() for word in text.split()} & set(STOP_WORDS["en"])) for text in real
    ]
    assert found.stop_words.tolist() == stops
    lines = [[line.strip() for line in text.split("\n") if line.strip()] for text in real]
    short = [np.mean([len(line) <= 30 for line in each]) for each in lines]
    np.testing.assert_allclose(found.lines.share_of(found.lines.lengths <= 30), short)
    repeated = [1 - len(set(each)) / len(each) for each in lines]
    np.testing.assert_allclose(found.lines.share_of(found.lines.repeated), repeated)
    assert max(repeated) > 0


@pytest.mark.parametrize("n", [2, 3, 4])
def test_top_ngram_equals_the_slow_one(real, n):
    np.testing.assert_allclose(measures(real).top_ngram(n), [slow_top(text, n) for text in real])


@pytest.mark.parametrize("n", [5, 7, 10])
def test_duplicate_ngrams_equal_the_slow_ones(real, n):
    slow = [slow_duplicated(text, n) for text in real]
    np.testing.assert_allclose(measures(real).duplicate_ngrams(n), slow)
    assert max(slow) > 0.05


def test_a_measure_of_one_document_does_not_depend_on_its_neighbours(real):
    together = measures(real).duplicate_ngrams(5)
    alone = [float(measures([text]).duplicate_ngrams(5)[0]) for text in real[:20]]
    np.testing.assert_allclose(together[:20], alone)


OFFENDERS = {
    "too_few_words": "The cat sat on the mat and looked at that bird with care.",
    "word_length": " ".join(f"{word}ification{word}" for word in GOOD.split()),
    "symbols": GOOD.replace(" of", " # of").replace(" and", " # and").replace(" the", " # the"),
    "bullet_lines": "\n".join(f"- {line}" for line in GOOD.split("\n")),
    "ellipsis_lines": GOOD.replace(".\n", "...\n"),
    "non_alphabetic_words": GOOD + " 1 2 3 4 5 6 7 8 9" * 5,
    "stop_words": re.sub(r"\b(the|be|to|of|and|that|have|with)\b", "zu", GOOD, flags=re.IGNORECASE),
    "duplicate_lines": GOOD + "\n" + "\n".join(GOOD.split("\n")[:3]),
    "phrase": GOOD + " Lorem Ipsum dolor sit amet.",
    "too_few_sentences": GOOD.replace(". ", " ").replace(".\n", "\n"),
    "unpunctuated_lines": GOOD.replace(".\n", "\n").replace(". ", "\n")[:-1],
    "short_lines": ".\n".join(" ".join(GOOD.split()[i : i + 4]) for i in range(0, len(GOOD.split()), 4)),
}


def test_good_prose_stays():
    assert verdict(GOOD) == (None, None)


@pytest.mark.parametrize("reason", OFFENDERS)
def test_each_rule_drops_its_offender(reason):
    relaxed = replace(PROFILES["web"], min_sentences=0) if reason == "unpunctuated_lines" else PROFILES["web"]
    reasons, values = quality.judge(measures([OFFENDERS[reason]]), relaxed)
    assert reasons == [reason]
    assert isinstance(values[0], float)


def test_repeated_phrases_are_found_by_length():
    assert verdict(GOOD + " the old mill" * 30)[0] == "top_2_gram"
    once_more = " Some of their wheels can still be seen near the old bridge of stone by the mill."
    assert verdict(GOOD + once_more * 3)[0] == "duplicate_5_grams"


def test_a_rule_keeps_what_lies_on_its_threshold():
    fifty = " ".join(GOOD.split()[:50])
    profile = replace(PROFILES["web"], min_sentences=0)
    assert quality.judge(measures([fifty + "."]), profile)[0] == [None]
    assert quality.judge(measures([" ".join(GOOD.split()[:49]) + "."]), profile) == (["too_few_words"], [49.0])


def test_encyclopedic_stub_goes_and_introduction_stays():
    assert verdict("Cinematography is the art of motion picture photography.", "reference") == ("too_few_words", 8.0)
    introduction = (
        "A synagogue, also called a shul or a temple, is a place of worship for Jews or Samaritans. It is a place for prayer "
        "where people attend religious services or ceremonies, and it has rooms for study and for social events."
    )
    assert verdict(introduction, "reference") == (None, None)
    assert verdict("Linear algebra is the branch of mathematics concerning linear equations such as", "reference")[0]


def test_stop_words_are_those_of_the_language():
    french = " ".join(
        ["La rivière prend sa source dans les collines et traverse une vallée que le chemin de fer longe."] * 4
    )
    assert measures([french], "fr").stop_words[0] >= 5
    assert measures([french], "en").stop_words[0] == 0
    assert measures([french], "xx").stop_words[0] == np.inf


@pytest.mark.parametrize("text", ["", "   \n ", "…", "#", "\u200b", "a"])
def test_hardly_any_text_goes_without_an_error(text):
    assert verdict(text)[0] == "too_few_words"


def test_lines_of_menus_go_and_paragraphs_stay():
    notices = "\nPlease enable JavaScript to see the map of it.\nWe use cookies on this site."
    text = "Home\n" + GOOD.replace("\n", "\n\n", 1) + notices
    cleaned, removed = quality.clean_lines(pa.array([text, GOOD]), PROFILES["web"])
    assert cleaned.to_pylist() == [GOOD.replace("\n", "\n\n", 1), GOOD]
    assert removed["line"].to_pylist() == [0, 7, 8] and removed["row"].to_pylist() == [0, 0, 0]
    assert removed["reason"].to_pylist() == ["short_line", "phrase: javascript", "phrase: use cookies"]
    untouched, none = quality.clean_lines(pa.array([text]), PROFILES["reference"])
    assert untouched.to_pylist() == [text] and none.num_rows == 0


@pytest.fixture
def parent(tmp_path):
    stub = table(["A mill is a place to grind."], "b", "reference")
    mixed = pa.concat_tables([table([GOOD, GOOD + "\nMenu", "too short"], "a"), stub])
    return artifact(tmp_path / "language", one=mixed, two=table(manual()[:20], "manual", "prose"))


def test_stage_keeps_every_document_somewhere(parent, tmp_path, log):
    out = tmp_path / "out"
    figures = quality.run(QualityRecipe(profiles()), {"language": parent}, out, log)
    given, kept, dropped = (read_documents(folder, part) for folder, part in
                            ((parent, "documents"), (out, "documents"), (out, "dropped")))  # fmt: skip
    assert sorted(kept["id"].to_pylist() + dropped["id"].to_pylist()) == sorted(given["id"].to_pylist())
    assert figures["documents_in"] == given.num_rows and figures["documents_out"] == kept.num_rows
    original = dict(zip(given["id"].to_pylist(), given["text"].to_pylist(), strict=True))
    assert all(original[row["id"]] == row["text"] for row in dropped.to_pylist())
    assert dict(zip(kept["id"].to_pylist(), kept["text"].to_pylist(), strict=True))["a:1"] == GOOD
    lines = pq.read_table(out / "removed_lines" / "one.parquet").to_pylist()
    assert lines == [{"id": "a:1", "line": 5, "text": "Menu", "reason": "short_line"}] and figures["lines_removed"] == 1
    assert figures["bytes_in"] == sum(len(text.encode()) for text in original.values())


def test_stage_continues_to_the_same_bytes(parent, tmp_path, log):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    figures = quality.run(QualityRecipe(profiles()), {"language": parent}, whole, log)
    quality.run(QualityRecipe(profiles()), {"language": parent}, cut, log)
    for path in (cut / "documents" / "two.parquet", cut / "_scratch" / "shards" / "two.json"):
        path.unlink()
    shutil.rmtree(cut / "dropped")
    (cut / "_scratch" / "shards" / "one.json").unlink()
    assert quality.run(QualityRecipe(profiles()), {"language": parent}, cut, log) == figures
    assert contents(cut) == contents(whole)


def test_a_long_document_is_judged_by_parts():
    pages = [text for text in manual() if verdict(text)[0] is None]
    long = "\n\n".join(pages)
    assert len(long) > 2 * quality.PART_CHARACTERS
    parts = quality.in_parts(long)
    assert quality.in_parts("short") == ["short"] and "\n".join(parts) == long
    assert all(len(part) >= 0.5 * quality.PART_CHARACTERS for part in parts)
    languages = pa.array(["en", "en"])
    assert verdict(long)[0] == "duplicate_line_characters"  # of good pages side by side
    reasons, _ = quality.judge_by_parts(pa.array([GOOD, long]), languages, PROFILES["web"])
    assert reasons == [None, None]
    broken = "\n".join(["the same line again and again and again"] * 9000)
    (reason,), (value,) = quality.judge_by_parts(pa.array([broken]), languages[:1], PROFILES["curated"])
    assert reason == "duplicate_lines" and value > 0.9


@pytest.mark.parametrize("profile", PROFILES)
def test_short_texts_are_judged_as_a_whole(profile):
    texts, languages = pa.array([GOOD, "Too short.", *manual()[:20]]), pa.array(["en"] * 22)
    whole = quality.judge(Measures(texts, languages), PROFILES[profile])
    assert quality.judge_by_parts(texts, languages, PROFILES[profile]) == whole


def test_a_source_that_loses_much_is_named_with_its_rule(tmp_path, log):
    rows = pa.concat_tables([table(["Too short."] * 3 + [GOOD] * 2, "mine"), table([GOOD] * 5, "other")])
    figures = quality.run(
        QualityRecipe(profiles()), {"language": artifact(tmp_path / "l", one=rows)}, tmp_path / "o", log
    )
    assert figures["heavy_losses"] == [
        {"source": "mine", "documents": 5, "lost": 0.6, "rule": "too_few_words", "by_rule": 3}
    ]
    assert any("mine: 60% of 5 documents" in line and "too_few_words (3)" in line for line in log.lines)


def test_unknown_profile_says_what_to_do(tmp_path, log):
    parent = artifact(tmp_path / "language", one=table([GOOD], profile="poems"))
    with pytest.raises(ValueError, match="poems.*add or rename"):
        quality.run(QualityRecipe(profiles()), {"language": parent}, tmp_path / "out", log)
