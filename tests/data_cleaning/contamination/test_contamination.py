"""Spans of words, planted samples, verdicts, and the reports."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_cleaning.contamination import stage as contamination
from data_cleaning.contamination.benchmark_samples import Sample, index_samples, read_samples, verbalise
from data_cleaning.contamination.skipgrams import find_spans
from data_cleaning.documents import read_documents
from data_cleaning.filters.words import normalised, split_words, word_hashes
from data_cleaning.recipes import ContaminationRecipe, SourcesRecipe
from data_cleaning.sources import fetch
from orchestration.thresholds import corpus
from tests.data_cleaning.samples import LINE_SEPARATORS, artifact, contents, manual, table

RECIPE = ContaminationRecipe(ngram_words=11, max_question=0.5, max_passage=0.5, skip_budget=4)
SCIENCE = {
    "question": "Which of these would a geologist use to measure the strength of an earthquake near the coast of Chile far away?",
    "options": "A. a barometer\nB. a seismograph\nC. a thermometer",
    "answer": "B. a seismograph",
}
READING = {
    "passage": "The old lighthouse on the cape was built of red granite in 1871 and burned whale oil until electric light came.",
    "question": "was the lighthouse on the cape built of stone",
    "answer": "True",
}
OPEN = {"question": "who painted the ceiling", "answer": ["Michelangelo", "Michelangelo Buonarroti"]}


@pytest.fixture
def benchmarks(tmp_path):
    raw = tmp_path / "benchmarks" / "raw"
    for name, rows in (("science", [SCIENCE]), ("reading", [READING]), ("open", [OPEN])):
        (raw / name).mkdir(parents=True)
        (raw / name / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return raw.parent


def spans_of(document: str, sample: str, recipe: ContaminationRecipe = RECIPE) -> list[tuple[int, int]]:
    index = index_samples([Sample("b", 0, "", sample)], recipe.ngram_words - 1)
    words = split_words(normalised(pa.array([document])))
    found = find_spans(word_hashes(words), words.offsets, index, recipe.ngram_words - 1, recipe.skip_budget)
    return sorted(zip(found.start.tolist(), found.length.tolist(), strict=True))


def words(count: int, start: int = 0) -> str:
    return " ".join(f"w{number}" for number in range(start, start + count))


def changed(text: str, *places: int) -> str:
    parts = text.split()
    for place in places:
        parts[place] = f"other{place}"
    return " ".join(parts)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (words(30), [(0, 30)]),
        (words(11), [(0, 11)]),
        (words(10), []),  # longer than 10
        (f"before {words(12, 5)} after", [(5, 12)]),
        (changed(words(30), 12, 15, 18, 21), [(0, 30)]),  # four differ
        (changed(words(30), 12, 15, 18, 21, 24), [(0, 24)]),  # the fifth ends it
        (changed(words(30), 9), [(10, 20)]),  # none of the first ten may differ
        (changed(words(16), 13, 14, 15), [(0, 13)]),  # none at the end
        (changed(words(12), 10), [(0, 12)]),
        (changed(words(11), 10), []),
        (words(11) + " gap " + words(11, 15), [(0, 11), (15, 11)]),
        (words(11) + " " + words(12), [(0, 11), (0, 12)]),  # twice in one document
        ("W0, w1; (W2) w3-w4 w5 w6\nw7 w8 w9 «w10»!", [(0, 11)]),  # case and punctuation
    ],
)
def test_spans(document, expected):
    assert spans_of(document, words(30)) == expected


def test_verbalised_samples():
    assert verbalise(SCIENCE) == ("", SCIENCE["question"] + "\na barometer\na seismograph\na thermometer")
    assert verbalise(READING) == (READING["passage"], READING["question"] + "\nTrue")
    assert verbalise(OPEN)[1] == "who painted the ceiling\nMichelangelo\nMichelangelo Buonarroti"


def test_sources_with_several_files_keep_their_names_apart(benchmarks):
    (benchmarks / "raw" / "open" / "more.jsonl").write_text(json.dumps(OPEN) + "\n\n")
    names = [(sample.benchmark, sample.number) for sample in read_samples(benchmarks)]
    assert names == [("open/more", 0), ("open/test", 0), ("reading", 0), ("science", 0)]


def test_line_separators_inside_strings_end_no_sample(benchmarks):
    rows = [OPEN | {"question": f"who painted{LINE_SEPARATORS}the ceiling"}, OPEN]
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (benchmarks / "raw" / "open" / "test.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = [(sample.number, sample.text) for sample in read_samples(benchmarks) if sample.benchmark == "open"]
    assert found == [(number, verbalise(row)[1]) for number, row in enumerate(rows)]


@pytest.mark.parametrize("line", ["{not json", '{"answer": "no question"}', "[1]"])
def test_a_line_that_is_no_sample_is_named(benchmarks, line):
    (benchmarks / "raw" / "open" / "test.jsonl").write_text(json.dumps(OPEN) + "\n" + line)
    with pytest.raises(ValueError, match=r"open/test.jsonl line 2"):
        list(read_samples(benchmarks))


def test_contaminated_documents_go_with_share_and_sample(benchmarks, tmp_path, log):
    half = " ".join(SCIENCE["question"].split()[:12])
    texts = [
        manual()[4][:3000],
        f"Exam. {SCIENCE['question']} (a) a barometer (b) a seismograph (c) a thermometer",
        f"He said: {half} and left.",
        f"Cape history. {READING['passage']} It is a museum now.",
        "who painted the ceiling Michelangelo Michelangelo Buonarroti",
    ]
    parent = artifact(tmp_path / "deduplicated", one=table(texts[:3], "a"), two=table(texts[3:], "b"))
    out = tmp_path / "out"
    figures = contamination.run(RECIPE, {"deduplicated": parent, "benchmarks": benchmarks}, out, log)
    assert read_documents(out)["id"].to_pylist() == ["a:0", "a:2", "b:1"]
    dropped = {row["id"]: row for row in read_documents(out, "dropped").to_pylist()}
    assert {key: (row["reason"], row["detail"]) for key, row in dropped.items()} == {
        "a:1": ("contaminated_question", "science:0"),
        "b:0": ("contaminated_passage", "reading:0"),
    }
    sample_words = len(normalised(pa.array(["\n".join(verbalise(SCIENCE))]))[0].as_py().split())
    assert sample_words == 27
    assert dropped["a:1"]["value"] == pytest.approx(26 / 27)  # all but the last: four of 26 differ
    assert dropped["b:0"]["value"] == 1.0
    assert (figures["dropped_contaminated_question"], figures["dropped_contaminated_passage"]) == (1, 1)
    assert (figures["contaminated_samples_before"], figures["contaminated_samples_after"]) == (2, 1)
    report = json.loads((out / "contamination.json").read_text())["benchmarks"]
    short = {name: (of["too_short_to_match"], of["question_too_short_to_match"]) for name, of in report.items()}
    assert short == {"open": (1, 1), "reading": (0, 1), "science": (0, 0)}
    assert report["open"]["before"]["contaminated_samples"] == 0
    assert (
        report["reading"]["after"]["contaminated_words_percent"] == 0 and report["reading"]["beyond_the_passage"] == 0
    )
    assert report["science"]["beyond_the_passage"] == 1 and report["science"]["before"]["not_clean_samples"] == 1
    after = report["science"]["after"]
    assert after["contaminated_samples"] == 1
    assert after["contaminated_words_percent"] == pytest.approx(100 * 12 / sample_words, abs=1e-3)
    samples = {row["benchmark"]: row for row in pq.read_table(out / "samples.parquet").to_pylist()}
    assert samples["science"]["share_11"] == pytest.approx(12 / sample_words) and samples["science"]["share_20"] == 0
    assert samples["reading"]["share_before"] > 0.6 and samples["reading"]["share_11"] == 0


def judged(tmp_path, log, row: dict, *texts: str) -> list[tuple[str, float] | None]:
    """The verdict on each text with one sample and the limits of the corpus: (reason, share), or None if it is kept."""
    raw = tmp_path / "one" / "raw" / "exam"
    raw.mkdir(parents=True)
    (raw / "test.jsonl").write_text(json.dumps(row))
    parent, out = artifact(tmp_path / "deduplicated", one=table(list(texts))), tmp_path / "out"
    contamination.run(corpus().contamination, {"deduplicated": parent, "benchmarks": tmp_path / "one"}, out, log)
    gone = {one["id"]: (one["reason"], one["value"]) for one in read_documents(out, "dropped").to_pylist()}
    return [gone.get(f"manual:{place}") for place in range(len(texts))]


def test_a_question_is_judged_apart_from_a_long_passage(tmp_path, log):
    passage, question = words(142), words(24, 500)
    row = {"passage": passage, "question": question, "answer": words(4, 600)}
    both = f"{question} {words(4, 600)}"
    texts = [
        f"{words(80, 2000)} {both} {words(80, 3000)}",  # 28 of 170 words, but all of question and answer
        f"{words(80, 2000)} {passage}",
        f"{words(20, 2000)} {words(28)} {words(20, 3000)}",  # 28 words of the passage
        f"{words(20, 2000)} {words(29)} {words(20, 3000)}",
        f"{passage} {both}",
    ]
    assert judged(tmp_path, log, row, *texts) == [
        ("contaminated_question", 1.0),
        ("contaminated_passage", 1.0),
        None,
        ("contaminated_passage", pytest.approx(29 / 142)),
        ("contaminated_question", 1.0),
    ]


def test_the_first_words_of_a_question_remove_no_document(tmp_path, log):
    row = {"question": words(21), "options": "A. one\nB. two\nC. three\nD. four", "answer": "A. one"}
    stem = f"{words(150, 2000)} {words(12)} {words(150, 3000)}"
    assert judged(tmp_path, log, row, stem, stem.replace(words(12), words(13)), words(21)) == [
        None,
        ("contaminated_question", pytest.approx(13 / 25)),
        ("contaminated_question", pytest.approx(21 / 25)),
    ]


def test_a_sample_that_begins_in_the_title_is_found(benchmarks, tmp_path, log):
    question = SCIENCE["question"].split()
    rows = table([" ".join(question[8:]), " ".join(question[8:])])
    rows = rows.set_column(3, "title", pa.array([" ".join(question[:8]), ""]))
    parent = artifact(tmp_path / "deduplicated", one=rows)
    contamination.run(RECIPE, {"deduplicated": parent, "benchmarks": benchmarks}, tmp_path / "out", log)
    assert read_documents(tmp_path / "out", "dropped")["id"].to_pylist() == ["manual:0"]
    spans = pq.read_table(tmp_path / "out" / "spans" / "one.parquet").to_pylist()
    assert {row["id"]: row["start"] for row in spans} == {"manual:0": 0, "manual:1": 8}


def test_words_found_in_several_documents_count_once():
    texts = words(40), words(5, 100), words(20, 200)
    index = index_samples([Sample("b", number, "", text) for number, text in enumerate(texts)], 10)
    rows = [("x", 0, 0, 12, False), ("y", 0, 6, 12, False), ("z", 0, 20, 20, False), ("z", 2, 0, 20, False)]
    spans = pa.table([list(column) for column in zip(*rows, strict=True)], schema=contamination.SPAN_SCHEMA)
    shares = contamination.sample_shares(index, spans)
    np.testing.assert_allclose(shares[11], [38 / 40, 0, 1])
    np.testing.assert_allclose(shares[20], [20 / 40, 0, 1])
    np.testing.assert_allclose(shares[30], 0)


def test_stage_continues_to_the_same_bytes(benchmarks, tmp_path, log):
    shards = {"one": table(manual()[:20], "a"), "two": table([SCIENCE["question"], ""], "b"), "three": table([], "c")}
    parent = artifact(tmp_path / "deduplicated", **shards)
    inputs = {"deduplicated": parent, "benchmarks": benchmarks}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    figures = contamination.run(RECIPE, inputs, whole, log)
    contamination.run(RECIPE, inputs, cut, log)
    for path in [
        cut / "documents" / "two.parquet",
        *(cut / "_scratch" / "shards").glob("t*.json"),
        cut / "samples.parquet",
    ]:
        path.unlink()
    shutil.rmtree(cut / "spans")
    (cut / "_scratch" / "shards" / "one.json").unlink()
    assert contamination.run(RECIPE, inputs, cut, log) == figures
    assert contents(cut) == contents(whole)


def test_no_benchmark_is_an_error(tmp_path, log):
    (tmp_path / "benchmarks").mkdir()
    fetch.run(SourcesRecipe(()), {}, tmp_path / "benchmarks", log)
    parent = artifact(tmp_path / "deduplicated", one=table(["text"]))
    with pytest.raises(ValueError, match="use = 'benchmarks'"):
        contamination.run(
            RECIPE, {"deduplicated": parent, "benchmarks": tmp_path / "benchmarks"}, tmp_path / "out", log
        )
