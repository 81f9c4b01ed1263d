"""What the model card says: the records, whoever labelled, the licences and the reports on the corpus."""

import json
import re

import pytest
import yaml

from release import bundle as bundles
from release import export, lineage
from tests.data_cleaning.test_markdown import shown
from tests.release import toy_store
from tests.release.toy_store import release


def state(copied, asset, partition="tiny", **recipe):
    path = copied.folder(asset, partition) / "RECORD.json"
    record = json.loads(path.read_text())
    record["recipe"] |= recipe
    path.write_text(json.dumps(record))


def test_the_card_says_what_the_records_say(store, bundle):
    text = (bundle / "MODEL_CARD.md").read_text()
    assert text == (bundle / "README.md").read_text()
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["language"] == ["en"]
    assert header["pipeline_tag"] == "text-generation"
    assert "simulated annotator (a program, not people)" in text
    assert "No person judged its answers" in text
    assert "| wiki | corpus | CC-BY-SA-4.0 | attribution; share adaptations alike |" in text
    assert lineage.read(store.folder("bits_per_byte", "tiny")).record["fingerprint"][:12] in text
    assert "| wiki | **1.910** | 2.400 | 2.050 | 2.070 |" in text
    chain = lineage.walk(
        [lineage.read(folder) for folder in toy_store.inputs(store, list(toy_store.EVALUATIONS)).values()],
        lineage.store_lookup(store.root),
    )
    kilograms = sum(
        a.record["seconds"] / 3600 * a.record["energy"]["watts"] / 1000 * 1.1 * 0.385 for a in chain.artifacts
    )
    assert f"| {kilograms:.3g} |" in text


def test_what_the_table_of_sources_says_is_no_markup_in_card_or_lineage(copied, tmp_path, log):
    hostile = "\\`<img src=x onerror=alert(1)>\\` | ![a](http://evil.example/x.png) [a](http://evil.example) <b>x</b>"
    listed = [toy_store.source("wiki", "corpus", hostile) | {"uri": f"https://host.org/{hostile}"}]
    state(copied, "sources", "base", sources=listed)
    state(copied, "rlhf_v1/preferences", annotator=f"judge:{hostile}")
    release(copied, tmp_path / "out", log)
    for name in (bundles.CARD, bundles.LINEAGE_MARKDOWN):
        page = shown(bundles.without_header((tmp_path / "out" / name).read_text()))
        assert not {"img", "b"} & {tag for tag, _ in page.tags}
        links = [attributes for tag, attributes in page.tags if tag == "a"]
        assert links == ([(("href", "corpus/base.html"),)] if name == bundles.CARD else [])  # the card's own
        assert "![a](http://evil.example/x.png) [a](http://evil.example) <b>x</b>" in page.text


def test_the_card_links_the_report_of_every_snapshot_and_the_bundle_holds_it(copied, tmp_path, log):
    report = copied.folder("corpus_report", "2026-12")
    report.mkdir(parents=True)
    (report / "report.html").write_text("newer")
    copied.publish("corpus_report", "2026-12", {"decontaminated": ("decontaminated", "base")}, {},
                   {"documents_out": 1, "bytes_out": 900})  # fmt: skip
    inputs = toy_store.inputs(copied, list(toy_store.EVALUATIONS)) | {"corpus_report/2026-12": report}
    out = tmp_path / "out"
    out.mkdir()
    export.run(toy_store.RECIPE, inputs, out, log)
    text = bundles.read(out).card
    links = re.findall(r"\[(snapshot [^]]+)\]\(([^)]+)\) \(([^)]+)\)", text)
    assert links == [
        ("snapshot base", "corpus/base.html", "1,234 documents, 5.6 MB"),
        ("snapshot 2026-12", "corpus/2026-12.html", "1 document, 0.9 kB"),
    ]
    for snapshot, (_, target, _) in zip(("base", "2026-12"), links, strict=True):
        made = copied.folder("corpus_report", snapshot) / "report.html"
        assert (out / target).read_bytes() == made.read_bytes()
    listed = json.loads((out / "LINEAGE.json").read_text())["files"]
    assert listed["corpus/2026-12.html"]["from"] == "2026-12/corpus_report"


def test_votes_beside_the_labels_of_a_program_are_said(copied, tmp_path, log):
    state(copied, "ratings", votes=20)
    release(copied, tmp_path / "out", log)
    text = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "simulated annotator (a program" in text and "Ratings that people gave in the chat went into it" in text
    assert "No person judged its answers" not in text and "No data of users" not in text


def test_people_who_labelled_are_not_called_a_program(copied, tmp_path, log):
    state(copied, "rlhf_v1/preferences", annotator="people")
    release(copied, tmp_path / "out", log)
    text = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "simulated annotator (a program" not in text
    assert "No person judged its answers" not in text
    assert "Ratings that people gave in the chat went into it" in text


@pytest.mark.parametrize("name, told", [
    ("judge:Llama-70B", "the judge model Llama-70B (a program, not people)"),
    ("public", "a public preference set"),
])  # fmt: skip
def test_a_card_discloses_whoever_labelled_and_was_no_person(copied, tmp_path, log, name, told):
    state(copied, "rlhf_v1/preferences", annotator=name)
    release(copied, tmp_path / "out", log)
    text = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert f"Preferences were given by {told}." in text
    assert "**No person judged its answers.** The preferences of rlhf_v1/preferences were given by " + told in text
