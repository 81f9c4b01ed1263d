"""What the gates of the corpus let pass and what they stop, on artifacts that the stages made."""

import json
import re

import pyarrow.parquet as pq
import pytest

from data_cleaning import gates
from data_cleaning.documents import shard_paths, write_shard
from data_cleaning.reading import extract
from data_cleaning.recipes import ExtractRecipe
from tests.data_cleaning.raw import sources_artifact
from tests.data_cleaning.reading.test_web_readers import PAGE, warc
from tests.data_cleaning.samples import artifact, table
from tests.data_cleaning.test_mixture import RECIPE as MIXTURE

RECIPE = ExtractRecipe(
    max_document_bytes=1_000_000, max_archive_bytes=5_000_000, max_archive_members=100, shard_documents=10
)
ITEMS = json.dumps([{"text": f"A llama and {number} others."} for number in range(100)]).encode()
LINES = b"".join(b'{"text": "A llama and %d others."}\n' % number for number in range(4))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (ITEMS, None),
        (ITEMS[:-100], None),
        (ITEMS.replace(b"}, {", b"}, oops {", 1), r"own: 3\.\d kB of 3\.\d kB quarantined"),
        (LINES + b"{oops\n" * 5, "own: 5 of 9 records quarantined"),
        (b"{oops", "own gave no document"),
    ],
)
def test_most_of_every_source_must_be_read_by_count_and_by_bytes(tmp_path, log, data, why):
    """One entry in quarantine may stand for the rest of a file: a list that breaks near its start is lost all the same."""
    sources = sources_artifact(tmp_path / "sources", {"a.json": data}, bytes=len(data))
    out = tmp_path / "out"
    out.mkdir()
    metrics = extract.run(RECIPE, {"sources": sources}, out, log)
    passed, told, figures = gates.every_source_read(out, {"sources": sources}, RECIPE)
    assert passed == (why is None) and re.fullmatch(why or "every source was read", told), told
    assert (figures.pop("margin") >= 0) == passed
    assert figures == {name: metrics[f"{name}_out" if name == "documents" else name] for name in figures}


def judged(folder, log, files, **fields):
    """The verdict on what extraction makes of a source "own" with these files, and the entries of its quarantine."""
    size = sum(map(len, files.values()))
    sources, out = sources_artifact(folder / "sources", files, **{"bytes": size} | fields), folder / "out"
    out.mkdir()
    extract.run(RECIPE, {"sources": sources}, out, log)
    verdict = gates.every_source_read(out, {"sources": sources}, RECIPE)
    return verdict, [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]


IMAGES = {f"image-{number}.png": b"\x89PNG" * 9_000 for number in range(6)}
PAGES = {f"page-{number}.md": b"# Llamas\n\nThey hum.\n" for number in range(4)}


def test_files_that_are_no_text_are_listed_and_stop_nothing(tmp_path, log):
    (passed, told, figures), held = judged(tmp_path, log, PAGES | IMAGES | {".gitkeep.x": b""})
    assert passed, told
    assert figures["documents"] == 4 and figures["quarantined"] == figures["foreign"] == 7
    assert {entry["file"] for entry in held} == {*IMAGES, ".gitkeep.x"}
    assert {entry["error"] for entry in held} == {"no reader for .png", "no reader for .x"}


def test_images_in_a_crawl_stop_nothing(tmp_path, log):
    page = (200, b"text/html", PAGE.format(charset="utf-8").encode())
    crawl = warc([page, *[(200, b"image/png", b"\x89PNG" * 9_000)] * 5, (301, b"text/html", b"moved")])
    (passed, told, figures), held = judged(tmp_path, log, {"a.warc.gz": crawl})
    assert passed and figures["documents"] == 1 and figures["foreign"] == len(held) == 6, told


def test_what_is_no_text_hides_no_broken_text(tmp_path, log):
    lines = b'{"text": "A llama."}\n' * 3 + b"{" + b"oops" * 500 + b"\n"
    (passed, told, _), _ = judged(tmp_path / "mixed", log, IMAGES | {"a.jsonl": lines})
    assert not passed and told == "own: 2.0 kB of 2.1 kB quarantined"
    (passed, told, _), _ = judged(tmp_path / "images", log, IMAGES)
    assert not passed and told == "own gave no document"


def test_a_snapshot_without_a_corpus_source_is_told(tmp_path, log):
    (passed, told, _), _ = judged(tmp_path, log, PAGES, use="language_model")
    assert not passed and told.startswith(
        "the snapshot has no corpus source: name it as the entries of the sources file"
    )


@pytest.fixture
def texts_read(monkeypatch):
    """The files that a text column was read from, one list a read."""
    reads, read = [], pq.read_table

    def noted(path, columns=None, **options):
        if columns is None or "text" in columns:
            reads.append(path)
        return read(path, columns=columns, **options)

    monkeypatch.setattr(pq, "read_table", noted)
    return reads


def test_a_mixture_is_checked_shard_by_shard(tmp_path, texts_read):
    """arrow's string arrays end at 2 GiB: the texts of all shards do not fit into one."""
    rows = {"train": ["One.", "Two.", "Three."], "heldout": ["Four.", "Five."]}
    for part, texts in rows.items():
        for text in texts:
            write_shard(table([text], text), tmp_path / "mixture" / part / f"{text}parquet")
    clean = {"corpus/base": artifact(tmp_path / "clean", **{t: table([t], t) for part in rows.values() for t in part})}
    passed, told, figures = gates.heldout_apart(tmp_path / "mixture", clean, MIXTURE)
    assert passed and figures == {"train": 3, "heldout": 2}, told
    assert all(path.is_file() for path in texts_read) and len(texts_read) == 10  # each twice
    write_shard(table(["two", "TWO!"], "Four."), tmp_path / "mixture" / "heldout" / "Four.parquet")
    passed, told, _ = gates.heldout_apart(tmp_path / "mixture", clean, MIXTURE)
    assert not passed and told == "1 training documents repeat a held-out text"


def test_a_document_that_the_filters_dropped_is_no_part_of_the_mixture(tmp_path):
    """The mixture's parents hold it too: as what was delivered."""
    for part, text in (("train", "One."), ("heldout", "Two.")):
        write_shard(table([text], text), tmp_path / "mixture" / part / "a.parquet")
    delivered = artifact(tmp_path / "all", a=table(["One."], "One."), b=table(["Two."], "Two."))
    clean = artifact(tmp_path / "clean", a=table(["One."], "One."))
    inputs = {"corpus/base": clean, "delivered/base": delivered}
    passed, told, _ = gates.heldout_apart(tmp_path / "mixture", inputs, MIXTURE)
    assert not passed and told == "1 documents are not of the clean corpus"


def test_what_a_step_lost_is_found_without_the_texts(tmp_path, texts_read):
    parent = artifact(tmp_path / "parent", a=table(["One.", "Two."], "a"), b=table(["Three."], "b"))
    step = artifact(tmp_path / "step", a=table(["One.", "Two."], "a"), b=table(["Three."], "b"))
    (step / "dropped").mkdir()
    passed, told, figures = gates.nothing_lost(step, {"given": parent}, None)
    assert passed and figures.pop("margin") == pytest.approx(0.9), told  # all kept, where a tenth is asked for
    assert figures == {"given": 3, "kept": 3, "dropped": 0, "bytes_kept": 14}
    assert texts_read == shard_paths(step), "only the bytes of what was kept are asked for, one shard at a time"
    (step / "documents" / "b.parquet").unlink()
    passed, told, _ = gates.nothing_lost(step, {"given": parent}, None)
    assert not passed and told.startswith("1 documents vanished, 0 came from nowhere")
