"""The page shows whatever documents hold as text, loads nothing, and is the same however the corpus is cut."""

import json
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_cleaning.report import page_parts, stage
from data_cleaning.retractions import keys_of
from data_cleaning.retractions import listed as retracted
from tests.data_cleaning.report import steps
from tests.data_cleaning.samples import contents, licences, manual, table
from tests.shown import Shown

HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(2)> \" onmouseover='x' </details></body> &lt;b&gt; [x](javascript:1) "
    "# **md** `code` | cell | \x00\x1b[31m \u202egnp.exe\u202c \u2066\u200f\u2028 write to jane@example.org {{ 7 }} ${x}"
)


def hostile_documents() -> pa.Table:
    """Real texts, and hostile ones in every place that the page quotes: ids, sources, languages, texts."""
    good = table([*manual()[:30], *licences()[:10]], source="manual", profile="curated")
    bad = table([f"{HOSTILE} {number}" for number in range(8)], source="<b>evil</b>", profile="web")
    short = table([f"<i>{number}</i> short" for number in range(3)], source="short|`x`", profile="dialogue")
    foreign = table([HOSTILE], source="foreign", profile="web", lang="<u>xx")
    whole = pa.concat_tables([good, bad, short, foreign])
    ids = [f"{name}</span><script>" if "evil" in name else name for name in whole["id"].to_pylist()]
    scores = pa.array([0.3 if number % 11 == 10 else 0.9 for number in range(whole.num_rows)], pa.float32())
    whole = whole.set_column(whole.schema.get_field_index("id"), "id", pa.array(ids))
    return whole.set_column(whole.schema.get_field_index("lang_score"), "lang_score", scores)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of the report, its page) of a hostile corpus, with a hostile quarantine."""
    folder = tmp_path_factory.mktemp("hostile")
    inputs = steps.made(folder / "steps", hostile_documents(), 1000)
    entry = {"source": "s", "file": "<a>.html", "offset": 1, "error": f"{HOSTILE}: no", "bytes": 3, "foreign": False}
    (inputs["documents"] / "quarantine.jsonl").write_text(json.dumps(entry) + "\n")
    out = folder / "out"
    out.mkdir()
    stage.run(steps.recipe(licenses=(("manual", "PSF <script>"),)), inputs, out, steps.MemoryLog())
    return out, (out / stage.PAGE).read_text(encoding="utf-8")


def elements_of(page):
    return [(tag, attributes) for tag, attributes in Shown(page).tags if tag != "comment"]


def test_nothing_that_documents_hold_becomes_markup(made):
    page, elements = Shown(made[1]), elements_of(made[1])
    assert [content for tag, content in page.tags if tag == "comment"] == ["DOCTYPE html"]
    names = {tag for tag, _ in elements}
    assert not names & {"script", "u", "iframe", "object", "link", "base", "form"}
    assert names >= {"table", "figure", "details", "bdi"}
    for tag, attributes in elements:
        for name, value in attributes:
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href"):
                assert value.startswith("data:image/png;base64," if tag == "img" else "#"), (tag, value[:80])
    bars = [place for place, (_, attributes) in enumerate(elements) if ("class", "bar") in attributes]
    assert [tag for tag, _ in elements].count("i") == [tag for tag, _ in elements].count("b") == len(bars) > 0
    assert "<script>alert(1)</script> <img src=x onerror=alert(2)>" in page.text
    assert "evil</b>" in page.text and "<u>xx" in page.text and "PSF <script>" in page.text and "<a>.html" in page.text
    assert "[U+202E]gnp.exe[U+202C]" in page.text
    assert not page_parts.INVISIBLE.search(page.text.replace("\n", ""))
    assert "jane@example.org" not in made[1] and "|||EMAIL_ADDRESS|||" in page.text


def test_the_markdown_holds_no_markup_of_documents_either(made):
    text = (made[0] / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in text and "<b>" not in text and "jane@example.org" not in text


def test_every_element_is_closed_and_every_link_leads_within_the_page(made):
    elements = elements_of(made[1])
    anchors = {value for _, attributes in elements for name, value in attributes if name == "id"}
    links = [value for _, attributes in elements for name, value in attributes if name == "href"]
    assert len(links) == 8 and {link.removeprefix("#") for link in links} == anchors
    for tag in ("table", "details", "section", "ul", "li", "bdi", "p", "figure", "div", "span", "h2", "h3"):
        assert len(re.findall(rf"<{tag}[ >]", made[1])) == made[1].count(f"</{tag}>"), tag


def test_the_page_states_a_policy_that_loads_nothing_and_fits_a_phone(made):
    head = made[1].split("</head>")[0]
    assert "default-src 'none'" in head and "width=device-width" in head and 'charset="utf-8"' in head
    assert "prefers-color-scheme: dark" in head and "@import" not in head and "url(" not in head


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_shown_as_it_is(text):
    page = Shown(page_parts.quoted(text))
    assert [tag for tag, _ in page.tags] == ["bdi"]
    restored = re.sub(r"\[U\+([0-9A-F]{4,6})\]", lambda code: chr(int(code[1], 16)), page.text)
    assert restored == re.sub(r"\[U\+([0-9A-F]{4,6})\]", lambda code: chr(int(code[1], 16)), text)


def test_the_report_is_the_same_however_the_corpus_is_cut(tmp_path):
    documents = hostile_documents()
    reports = {}
    for rows in (1000, 9):
        out = tmp_path / f"out-{rows}"
        out.mkdir()
        stage.run(steps.recipe(), steps.made(tmp_path / f"steps-{rows}", documents, rows), out, steps.MemoryLog())
        reports[rows] = contents(out)
    assert reports[1000].keys() == reports[9].keys() == {
        "report.json", "report.md", "report.html", "plots/flow.png", "plots/toxicity.png"
    }  # fmt: skip
    assert reports[1000] == reports[9]
    beside = [step["thresholds"] for step in json.loads(reports[9]["report.json"])["steps"]]
    both = [any(one["dropped"] and one["kept"] for one in step) for step in beside]
    assert both == [False, True, True, False, False, True], "language, quality and contamination have both sides"


def test_a_report_that_was_killed_measures_only_the_shards_that_are_left(tmp_path):
    inputs = steps.made(tmp_path / "steps", hostile_documents(), 9)
    whole, again = tmp_path / "whole", tmp_path / "again"
    for out in (whole, again):
        out.mkdir()
        stage.run(steps.recipe(), inputs, out, steps.MemoryLog())
    marks = sorted((again / "_scratch" / "steps").iterdir())
    assert len(marks) > 2
    for path in (*marks[1:], again / "report.json", again / stage.PAGE):
        path.unlink()
    log = steps.MemoryLog()
    stage.run(steps.recipe(), inputs, again, log)
    assert f"1 of {len(marks)} shards were finished before, continuing with the others" in log.lines
    assert contents(again) == contents(whole)


def test_what_a_person_retracted_is_not_quoted_and_neither_is_its_copy(tmp_path, monkeypatch):
    texts = [f"Secret number {number} of a person." for number in range(4)] + ["Secret number 0 of a person!"]
    short = table(texts, source="notes", profile="curated")
    documents = pa.concat_tables([table(manual()[:20], profile="curated"), short])
    listed = tmp_path / "retractions.toml"
    listed.write_text('[[retraction]]\nid = "notes:0"\n\n[[retraction]]\ntext = "number 2"\n')
    monkeypatch.setenv("CRIA_RETRACTIONS", str(listed))
    inputs = steps.made(tmp_path / "steps", documents, 7)
    quoted = {}
    for name, retractions in (("all", ()), ("spared", keys_of(retracted()))):
        out = tmp_path / name
        out.mkdir()
        recipe = steps.recipe(samples_per_reason=9, samples_per_side=9, retractions=retractions)
        stage.run(recipe, inputs, out, steps.MemoryLog())
        quoted[name] = {number for number in range(4) if f"Secret number {number}" in (out / stage.PAGE).read_text()}
        counted = json.loads((out / "report.json").read_text())["steps"][2]["dropped"]["too_few_words"]
        assert counted["documents"] >= 5, "it is counted all the same"
    assert quoted == {"all": {0, 1, 2, 3}, "spared": {1, 3}}
