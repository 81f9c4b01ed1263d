"""What a document is known by: its own id, its URL or its text, whatever file and format it comes in."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cleaning.documents import read_documents
from data_cleaning.reading import extract
from data_cleaning.reading.identity import content_identity, identity_of, numbered, own_id, stated_identity
from data_cleaning.recipes import ExtractRecipe
from tests.data_cleaning.raw import Quiet, sources_artifact
from tests.data_cleaning.reading.test_web_readers import PAGE, warc

RECIPE = ExtractRecipe(
    max_document_bytes=1_000_000, max_archive_bytes=5_000_000, max_archive_members=100, shard_documents=10
)


def as_csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_json(rows):
    return json.dumps(rows).encode()


def as_keyed_json(rows):
    """As pandas writes a table: the place of each row is its name."""
    return json.dumps({str(number): row for number, row in enumerate(rows)}).encode()


def as_parquet(rows):
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), data)
    return data.getvalue()


FORMATS = {"csv": as_csv, "jsonl": as_jsonl, "json": as_json, "keyed.json": as_keyed_json, "parquet": as_parquet}
each_format = pytest.mark.parametrize("kind", FORMATS)


def ids(folder, files, reader="auto"):
    """The ids of the documents in these files, by their text."""
    out = folder / "out"
    out.mkdir(parents=True)
    extract.run(RECIPE, {"sources": sources_artifact(folder / "sources", files, reader)}, out, Quiet())
    rows = read_documents(out, columns=["id", "text"]).to_pylist()
    return {row["text"]: row["id"] for row in rows}


@each_format
@pytest.mark.parametrize("absent", ["no field", None, "", " "])
def test_rows_without_an_id_are_known_by_their_text(tmp_path, kind, absent):
    """Two deliveries share no id where they share no text, and give one id to one text."""
    months = {name: [{"id": absent, "text": f"{name} {n}"} for n in range(30)] for name in ("November", "December")}
    for rows in months.values():
        rows.append({"id": absent, "text": "in both"})
        for row in rows if absent == "no field" else ():
            del row["id"]
    november, december = (ids(tmp_path / name, {f"a.{kind}": FORMATS[kind](rows)}) for name, rows in months.items())
    assert len(set(november.values())) == len(set(december.values())) == 31
    assert set(november.values()) & set(december.values()) == {november["in both"]}


@each_format
@pytest.mark.parametrize("field", ["id", "url", None])
def test_the_files_of_a_delivery_are_no_part_of_an_id(tmp_path, kind, field):
    """One file, two files of other names in the other order, and an archive give the same ids."""
    values = {"id": lambda n: f"doc-{n}", "url": lambda n: f"https://example.org/{n}"}
    rows = [{"text": f"text {n}"} | ({field: values[field](n)} if field else {}) for n in range(20)]
    write = FORMATS[kind]
    whole = ids(tmp_path / "one", {f"all.{kind}": write(rows)})
    parts = ids(tmp_path / "two", {f"x.{kind}": write(rows[12:]), f"y.{kind}": write(rows[:12])})
    assert whole == parts and len(set(whole.values())) == 20
    if field:
        assert whole["text 7"] == f"own:{values[field](7)}"


@pytest.mark.parametrize("name", ["txt", "md", "html"])
def test_a_file_that_is_one_document_is_known_by_its_text(tmp_path, name):
    page = PAGE.format(charset="utf-8") if name == "html" else "Llamas live in herds."
    here, there = (ids(tmp_path / place, {f"{place}.{name}": page.encode()}) for place in ("here", "there"))
    assert here == there and list(here.values())[0].startswith("own:sha256:")


@each_format
def test_the_format_of_a_delivery_is_no_part_of_an_id(tmp_path, kind):
    rows = [{"id": 7, "text": "a"}, {"id": 12, "text": "b"}]
    assert ids(tmp_path, {f"a.{kind}": FORMATS[kind](rows)}) == {"a": "own:7", "b": "own:12"}


@pytest.mark.parametrize("value", [None, float("nan"), "", "  ", "null", "None", "NaN", "<NA>", "\\N", {}, [], False])
def test_a_missing_id_is_none(value):
    assert own_id(value) == ""


def test_one_id_is_one_text_in_every_type():
    assert own_id(7) == own_id(7.0) == own_id("7") == own_id(" 7\n") == "7" and own_id(0) == "0"
    assert own_id({"$oid": "5f", "a": 1}) == own_id({"a": 1, "$oid": "5f"}) != own_id({"$oid": "60", "a": 1})
    assert own_id(b"\x01\xff") == "01ff" and own_id(7.5) == "7.5" and own_id("na") == "na"


def test_a_page_is_known_by_its_url_in_every_crawl(tmp_path):
    """A WARC record has a new id in each crawl, in the crawl itself and in sets made from it."""
    page = PAGE.format(charset="utf-8").encode()
    older = warc([(200, b"text/html", page), (200, b"text/html", page.replace(b"llama", b"alpaca"))])
    newer = warc([(200, b"text/html", page.replace(b"llama", b"vicuna"))]).replace(b"urn:uuid:", b"urn:uuid:new")
    first, second = (ids(tmp_path / n, {f"{n}.warc.gz": d}) for n, d in (("older", older), ("newer", newer)))
    assert sorted(first.values()) == ["own:https://example.org/0", "own:https://example.org/1"]
    assert list(second.values()) == ["own:https://example.org/0"] and not set(first) & set(second)


def test_the_id_of_a_warc_record_never_precedes_the_url():
    url = {"url": "HTTPS://example.org/a#b"}
    assert stated_identity("<urn:uuid:0a1b>", url) == "https://example.org/a"
    assert stated_identity("urn:uuid:0a1b", url) == "https://example.org/a"
    assert stated_identity("<urn:uuid:0a1b>", {"url": "u"}) == "<urn:uuid:0a1b>"
    assert stated_identity("doc-1", url) == "doc-1"
    assert stated_identity("", {"url": "u"}) == stated_identity("", {}) == ""


def test_ids_that_are_no_utf8_stay_different():
    made = {stated_identity(key, {}) for key in ("a\udcfe", "a\udcff", "a\0", "a")}
    assert len(made) == 4 and all(one.encode().decode() == one and "\0" not in one for one in made)


def test_what_a_quarantined_record_was_is_written_beside_its_error(tmp_path):
    lines = [{"id": "a", "text": "[INST] obey"}, {"text": "\0", "url": "http://H.org"}, {"text": ""}]
    lines += [{"id": "b", "text": None}, {"id": 7, "title": "t"}, {"id": None, "text": " "}]
    out = tmp_path / "out"
    out.mkdir()
    extract.run(RECIPE, {"sources": sources_artifact(tmp_path / "s", {"a.jsonl": as_jsonl(lines)})}, out, Quiet())
    held = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in held] == ["own:a", "own:http://h.org/", None, "own:b", "own:7", None]


@given(st.text(min_size=1), st.integers(1, 30), st.integers(1, 30))
def test_a_number_in_a_name_is_never_taken_for_part_of_the_identity(identity, first, second):
    one, other = numbered(identity, first), numbered(identity, second)
    assert identity_of(one) == identity_of(other) == identity and (one == other) == (first == second)
    also = f"{identity}~2"  # an identity that looks like the name of a second document
    assert identity_of(numbered(also, first)) == also and numbered(also, first) != numbered(identity, second)


@given(st.text(), st.text())
def test_texts_have_one_content_identity_only_where_they_are_equal(one, other):
    assert (content_identity(one) == content_identity(other)) == (one == other)
