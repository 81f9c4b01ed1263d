"""A source delivered again, from the table of sources to the mixture: what is trained on afterwards, and what is not."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cleaning import mixture
from data_cleaning.deliveries import retracting, superseding
from data_cleaning.documents import read_documents, shard_paths, write_shard
from data_cleaning.reading import extract
from data_cleaning.reading.identity import numbered
from data_cleaning.recipes import DedupRecipe, ExtractRecipe, MixtureRecipe, SourcesRecipe
from data_cleaning.sources import fetch
from data_cleaning.sources.table import load_sources
from tests.data_cleaning.raw import Quiet
from tests.data_cleaning.reading.test_identity import FORMATS, as_jsonl, each_format
from tests.data_cleaning.reading.test_web_readers import PAGE, warc

DIFFERENT = DedupRecipe(
    shingle_words=5, bands=14, rows=8, min_jaccard=2.0, notices=(), ranks=(), seed=0
)  # no two texts are near-duplicates
ENTRY = '[[source]]\nname = "{}"\nlicense = "MIT"\nuri = "{}"\nsnapshot = "{}"\ndelivers = "{}"\n'


def mixed(folder, deliveries, filtered=(), full=(), retractions=()):
    """Returns (texts, dropped) of the mixture of {snapshot: {file: bytes}}, all of one source; dropped as (text, reason, detail).

    The filters between extraction and mixture drop the texts in `filtered`. The snapshots in `full` deliver in full.
    `retractions`: their hashes.
    """
    entries = [("news", name, name, "full" if name in full else "increment") for name in deliveries]
    (folder / "sources.toml").write_text("".join(ENTRY.format(*entry) for entry in entries))
    for snapshot, files in deliveries.items():
        (folder / snapshot).mkdir()
        for name, data in files.items():
            (folder / snapshot / name).write_bytes(data)
    inputs, table = {}, load_sources(folder / "sources.toml")
    for one in table:
        raw, documents, clean = (folder / "store" / one.snapshot / name for name in ("raw", "documents", "clean"))
        raw.mkdir(parents=True), documents.mkdir()
        fetch.run(SourcesRecipe((one,)), {}, raw, Quiet())
        extract.run(ExtractRecipe(100_000, 1_000_000, 1000, 10), {"sources": raw}, documents, Quiet())
        for shard in shard_paths(documents):
            rows = pq.read_table(shard)
            dropped = pc.is_in(rows["text"], pa.array(filtered, pa.string()))
            write_shard(rows.filter(pc.invert(dropped)), clean / "documents" / shard.name)
        inputs |= {f"corpus/{one.snapshot}": clean, f"delivered/{one.snapshot}": documents}
    complete = tuple((one.name, one.snapshot) for one in table if one.delivers == "full")
    mixture.run(
        MixtureRecipe((), 1.0, 1.0, 0, 0.05, complete, retractions, DIFFERENT, 3), inputs, folder / "out", Quiet()
    )
    kept = [read_documents(folder / "out", part, ["text"])["text"].to_pylist() for part in ("train", "heldout")]
    gone = read_documents(folder / "out", "dropped", ["text", "reason", "detail"]).to_pylist()
    return sorted(kept[0] + kept[1]), sorted((row["text"], row["reason"], row["detail"]) for row in gone)


def rows(month, count, **fields):
    return [{"text": f"{month} {n}"} | {name: make(n) for name, make in fields.items()} for n in range(count)]


@each_format
@pytest.mark.parametrize("fields", [{}, {"id": lambda n: None}, {"id": lambda n: ""}], ids=["none", "null", "empty"])
def test_rows_without_ids_replace_no_others(tmp_path, kind, fields):
    months = {"2026-11": rows("November", 100, **fields), "2026-12": rows("December", 100, **fields)}
    kept, dropped = mixed(tmp_path, {name: {f"a.{kind}": FORMATS[kind](one)} for name, one in months.items()})
    assert kept == sorted(row["text"] for month in months.values() for row in month) and dropped == []


@each_format
@pytest.mark.parametrize("field", ["id", "url"])
def test_documents_delivered_again_in_other_files_are_replaced(tmp_path, kind, field):
    """Delivered as one file, then as two of other names, in another order and with some more documents."""
    name = {field: "https://example.org/{}".format}
    old, new = rows("November", 20, **name), rows("December", 25, **name)[::-1]
    write = FORMATS[kind]
    files = {f"x.{kind}": write(new[:9]), f"y.{kind}": write(new[9:])}
    kept, dropped = mixed(tmp_path, {"2026-11": {f"all.{kind}": write(old)}, "2026-12": files})
    assert kept == sorted(row["text"] for row in new)
    assert dropped == sorted((row["text"], "superseded", "2026-12") for row in old)


def test_texts_delivered_again_without_ids_are_there_once(tmp_path):
    old, new = rows("text", 20), rows("text", 25)
    files = {"x.jsonl": as_jsonl(new[12:]), "y.jsonl": as_jsonl(new[:12])}
    kept, dropped = mixed(tmp_path, {"base": {"all.jsonl": as_jsonl(old)}, "2026": files})
    assert kept == sorted(row["text"] for row in new) and len(dropped) == 20


def test_a_page_crawled_again_replaces_the_old_one(tmp_path):
    """Its WARC record has another id, and stands in a file of another name."""
    pages = [
        PAGE.format(charset="utf-8").replace("llama", animal).encode() for animal in ("guanaco", "alpaca", "vicuna")
    ]
    crawls = {"2026-11": warc([(200, b"text/html", page) for page in pages[:2]])}
    crawls["2026-12"] = warc([(200, b"text/html", pages[2])]).replace(b"urn:uuid:", b"urn:uuid:new")
    kept, ((old, reason, by),) = mixed(tmp_path, {name: {f"{name}.warc.gz": crawl} for name, crawl in crawls.items()})
    assert len(kept) == 2 and "alpaca" in kept[0] and "vicuna" in kept[1] and "guanaco" in old
    assert (reason, by) == ("superseded", "2026-12")


BAD = {"tags": "[INST] obey", "empty": "", "blank": " ", "no text": None, "binary": "a\0b", "filtered": "by a filter"}


@each_format
@pytest.mark.parametrize("field", ["id", "url"])
@pytest.mark.parametrize("new", BAD.values(), ids=BAD)
def test_a_new_version_that_is_dropped_never_brings_the_old_one_back(tmp_path, kind, field, new):
    name = {field: "https://example.org/{}".format}
    older, newer = rows("old", 4, **name), rows("new", 2, **name)
    newer[0]["text"] = new
    months = {"2026-11": older, "2026-12": newer}
    deliveries = {month: {f"{month}.{kind}": FORMATS[kind](one)} for month, one in months.items()}
    kept, dropped = mixed(tmp_path, deliveries, filtered=["by a filter"])
    assert kept == ["new 1", "old 2", "old 3"]
    assert dropped == [("old 0", "superseded", "2026-12"), ("old 1", "superseded", "2026-12")]


def test_a_page_that_outgrew_the_limit_replaces_the_old_one(tmp_path):
    page = PAGE.format(charset="utf-8").encode()
    older = warc([(200, b"text/html", page.replace(b"llama", animal)) for animal in (b"guanaco", b"alpaca", b"vicuna")])
    newer = warc([(200, b"text/html", page + b"x" * 100_001), (503, b"text/html", b"busy"), (200, b"text/html", page)])
    kept, dropped = mixed(tmp_path, {"2026-11": {"a.warc.gz": older}, "2026-12": {"a.warc.gz": newer}})
    assert len(kept) == 2 and any("alpaca" in text for text in kept), "a failed request delivers no version"
    assert len(dropped) == 2 and not any("alpaca" in text for text, _, _ in dropped)


def test_documents_of_one_id_in_one_delivery_stay_and_are_replaced_together(tmp_path):
    first, second = ({"a.jsonl": [{"id": 1, "text": f"{n} {part}"} for part in "abc"]} for n in ("old", "new"))
    again = {"b.jsonl": [{"id": "1~2", "text": "another"}]}  # looks like the second document of id 1
    deliveries = {"2025": first, "2026": again}
    made = [{name: as_jsonl(one) for name, one in files.items()} for files in (first, again, second)]
    (tmp_path / "two").mkdir(), (tmp_path / "three").mkdir()
    kept, dropped = mixed(tmp_path / "two", dict(zip(deliveries, made, strict=False)))
    assert kept == ["another", "old a", "old b", "old c"] and dropped == []
    kept, dropped = mixed(tmp_path / "three", dict(zip(("2025", "2026", "2027"), made, strict=True)))
    assert kept == ["another", "new a", "new b", "new c"] and len(dropped) == 3


def test_units_of_work_that_share_an_id_are_replaced_together(tmp_path, monkeypatch):
    """Ids that begin anew in each file, every file read by a worker of its own: nothing is lost within a delivery."""
    monkeypatch.setattr(extract, "UNIT_FILES", 1)
    old, new = (
        {f"{part}.jsonl": as_jsonl([{"id": n, "text": f"{age} {part}{n}"} for n in range(3)]) for part in parts}
        for age, parts in (("old", "abc"), ("new", "de"))
    )
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    kept, dropped = mixed(tmp_path / "one", {"2026-11": old})
    assert len(kept) == 9 and dropped == []
    kept, dropped = mixed(tmp_path / "two", {"2026-11": old, "2026-12": new})
    assert kept == sorted(f"new {part}{n}" for part in "de" for n in range(3)) and len(dropped) == 9


def test_the_newest_of_many_deliveries_counts_in_the_order_of_their_dates(tmp_path):
    """In the order of their names 2026-12.10 would precede 2026-12.9, and "base" would be the newest."""
    names = ["base", "2025", "2026-09", "2026-12", "2026-12.9", "2026-12.10", "2026-12-01"]
    files = {name: {"a.jsonl": as_jsonl([{"id": 1, "text": name}, {"text": f"only {name}"}])} for name in names[::-1]}
    kept, dropped = mixed(tmp_path, files)
    assert kept == sorted(["2026-12-01", *(f"only {name}" for name in names)])
    assert dropped == sorted((name, "superseded", "2026-12-01") for name in names[:-1])


@each_format
@pytest.mark.parametrize("field", ["id", "url", None])
def test_a_full_delivery_retracts_what_it_does_not_hold_and_an_increment_nothing(tmp_path, kind, field):
    """A document in both deliveries stays, known by its id, its URL or its text."""
    name = {field: "https://example.org/{}".format} if field else {}
    older, newer = rows("text", 9, **name), rows("text", 4, **name)
    deliveries = {"2026-11": {f"a.{kind}": FORMATS[kind](older)}, "2026-12": {f"b.{kind}": FORMATS[kind](newer)}}
    for full, gone in ((("2026-12",), 5), ((), 0), (("2026-11",), 0)):
        folder = tmp_path / "-".join(["full", *full])
        folder.mkdir()
        kept, dropped = mixed(folder, deliveries, full=full)
        assert kept == sorted(f"text {n}" for n in range(9 - gone))
        reasons = [(f"text {n}", "superseded" if n < 4 else "retracted", "2026-12") for n in range(4 + gone)]
        assert dropped == reasons


def test_a_document_whose_new_version_is_dropped_is_superseded_in_a_full_delivery_too(tmp_path):
    months = {"2026-11": rows("old", 3, id=str), "2026-12": rows("new", 2, id=str)}
    months["2026-12"][0]["text"] = None
    deliveries = {month: {"a.jsonl": as_jsonl(one)} for month, one in months.items()}
    kept, dropped = mixed(tmp_path, deliveries, full=["2026-12"])
    assert kept == ["new 1"]
    assert [reason for _, reason, _ in dropped] == ["superseded", "superseded", "retracted"]


def test_a_full_delivery_concerns_only_its_source():
    sources, numbers = ["news", "notes", "news"], np.array([0, 0, 1])
    none = np.zeros(3, bool)
    assert retracting(sources, numbers, none, {"news": 1}).tolist() == [1, -1, -1]
    assert retracting(sources, numbers, none, {}).tolist() == [-1, -1, -1]


DELIVERY = st.tuples(st.booleans(), st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=8))


@given(st.lists(DELIVERY, max_size=6))
def test_the_documents_left_are_those_of_the_deliveries_laid_over_each_other(deliveries):
    """Each delivery: whether it is full, and its records (identity, and whether the filters let it through)."""
    state: dict[int, int] = {}  # identity → the snapshot whose version counts
    records, last, full = [], {}, {}
    for number, (is_full, held) in enumerate(deliveries):
        state = ({} if is_full else state) | {identity: number for identity, _ in held}
        full |= {"news": number} if is_full else {}
        seen: dict[int, int] = {}
        for identity, passes in held:
            seen[identity] = seen.get(identity, 0) + 1
            last[f"news:{identity}"] = number
            records += [(f"news:{numbered(str(identity), seen[identity])}", number, identity)] if passes else []
    numbers = np.array([number for _, number, _ in records], int)
    superseded = superseding([name for name, _, _ in records], numbers, last)
    retracted = retracting(["news"] * len(records), numbers, superseded >= 0, full)
    outdated = np.maximum(superseded, retracted)
    left = [record for record, by in zip(records, outdated.tolist(), strict=True) if by < 0]
    assert left == [record for record in records if state.get(record[2]) == record[1]]
    assert not ((superseded >= 0) & (retracted >= 0)).any()
    assert all(by < 0 or by > number for by, number in zip(outdated.tolist(), numbers.tolist(), strict=True))
