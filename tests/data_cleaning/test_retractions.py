"""Retractions by a person: what an entry may say, what it meets, and that no mixture trains on it or holds it out."""

import json
import time
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cleaning import mixture
from data_cleaning.documents import read_documents, write_shard
from data_cleaning.filters.words import normalised
from data_cleaning.reading.urls import canonical_url
from data_cleaning.retractions import (
    RetractionError,
    checked,
    fits,
    keys_of,
    listed,
    matching,
    of_recipe,
    parse,
)
from tests.data_cleaning.reading.test_identity import as_jsonl
from tests.data_cleaning.samples import artifact, contents, manual, mixture_inputs, table
from tests.data_cleaning.test_deliveries import mixed, rows
from tests.data_cleaning.test_mixture import RECIPE, edited, passages


@pytest.fixture
def retract(tmp_path, monkeypatch):
    """Writes the list; returns the hashes that a recipe holds."""

    def write(text: str) -> tuple[str, ...]:
        path = tmp_path / "retractions.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("CRIA_RETRACTIONS", str(path))
        return keys_of(listed())

    return write


def entry(**fields: str) -> str:
    return "\n".join(["[[retraction]]", *(f"{name} = {json.dumps(value)}" for name, value in fields.items()), ""])


def mixed_rows(folder, months, **others):
    """`mixed` of {snapshot: rows}."""
    return mixed(folder, {month: {"a.jsonl": as_jsonl(one)} for month, one in months.items()}, **others)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[retraction]\n", "retractions.toml: "),
        ('[[retraction]]\nuri = "x"\n', "unknown key 'uri'"),
        ('[[retractions]]\nid = "news:1"\n', "unknown key 'retractions'"),
        ("retraction = 3\n", "write [[retraction]] above"),
        ("retraction = [3]\n", "no table"),
        ("[[retraction]]\n", "exactly one of id, url, text, not none"),
        ('[[retraction]]\nreason = "why"\n', "exactly one of id, url, text, not none"),
        ('[[retraction]]\nid = "news:1"\ntext = "a"\n', "not id and text"),
        ('[[retraction]]\nid = ""\n', "not empty"),
        ("[[retraction]]\nid = 7\n", "id must be text"),
        ('[[retraction]]\nid = "news"\n', "names no document"),
        ('[[retraction]]\nid = "news:1"\nreason = " "\n', "reason must be text"),
        ('[[retraction]]\nid = "news:1"\nsince = "yesterday"\n', "since is no date"),
        ("[[retraction]]\nid = 'news:1'\nsince = 2026-12-01T10:00:00\n", "since is no date"),
        ('[[retraction]]\ntext = "!?"\n', "no letter or digit"),
        ('[[retraction]]\nurl = "*"\n', "no pattern of URLs"),
        ('[[retraction]]\nurl = "https://example.org/a b"\n', "no pattern of URLs"),
        ('[[retraction]]\nurl = "https://example.org*"\n', "no URL with a path"),
        ('[[retraction]]\nurl = "example.org/people"\n', "no URL with a path"),
        ('[[retraction]]\nurl = "https://exa mple.org/"\n', "no pattern of URLs"),
        ('[[retraction]]\nurl = "https://example.org/caf%C*"\n', "within an escape"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, told, tmp_path):
    with pytest.raises(RetractionError) as raised:
        parse(text, tmp_path / "retractions.toml")
    assert told in str(raised.value) and "retractions.toml" in str(raised.value) and "\n" not in str(raised.value)


def test_an_absent_file_retracts_nothing_and_a_slip_in_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("data_cleaning.retractions.CHECKOUT", tmp_path)
    monkeypatch.delenv("CRIA_RETRACTIONS", raising=False)
    assert listed() == () and of_recipe(()) == ()
    monkeypatch.setenv("CRIA_RETRACTIONS", str(tmp_path / "typo.toml"))
    with pytest.raises(RetractionError, match="which is no file"):
        listed()


def test_a_recipe_holds_what_is_retracted_and_neither_order_nor_reasons_nor_text(retract):
    one, two = entry(text="Jane  Doe, of Lima"), entry(url="HTTPS://Example.org:443/people/*")
    keys = retract(one + two)
    assert retract(f"# a comment\n{two}reason = 'another'\nsince = 2026-12-01\n\n{one}") == keys
    assert retract(entry(text="jane doe of LIMA!") + entry(url="https://example.org/people/*") + one) == keys
    assert retract(one) != keys != retract(one + two + entry(id="news:1")) and "jane" not in "".join(keys)
    with pytest.raises(RetractionError, match="run it again"):
        of_recipe(keys)


