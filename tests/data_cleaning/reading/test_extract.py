import json

import pyarrow.parquet as pq

from data_cleaning import shards
from data_cleaning.documents import DOCUMENT_SCHEMA, read_documents, shard_paths
from data_cleaning.reading import extract
from data_cleaning.reading.identity import content_identity
from data_cleaning.reading.normalise import clean
from data_cleaning.recipes import ExtractRecipe
from tests.data_cleaning.raw import Quiet, sources_artifact

RECIPE = ExtractRecipe(
    max_document_bytes=1_000_000, max_archive_bytes=5_000_000, max_archive_members=100, shard_documents=10
)
LINES = {
    f"part-{part}.jsonl": "".join(json.dumps({"text": f"{part} {n}"}) + "\n" for n in range(25)).encode()
    for part in "ab"
}


def run(sources, out, recipe=RECIPE):
    out.mkdir(exist_ok=True)
    return extract.run(recipe, {"sources": sources}, out, Quiet())


def test_shards_hold_all_documents_in_the_order_of_the_files(tmp_path):
    metrics = run(sources_artifact(tmp_path / "sources", LINES, profile="prose"), tmp_path / "out")
    table = read_documents(tmp_path / "out")
    assert table.schema.equals(DOCUMENT_SCHEMA)
    assert table["text"].to_pylist() == [f"{part} {n}" for part in "ab" for n in range(25)]
    assert len(set(table["id"].to_pylist())) == 50 and table["id"][0].as_py() == f"own:{content_identity('a 0')}"
    assert set(table["profile"].to_pylist()) == {"prose"}
    assert [path.stem for path in shard_paths(tmp_path / "out")] == [f"own-00000-0000{n}" for n in range(5)]
    figures = {"documents_out": 50, "bytes_out": 2 * (10 * 3 + 15 * 4), "titles_cut": 0, "invisible_removed": 0}
    figures |= {"quarantined": 0, "quarantined_bytes": 0, "foreign": 0, "foreign_bytes": 0}
    assert metrics["by_source"] == {"own": figures} and figures.items() <= metrics.items()


def test_a_shard_is_closed_at_its_bytes_too(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SHARD_BYTES", 24)
    metrics = run(sources_artifact(tmp_path / "sources", LINES), tmp_path / "out")
    rows = [read_documents(tmp_path / "out")["text"].to_pylist()]
    sizes = [pq.read_table(path).num_rows for path in shard_paths(tmp_path / "out")]
    assert rows == [[f"{part} {n}" for part in "ab" for n in range(25)]] and metrics["documents_out"] == 50
    assert sizes[0] == 8 and max(sizes) == 8 and 5 < len(sizes) < 9


def test_titles_are_cleaned_capped_and_hold_no_turns(tmp_path):
    titles = ["  A\x07 title\r\n of\ttwo  lines ", "e\u0301", "long " * 200, "[INST] obey", None, 7, "caf\ud83d"]
    lines = "\n".join(json.dumps({"text": f"text {n}", "title": title}) for n, title in enumerate(titles))
    metrics = run(sources_artifact(tmp_path / "sources", {"a.jsonl": lines.encode()}), tmp_path / "out")
    documents = read_documents(tmp_path / "out").to_pylist()
    capped = ("long " * 200)[: extract.MAX_TITLE].rstrip()
    assert [row["title"] for row in documents] == ["A title of two lines", "é", capped, "", "7", "caf?"]
    assert metrics["titles_cut"] == metrics["by_source"]["own"]["titles_cut"] == 1
    assert metrics["quarantine_errors"] == {"control tags": 1}


def test_a_limit_stops_the_source_at_its_first_documents(tmp_path):
    metrics = run(sources_artifact(tmp_path / "sources", LINES, limit=30), tmp_path / "out")
    assert metrics["documents_out"] == 30
    assert read_documents(tmp_path / "out")["text"].to_pylist()[-1] == "b 4"


def test_two_documents_of_one_key_keep_two_ids(tmp_path):
    lines = b'{"id": "x", "text": "one"}\n{"id": "x", "text": "two"}\n'
    run(sources_artifact(tmp_path / "sources", {"a.jsonl": lines}), tmp_path / "out")
    assert read_documents(tmp_path / "out")["id"].to_pylist() == ["own:x", "own:x~2"]


def test_other_uses_are_no_documents(tmp_path):
    run(sources_artifact(tmp_path / "sources", LINES, use="dialogues"), tmp_path / "out")
    assert read_documents(tmp_path / "out").num_rows == 0


def test_text_is_normalised_without_losing_words():
    assert clean("\ufeff e\u0301t\u00e9 \r\nb\x0cc\x07d\t\n\n e ") == ("été\nb\ncd\n\n e", 2)
    assert clean("[ok] <b>x</b> 3 < 4") == ("[ok] <b>x</b> 3 < 4", 0)
    assert extract.problem("see [INST] tags", 100).startswith("control tags: [INST]")
    assert extract.problem("an [inst] and <<sys>>, <s>old</s>", 100) is None


def test_a_large_source_is_split_and_gives_the_same_bytes_again(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "UNIT_FILES", 1)
    monkeypatch.setattr(shards, "SMALL_BYTES", 0)
    sources = sources_artifact(tmp_path / "sources", LINES)
    for name, workers in (("one", "1"), ("two", "2")):
        monkeypatch.setenv("CRIA_WORKERS", workers)
        run(sources, tmp_path / name)
    names = [path.name for path in shard_paths(tmp_path / "one")]
    assert names == [f"own-0000{unit}-0000{n}.parquet" for unit in range(2) for n in range(3)]
    for name in names:
        assert (tmp_path / "one/documents" / name).read_bytes() == (tmp_path / "two/documents" / name).read_bytes()
