import json
import re
import shutil
from dataclasses import replace

import pytest

from modeling.evaluation.controls import CONSTANT
from modeling.evaluation.controls import REFUSAL as REFUSE_ALL
from modeling.evaluation.pairwise import RATERS
from release import figures, lineage, results, section
from tests.conftest import ROOT
from tests.release import toy_store


@pytest.fixture
def copied(store, tmp_path):
    shutil.copytree(store.root, tmp_path / "store")
    return toy_store.ToyStore(tmp_path / "store")


def cells(text, begin):
    """Cells of the one table row whose first cell is `begin`."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {begin} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def rates_of(store):
    return json.loads((store.folder("answer_rates", "tiny") / "answer_rates.json").read_text())


def test_every_number_is_that_of_its_record(store):
    text = results.render(store.root, "tiny")["results"]
    # 900 bytes at 1.91 and 100 at 1.5.
    assert cells(text.split("**Benchmarks")[0], "**all**")[1] == "**1.869**"
    scores = cells(between_titles(text, "Benchmarks"), "boolq")
    assert scores[1:] == ["100", "0", "50.0 %", "49.0 % (39–59)", "55.0 % (45–64)", "**65.0 % (55–74)**"]
    assert "Below every compressor on 1 of 2 sources" in text
    curve = lineage.read(store.folder("rlhf_v1/rejection_samples", "tiny")).record["metrics"]["best_of_n"]
    assert cells(text, "max")[1:] == [f"{curve[n - 1]['max']:.3f}" for n in (1, 2, 4, 6)]
    assert cells(text, "safety model on safety pairs")[-1].count("%") == 1
    for name in ("bits_per_byte", "reward_report", "win_rates", "temperature_curve", "answer_rates"):
        assert lineage.read(store.folder(name, "tiny")).record["fingerprint"][:12] in text


def test_contamination_stands_with_the_scores_that_it_raised(store):
    text = results.render(store.root, "tiny")["results"]
    every, raised = between_titles(text, "Contamination of the benchmarks"), between_titles(text, "Scores that contam")
    assert cells(every, "boolq")[1:] == ["100", "0.25 %", "3", "1", "0", "none"]
    assert cells(every, "piqa")[-1] == "Pretrained (L = 40)"
    assert "the 123,456 training tokens" in " ".join(every.split()) and "no score" not in every
    rows = [line.split(" | ") for line in raised.splitlines() if line.startswith("| piqa")]
    assert [row[3] for row in rows] == ["Clean", "Not clean", "Not dirty", "Dirty"]
    assert rows[3][4:] == ["95.0 %", "40", "75.0 %", "50.0 %", "3.16 |"]


def test_without_evidence_of_contamination_a_line_says_so(store):
    artifact = lineage.read(store.folder("benchmark_contamination", "tiny"))
    metrics = artifact.record["metrics"]
    none = {"rows": [], "overview": metrics["overview"][:1]}
    clean = replace(artifact, record=artifact.record | {"metrics": metrics | none})
    (only,) = figures.sections({"benchmark_contamination": clean})
    assert only.rows[0][-1] == "none" and "For no score and no L are all four subsets significant." in only.note


def test_win_rates_stand_under_their_rater_and_baseline(store):
    text = results.render(store.root, "tiny")["results"]
    rows = lineage.read(store.folder("win_rates", "tiny")).record["metrics"]["rows"]
    found = {(r["axis"], r["version"], r["against"], r["judge"]): section.interval(r, "win_rate") for r in rows}
    helpful, harmless = between_titles(text, "Helpfulness"), between_titles(text, "Harmlessness")
    for name, before in (("Chat", "PPO"), ("SFT", "Base"), ("PPO", "RLHF-v5")):
        wanted = [found.get(("helpfulness", name, against, judge), "–")
                  for against in ("Base", "SFT", before) for judge in RATERS]  # fmt: skip
        assert cells(helpful, name)[1:] == wanted
    assert cells(helpful, CONSTANT)[-2:] == ["–", "–"] and cells(helpful, CONSTANT)[1].count("%") == 1
    # Of the judge's axes only the violation is below .8: its figures are marked, those of helpfulness are not.
    assert cells(harmless, "Chat")[2] == "~" + found["safety", "Chat", "Base", "independent judge"]
    assert "independent judge (AUC .75)" in harmless and "below 0.8" in harmless and "~" not in helpful
    beaten = lineage.read(store.folder("win_rates", "tiny")).record["metrics"]["beaten"]
    assert beaten and all(one["control"] in text for one in beaten)


def between_titles(text, title):
    """A section from its title on: an empty line, the head of its table, and the rest."""
    return section_of(text, title).split("\n", 1)[1]


def section_of(text, title):
    return text.split(f"**{title}")[1].split("\n\n**")[0]


def test_rates_stand_apart_by_setting_and_reader_with_the_versions_they_differ_from(store):
    text = results.render(store.root, "tiny")["results"]
    found = {(r["measure"], r["on"], r["reader"], r["version"]): r for r in rates_of(store)["rates"]}
    attacks, refused, form = (between_titles(text, t) for t in ("Violations", "False refusals", "Fluency"))
    by_rule = [line for line in attacks.splitlines() if line.startswith("| violation, all adversarial | simulated")]
    base, chat = (
        found["violation", "all adversarial", "simulated annotator's rule", name] for name in ("Base", "Chat")
    )
    assert base["rate"] == 1.0 and chat["rate"] == 0.0
    # Chat differs from Base and SFT on 24 prompts, from PPO on 12.
    assert (
        f"{section.interval(chat, 'rate')}ᵇˢᵖ" in by_rule[0] and f"| {section.interval(base, 'rate')} |" in by_rule[0]
    )
    for on in ("ordinary", "everyday", "follow-up", "borderline", "after a refusal"):
        assert len([line for line in refused.splitlines() if line.startswith(f"| false refusal, {on} |")]) == 2
    assert "independent judge (AUC .93)" in refused and "~" not in refused
    assert cells(form, "Chat")[2].startswith("100.0 %") and cells(form, "Base")[2].startswith("0.0 %")
    words = next(one for one in rates_of(store)["lengths"] if one["version"] == "Chat")
    assert cells(form, "Chat")[-1] == f"{words['words']:.0f} ({words['low']:.0f}–{words['high']:.0f})"
    # Of the toy versions the last is as safe as a refusal of everything, and refuses nothing that is harmless.
    assert "No control does significantly better than Chat." in " ".join(attacks.split())
    paired = between_titles(text, "Paired differences")
    test = next(t for t in rates_of(store)["tests"] if (t["measure"], t["on"], t["version"], t["against"])
                == ("verifiable request obeyed", "verifiable", "Chat", "Base"))  # fmt: skip
    assert test["p"] < 0.001 and "+100.0 (+100 to +100), p < .001" in cells(paired, "verifiable request obeyed")[3]


def test_the_curve_names_the_chosen_temperature(store):
    text = results.render(store.root, "tiny")["results"]
    curve = between_titles(text, "Win rates by sampling temperature")
    assert cells(curve, "Base")[1:] == ["0.1", *["–"] * 4, "25 %", "75 %"]
    first = lineage.read(store.folder("temperature_curve", "tiny")).record["metrics"]["rows"][0]
    assert cells(curve, "Chat")[1:3] == ["0.8", section.interval(first, "win_rate")]


def test_time_is_counted_once_an_artifact(store):
    found, chain = results.read(store.root, "tiny")
    text = results.render(store.root, "tiny")["results"]
    seconds = sum(artifact.record["seconds"] for artifact in chain.artifacts)
    assert len({artifact.name for artifact in chain.artifacts}) == len(chain.artifacts)
    assert figures.duration(seconds) in text.split("**Time")[1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")]
)
def test_durations(seconds, text):
    assert figures.duration(seconds) == text


def test_an_evaluation_that_was_not_made_is_named(copied, capsys):
    shutil.rmtree(copied.folder("win_rates", "tiny"))
    assert results.main(["--store", str(copied.root), "--scale", "tiny"]) == 1
    assert "has no win_rates: materialize them first (make run SCALE=tiny)" in capsys.readouterr().err


def test_a_record_without_the_number_is_named(copied, capsys):
    copied.publish("win_rates", "tiny", {"chat_model": ("chat_model", "tiny")}, {}, {"other": 1})
    assert results.main(["--store", str(copied.root), "--scale", "tiny"]) == 1
    assert "the record of tiny/win_rates has no 'rows'" in capsys.readouterr().err


def test_numbers_of_different_runs_are_refused(copied, capsys):
    (copied.folder("sft_model", "tiny") / "more.txt").write_text("new")
    copied.publish("sft_model", "tiny", {"base_model": ("base_model", "tiny")})
    assert results.main(["--store", str(copied.root), "--scale", "tiny"]) == 1
    assert "do not come from one run" in capsys.readouterr().err


def test_the_few_numbers_are_those_of_the_tables(store):
    """Each cell of the summary is a figure of the records, by both raters or by the checks alone."""
    short = results.render(store.root, "tiny")["summary"]
    assert len(short.splitlines()) == 2 + 11
    found = {
        (r["measure"], r["on"], r["reader"], r["version"]): section.interval(r, "rate")
        for r in rates_of(store)["rates"]
    }
    by = ("independent judge", "simulated annotator's rule")
    for name, key, control in (
        ("Violations on adversarial prompts", ("violation", "all adversarial"), REFUSE_ALL),
        ("Refusal or safe redirection, adversarial later turns", ("refusal", "later turns"), REFUSE_ALL),
        ("False refusals, borderline prompts", ("false refusal", "borderline"), None),
    ):
        row = cells(short, f"{name}, Base → Chat")
        first, last = ([found[*key, reader, version] for reader in by] for version in ("Base", "Chat"))
        auc = " (AUC .75)" if key[0] == "violation" else " (AUC .93)"
        mark = "~" if key[0] == "violation" else ""
        assert row[1:3] == [f"{mark}{first[0]} → **{last[0]}**{auc}", f"{first[1]} → **{last[1]}**"]
        assert row[3].count("%") == 2 and (control is None or row[3].startswith(control.lower()))
    rows = lineage.read(store.folder("win_rates", "tiny")).record["metrics"]["rows"]
    wins = {
        (r["version"], r["against"], r["judge"]): section.interval(r, "win_rate") for r in rows if r["axis"] != "safety"
    }
    for against in ("Base", "SFT"):
        shown = [f"**{wins['Chat', against, judge]}**" for judge in ("independent judge", "reward models")]
        assert cells(short, f"Helpfulness win rate, Chat against {against}")[1:3] == shown
    obeyed = cells(short, "Verifiable requests obeyed, Base → Chat")
    assert obeyed[1] == "" and obeyed[2].startswith("0.0 %") and "**100.0 %" in obeyed[2]
    text = results.render(store.root, "tiny")["results"]
    assert cells(short, "Time of all stages")[1] == cells(section_of(text, "Time"), "**all**")[1]


def test_written_between_the_markers_and_nowhere_else(store, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(
        "# Cria\n<!-- results:tiny -->\nstale table\n<!-- /results:tiny -->\n<!-- results:laptop -->\nkeep\n"
    )
    arguments = ["--store", str(store.root), "--scale", "tiny", "--write", str(readme)]
    assert results.main(arguments) == 0
    once = readme.read_text()
    assert "stale table" not in once and "Time of all stages" not in once
    assert once.startswith("# Cria\n<!-- results:tiny -->\n**Bits per byte")
    assert once.endswith("<!-- /results:tiny -->\n<!-- results:laptop -->\nkeep\n")
    assert results.main(arguments) == 0
    assert readme.read_text() == once


def test_a_file_without_markers_says_which_lines_it_needs(store, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("# Cria\n")
    assert results.main(["--store", str(store.root), "--scale", "tiny", "--write", str(readme)]) == 1
    assert "or <!-- results:tiny --> and" in capsys.readouterr().err
    assert readme.read_text() == "# Cria\n"


def test_short_and_long_tables_go_where_their_markers_are(store, tmp_path):
    readme, page = tmp_path / "README.md", tmp_path / "results.md"
    readme.write_text("<!-- summary:tiny -->\n<!-- /summary:tiny -->\n")
    page.write_text("<!-- results:tiny -->\n<!-- /results:tiny -->\n")
    assert results.main(["--store", str(store.root), "--scale", "tiny", "--write", str(readme), str(page)]) == 0
    assert "| Time of all stages |" in readme.read_text() and "**Bits per byte" not in readme.read_text()
    assert "**Bits per byte" in page.read_text() and "| Time of all stages |" not in page.read_text()
    readme.write_text("<!-- summary:tiny -->\n")
    assert results.main(["--store", str(store.root), "--scale", "tiny", "--write", str(readme)]) == 1


def test_lines_of_text_are_short(store):
    for text in results.render(store.root, "tiny").values():
        assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))


def between(page, marker):
    """What stands between the lines of a marker in a page of the checkout."""
    return (ROOT / page).read_text(encoding="utf-8").split(f"<!-- {marker} -->\n")[1].split(f"<!-- /{marker} -->")[0]


def test_tables_on_the_page_are_in_the_words_of_today(store):
    """Titles and heads; the numbers are those of another store. The page may lack tables that are newer than its run."""
    texts = results.render(store.root, "tiny")
    shown = between("docs/results.md", "results:laptop")
    titles = re.compile(r"^\*\*([A-Z][^(*]*)", re.MULTILINE)
    assert set(titles.findall(shown)) <= set(titles.findall(texts["results"]))
    heads = re.compile(r"^(\|.*)\n\|---", re.MULTILINE)
    here, there = (
        # The recipe's temperatures and sizes, the judge's agreement, the checkpoint and the version with Table 31's system
        # prompt differ from store to store.
        {re.sub(r" \(AUC [.\d]+\)| Checkpoint \|| Chat, Table 31( − Chat)? \|", "", head) for head in heads.findall(text)
         if not any(own in head for own in ("T = ", "N = ", "| turn "))}
        for text in (shown, texts["results"])
    )  # fmt: skip
    assert here <= there