URLS = [
    ("https://example.org/people/*", "https://example.org/people/jane?page=2", True),
    ("https://example.org/people/*", "https://example.org/people", False),
    ("https://EXAMPLE.org:443/a/../people/%6aane#top", "https://example.org/people/jane", True),
    ("https://example.org/*/jane", "https://example.org/people/of/lima/jane", True),
    ("https://example.org/*/jane", "https://example.org/people/jane/more", False),
    ("https://*.example.org/*", "https://www.example.org/", True),
    ("http*://example.org/*", "https://example.org/x", True),
    ("*/people/jane", "https://mirror.net/people/jane", True),
    ("https://example.org/?*&id=7", "https://example.org/?a=1&id=7", True),
    ("https://example.org/?id=7&a=1", "https://example.org/?a=1&id=7", True),
    ("https://example.org/.+", "https://example.org/xx", False),  # nothing but * is special
    ("https://example.org/a?c", "https://example.org/abc", False),
    ("https://münchen.de/straße*", "https://münchen.de/straße/1", True),
    ("https://example.org/**", "https://example.org/", True),
]


@pytest.mark.parametrize(("pattern", "url", "fitting"), URLS)
def test_patterns_of_urls(pattern, url, fitting):
    assert fits(checked({"url": pattern}, "here").value, canonical_url(url)) == fitting


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=6), st.text("ab", max_size=12))
def test_a_pattern_fits_as_the_simple_definition_says(parts, url):
    def simple(pattern: str, rest: str) -> bool:
        if not pattern:
            return not rest
        if pattern[0] == "*":
            return any(simple(pattern[1:], rest[place:]) for place in range(len(rest) + 1))
        return rest[:1] == pattern[0] and simple(pattern[1:], rest[1:])

    pattern = "*".join(parts)
    assert fits(pattern, url) == simple(pattern, url)


def test_time_is_linear_in_the_length_of_a_url_and_of_a_text():
    pattern = checked({"url": "*" + "a*" * 50 + "b"}, "here").value
    url = f"https://example.org/{'a' * 300_000}"
    long = pa.table({"id": ["n:1"], "meta": [json.dumps({"url": url})]})
    one, two = checked({"url": pattern}, "here"), checked({"text": "a " * 2000 + "b"}, "here")
    started = time.process_time()
    assert not fits(pattern, url) and fits(pattern, f"{url}b")
    assert matching([one, two], long, normalised(pa.array(["a " * 500_000]))).to_pylist() == [[]]
    assert time.process_time() - started < 5


def test_an_id_means_every_version_of_a_document_or_the_one_of_a_number(tmp_path, retract):
    names = ["news:7", "news:7~2", "news:77", "notes:7", "news:8"]
    documents = pa.table({"id": names, "meta": ["{}"] * 5})
    found = [checked({"id": name}, "here") for name in ("news:7", "news:7~2")]
    assert matching(found, documents, None).to_pylist() == [[0], [0, 1], [], [], []]


def test_text_is_compared_whatever_its_case_spacing_and_punctuation_by_whole_words():
    texts = ["So JANE\n\tdoe; of Lima.", "jane doe", "Jane Doeringer of Lima", "mary-jane doe of lima", "Jane Do"]
    documents = pa.table({"id": [f"n:{n}" for n in range(5)], "meta": ["{}"] * 5})
    found = [checked({"text": text}, "here") for text in ("Jane Doe", " jane  doe\nOF lima ", "(.*)+ ano")]
    met = matching(found, documents, normalised(pa.array(texts))).to_pylist()
    assert met == [[0, 1], [0], [], [0, 1], []]


MONTHS = {"2026-11": rows("November", 6, id=str), "2026-12": rows("December", 3, url="https://example.org/p/{}".format)}
SAID = [
    ({"id": "news:4"}, ["November 4"]),
    ({"url": "https://example.org/p/*"}, ["December 0", "December 1", "December 2"]),
    ({"text": "NOVEMBER 2"}, ["November 2"]),
]


@pytest.mark.parametrize(("said", "gone"), SAID, ids=["id", "url", "text"])
def test_what_is_retracted_leaves_the_mixture_with_its_reason(said, gone, tmp_path, retract):
    keys = retract(entry(**said, reason="by its author"))
    kept, dropped = mixed_rows(tmp_path, MONTHS, retractions=keys)
    every = [row["text"] for month in MONTHS.values() for row in month]
    assert kept == sorted(set(every) - set(gone))
    assert dropped == [(text, "retracted", "by a person: by its author") for text in gone]
    report = json.loads((tmp_path / "out" / "proportions.json").read_text())
    assert report["retracted_by_people"] == {"news": len(gone)}


def test_a_retraction_outlasts_later_deliveries(tmp_path, retract):
    """By id every version goes; by text, a version without the text is trained on."""
    older, newer = rows("old secret", 3, id=str), rows("new", 3, id=str)
    keys = retract(entry(id="news:1") + entry(text="old secret"))
    kept, dropped = mixed_rows(tmp_path, {"2026-11": older, "2026-12": newer}, retractions=keys, full=["2026-12"])
    assert kept == ["new 0", "new 2"]
    assert {text for text, _, detail in dropped if detail == "by a person"} == {
        *(f"old secret {n}" for n in range(3)),
        "new 1",
    }


