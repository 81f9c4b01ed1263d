import json

import matplotlib.image
import numpy as np
import pyarrow as pa
import pytest

from data_cleaning.documents import LABELLED_SCHEMA, split_shard, write_shard
from data_cleaning.report import counts, flow
from data_cleaning.report import stage as report
from tests.data_cleaning.report.steps import recipe, toxicity_sources


def table(count):
    """Documents of three sources in turn, 100 bytes each, every fourth one French."""
    rows = [
        {
            "id": f"s{n % 3}:{n}",
            "source": f"s{n % 3}",
            "text": f"*document* {n} <b>".ljust(100, "x"),
            "title": "",
            "profile": "web",
            "meta": "{}",
            "lang": "fr" if n % 4 == 3 else "en",
            "lang_score": 0.9,
        }
        for n in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=LABELLED_SCHEMA)


@pytest.fixture
def artifacts(tmp_path):
    """What all steps leave of 120 documents: languages takes a quarter, quality a tenth of the rest for two reasons."""
    folders = {step: tmp_path / step for step in report.STEPS}
    now = table(120)
    write_shard(now.drop_columns(["lang", "lang_score"]), folders["documents"] / "documents" / "s.parquet")
    held = [{"source": "s0", "file": "a|b", "offset": 7, "error": "no JSON: x", "bytes": 11}] * 5
    (folders["documents"] / "quarantine.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in held))
    for step in report.STEPS[1:]:
        rows = now.to_pylist()
        reasons = [None] * len(rows)
        if step == "language":
            reasons = ["other_language" if row["lang"] == "fr" else None for row in rows]
        if step == "quality":
            reasons = [("too_short" if n % 20 else "too_long") if n % 10 == 0 else None for n in range(len(rows))]
        values, details = [0.5 if r else None for r in reasons], ["fr" if r else None for r in reasons]
        split_shard(now, reasons, values, details, folders[step], "s.parquet")
        now = now.filter(pa.array([reason is None for reason in reasons]))
    spans = {"id": [], "sample": [], "start": [], "length": [], "dropped": pa.array([], pa.bool_())}
    write_shard(pa.table(spans), folders["decontaminated"] / "spans" / "s.parquet")
    return folders | {"toxicity": toxicity_sources(tmp_path / "toxicity")}


def test_every_document_is_accounted_for(tmp_path, artifacts, log):
    out = tmp_path / "out"
    out.mkdir()
    metrics = report.run(recipe(samples_per_reason=3), artifacts, out, log)
    assert (metrics["documents_in"], metrics["documents_out"], metrics["bytes_out"]) == (120, 81, 8_100)
    assert metrics["kept_of_bytes"] == 0.675 and metrics["quarantined"] == 5
    written = json.loads((out / "report.json").read_text())
    for before, after in zip(written["steps"], written["steps"][1:], strict=False):
        for source, count in before["kept"].items():
            lost = sum(r["by_source"].get(source, {"documents": 0})["documents"] for r in after["dropped"].values())
            assert count["documents"] == after["kept"][source]["documents"] + lost
    dropped = {step["step"]: {name: r["documents"] for name, r in step["dropped"].items()} for step in written["steps"]}
    assert dropped["language"] == {"other_language": 30} and dropped["quality"] == {"too_long": 5, "too_short": 4}
    assert written["languages"] == {
        "en": {"documents": 90, "bytes": 9_000, "kept": 90},
        "fr": {"documents": 30, "bytes": 3_000, "kept": 0},
    }
    samples = written["steps"][1]["dropped"]["other_language"]["samples"]
    assert len(samples) == 3 == len({sample["id"] for sample in samples})


def test_the_report_is_the_same_however_the_corpus_is_cut_into_shards(tmp_path, artifacts):
    rows = pa.parquet.read_table(artifacts["language"] / "dropped" / "s.parquet")
    whole = counts.merged([counts.dropped_in(rows, rows, 3)], 3)
    parts = [counts.dropped_in(rows.slice(n * 5, 5), rows.slice(n * 5, 5), 3) for n in range(6)]
    assert counts.merged(parts[::-1], 3) == whole
    chosen = sorted(rows["id"].to_pylist(), key=counts.order)[:3]
    assert [sample["id"] for sample in whole["other_language"]["samples"]] == chosen


def test_text_of_strangers_is_no_markup_in_the_report(tmp_path, artifacts, log):
    (tmp_path / "out").mkdir()
    report.run(recipe(samples_per_reason=1), artifacts, tmp_path / "out", log)
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| **all** | 120 | 90 | 81 | 81 | 81 | 81 | 67.5 % |" in text
    assert "**too short**: 4 documents, 0.4 kB" in text and "**no JSON**: 5" in text
    assert "<b>" not in text and r"\*document\*" in text


def colours(path):
    pixels = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    return pixels.shape, set(np.unique(pixels @ [1 << 16, 1 << 8, 1]).tolist())


def rgb(code):
    return int(code[1:], 16)


def test_a_quoted_document_shows_no_personal_information():
    assert counts.excerpt("Write to\njane@example.org or (808) 782-1557.") == (
        "Write to |||EMAIL_ADDRESS||| or |||PHONE_NUMBER|||."
    )


def test_the_picture_shows_every_source_and_what_was_dropped(tmp_path, artifacts, log):
    (tmp_path / "out").mkdir()
    report.run(recipe(samples_per_reason=1), artifacts, tmp_path / "out", log)
    shape, seen = colours(tmp_path / "out" / "plots" / "flow.png")
    assert shape[1] > 1_500
    assert {rgb(code) for code in (*flow.COLOURS[:3], flow.DROP_COLOUR)} <= seen
    assert rgb(flow.COLOURS[3]) not in seen


def test_many_sources_are_gathered_and_labels_kept_apart():
    steps = [{"name": "x", "kept": {f"s{n}": {"documents": 1, "bytes": 100 - n} for n in range(20)}, "dropped": {}}]
    names, kept = flow._kept(steps)
    assert len(names) == flow.MOST_SOURCES + 1 and names[-1] == "others"
    assert sum(kept[0].values()) == sum(100 - n for n in range(20))
    placed = flow._apart([10, 9.9, 9.8, 2, 1.9], 1)
    assert all(a - b >= 1 - 1e-9 for a, b in zip(placed, placed[1:], strict=False))
    assert np.mean(placed[:3]) == pytest.approx(9.9) and np.mean(placed[3:]) == pytest.approx(1.95)


def test_a_corpus_of_nothing_still_gives_a_report(tmp_path, log):
    folders = {step: tmp_path / step for step in report.STEPS}
    for folder in folders.values():
        (folder / "documents").mkdir(parents=True)
        (folder / "dropped").mkdir()
    (folders["documents"] / "quarantine.jsonl").touch()
    (tmp_path / "toxicity").mkdir()
    (tmp_path / "toxicity" / "sources.json").write_text("[]")
    (tmp_path / "out").mkdir()
    inputs = folders | {"toxicity": tmp_path / "toxicity"}
    assert report.run(recipe(samples_per_reason=1), inputs, tmp_path / "out", log)["documents_out"] == 0
    assert "Not measured" in (tmp_path / "out" / report.PAGE).read_text()


def test_the_report_counts_who_is_written_about_languages_and_licences(tmp_path, artifacts, log):
    (tmp_path / "out").mkdir()
    metrics = report.run(recipe(licenses=(("s0", "MIT"), ("s1", ""))), artifacts, tmp_path / "out", log)
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["size"]["s0"] == {"characters": 2700, "documents": 27, "words": 81}
    assert written["toxicity"]["all"]["documents"] == 81 and metrics["toxic"] == 0.0
    assert written["demographics"]["pronouns"]["gender"] == 0 and metrics["axis_Religion"] == 0.0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| s0 | MIT | 40 | 27 | 2,700 | 81 |" in text and "| s1 | none stated | 40 |" in text
    assert "| en | 75.0 % | 89.7 % | 90 |" in text
