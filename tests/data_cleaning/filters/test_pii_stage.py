"""The stage that takes personal information out: what it counts, tells, and cleans beside the text."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_cleaning.documents import read_documents
from data_cleaning.filters import pii
from data_cleaning.recipes import PiiRecipe
from tests.data_cleaning.filters.test_pii import ALL, KEPT, KINDS, REPLACED
from tests.data_cleaning.samples import artifact, contents, manual, table


def test_stage_counts_and_tells_places_not_values(tmp_path, log):
    private = table([text for text, _ in REPLACED] + KEPT, "a")
    blocked = table(["Anna lives there: anna@people.example"], "b", meta='{"url": "https://people.example/anna"}')
    parent = artifact(tmp_path / "quality", one=pa.concat_tables([private, blocked]), two=table(manual()[:5]))
    out = tmp_path / "out"
    figures = pii.run(ALL, {"quality": parent}, out, log)
    expected = [text for _, text in REPLACED] + KEPT + manual()[:5]
    assert read_documents(out)["text"].to_pylist() == expected
    for kind in KINDS:
        assert figures[f"replaced_{kind.name}"] == sum(text.count(kind.placeholder) for text in expected)
    assert figures["documents_changed"] == len(REPLACED) and figures["dropped_blocked_site"] == 1
    dropped = read_documents(out, "dropped").to_pylist()
    assert [(row["id"], row["reason"], row["detail"]) for row in dropped] == [("b:0", "blocked_site", "people.example")]
    told = pq.read_table(out / "replacements" / "one.parquet")
    assert told.column_names == ["id", "field", "kind", "start", "length"]
    assert told.num_rows == sum(figures[f"replaced_{kind.name}"] for kind in KINDS)
    again = tmp_path / "again"
    pii.run(ALL, {"quality": parent}, again, log)
    assert contents(again) == contents(out)


def test_titles_are_cleaned_as_texts_are(tmp_path, log):
    rows = table(["No address here.", "jane@example.org"])
    rows = rows.set_column(3, "title", pa.array(["Mail to jane@example.org", "Plain"]))
    parent = artifact(tmp_path / "quality", one=rows)
    figures = pii.run(ALL, {"quality": parent}, tmp_path / "out", log)
    after = read_documents(tmp_path / "out")
    assert after["title"].to_pylist() == ["Mail to |||EMAIL_ADDRESS|||", "Plain"]
    assert after["text"].to_pylist() == ["No address here.", "|||EMAIL_ADDRESS|||"]
    assert figures["replaced_email"] == figures["documents_changed"] == 2
    told = pq.read_table(tmp_path / "out" / "replacements" / "one.parquet").to_pylist()
    assert [(row["id"], row["field"], row["start"]) for row in told] == [
        ("manual:0", "title", 8),
        ("manual:1", "text", 0),
    ]


def test_what_is_known_of_a_document_is_cleaned_too(tmp_path, log):
    meta = json.dumps({"author": "Jane <jane@example.org>", "url": "https://example.org/a", "year": 2024})
    parent = artifact(tmp_path / "quality", one=table(["No address here."], meta=meta))
    figures = pii.run(ALL, {"quality": parent}, tmp_path / "out", log)
    (row,) = read_documents(tmp_path / "out").to_pylist()
    assert json.loads(row["meta"]) == {
        "author": "Jane <|||EMAIL_ADDRESS|||>",
        "url": "https://example.org/a",
        "year": 2024,
    }
    assert figures["replaced_email"] == figures["documents_changed"] == 1
    (told,) = pq.read_table(tmp_path / "out" / "replacements" / "one.parquet").to_pylist()
    assert (told["field"], told["kind"], told["start"]) == ("meta.author", "email", 6)


def test_only_the_kinds_asked_for(tmp_path, log):
    parent = artifact(tmp_path / "quality", one=table(["jane@example.org (808) 782-1557"]))
    figures = pii.run(PiiRecipe(("email",), (), ()), {"quality": parent}, tmp_path / "out", log)
    assert read_documents(tmp_path / "out")["text"].to_pylist() == ["|||EMAIL_ADDRESS||| (808) 782-1557"]
    assert figures["replaced_email"] == 1 and "replaced_phone" not in figures
    with pytest.raises(ValueError, match="passport"):
        pii.run(PiiRecipe(("passport",), (), ()), {"quality": parent}, tmp_path / "out", log)