def test_copies_of_a_retracted_document_go_with_it(tmp_path, retract):
    """One of another id, and one that deduplication chose in the place of the retracted one."""
    texts = {"a": "The text.", "b": "the TEXT", "c": "Another", "d": "other", "e": "…", "f": "!"}
    months = {"2026-11": [{"id": name, "text": text} for name, text in texts.items()]}
    keys = retract(entry(id="news:a") + entry(id="news:e"))
    (tmp_path / "both").mkdir(), (tmp_path / "one").mkdir()
    kept, dropped = mixed_rows(tmp_path / "both", months, retractions=keys)
    assert kept == ["!", "Another", "other"] and len(dropped) == 3, "texts without words are no copies of one another"
    kept, dropped = mixed_rows(tmp_path / "one", months, retractions=keys, filtered=["The text."])
    assert kept == ["!", "Another", "other"] and [text for text, *_ in dropped] == ["the TEXT", "…"]


@pytest.fixture
def facts(tmp_path):
    return mixture_inputs(base=artifact(tmp_path / "corpus", a=table(passages(60), "facts")))


def run(inputs, out, log, keys=()):
    """Returns (metrics, ids of train/, ids of heldout/)."""
    figures = mixture.run(replace(RECIPE, retractions=keys), inputs, out, log)
    return figures, *(set(read_documents(out, part, ["id"])["id"].to_pylist()) for part in ("train", "heldout"))


def test_held_out_texts_go_too_and_no_other_document_moves(facts, tmp_path, log, retract):
    _, train, held = run(facts, tmp_path / "before", log)
    gone = {min(held), min(train)}
    keys = retract("".join(entry(id=name) for name in gone))
    figures, train_now, held_now = run(facts, tmp_path / "after", log, keys)
    assert len(held) > 1 and train_now == train - gone and held_now == held - gone
    assert figures["retracted_by_people"] == figures["dropped_retracted"] == figures["retractions"] == 2
    line = json.loads((tmp_path / "after" / "proportions.json").read_text())["sources"][0]
    assert line["documents"] == 58 and line["train_documents"] == len(train) - 1


def test_entries_that_meet_nothing_change_no_byte(facts, tmp_path, log, retract):
    run(facts, tmp_path / "before", log)
    keys = retract(entry(id="facts:none") + entry(text="no such words in the manual") + entry(url="https://a.org/*"))
    run(facts, tmp_path / "after", log, keys)
    assert contents(tmp_path / "before") == contents(tmp_path / "after")


def test_near_copies_that_went_for_the_sake_of_a_retracted_document_stay_away(tmp_path, log, retract):
    """Across snapshots, and of a held-out document."""
    texts = [" ".join(passages(5, 5 * number)) for number in range(12)]
    older, plain = table(texts, "facts"), table(passages(10, 500), "prose")
    newer = pa.concat_tables([table([edited(texts[0])], "copy"), plain])
    inputs = mixture_inputs(s2026_11=artifact(tmp_path / "a", x=older), s2026_12=artifact(tmp_path / "b", x=newer))
    run(inputs, tmp_path / "before", log)
    _, train, held = run(inputs, tmp_path / "after", log, retract(entry(id="facts:0")))
    assert "copy:0" not in train | held
    held_id = min(read_documents(tmp_path / "before", "heldout", ["id"])["id"].to_pylist())
    source, number = held_id.split(":")
    text = dict(zip(older["id"].to_pylist(), texts, strict=True)).get(held_id) or plain["text"].to_pylist()[int(number)]
    same = pa.concat_tables([table([edited(text)], "copy"), older, plain])
    write_shard(same, tmp_path / "c" / "documents" / "x.parquet")
    inputs = mixture_inputs(base=tmp_path / "c")
    _, train, held = run(inputs, tmp_path / "with", log)
    assert held_id in held and "copy:0" not in train | held
    _, train, held = run(inputs, tmp_path / "without", log, retract(entry(id=held_id)))
    assert held_id not in train | held and "copy:0" not in train | held
    dropped = read_documents(tmp_path / "without", "dropped", ["id", "reason", "detail"]).to_pylist()
    assert {"id": "copy:0", "reason": "copy_of_heldout", "detail": held_id} in dropped


def test_when_all_is_retracted_the_error_says_so(tmp_path, log, retract):
    inputs = mixture_inputs(base=artifact(tmp_path / "a", x=table(manual()[:3], "facts")))
    with pytest.raises(ValueError, match="all its documents are retracted"):
        run(inputs, tmp_path / "out", log, retract("".join(entry(id=f"facts:{n}") for n in range(3))))


def test_a_killed_stage_continues_to_the_same_bytes(facts, tmp_path, log, retract):
    keys = retract(entry(id="facts:3"))
    run(facts, tmp_path / "whole", log, keys)
    run(facts, tmp_path / "cut", log, keys)
    for path in ("_scratch/delivered-base/a.json", "_scratch/parts-base/a.json", "train/base-a.parquet"):
        (tmp_path / "cut" / path).unlink()
    run(facts, tmp_path / "cut", log, keys)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert pc.all(pc.not_equal(read_documents(tmp_path / "cut", "train")["id"], "facts:3")).as_py()
