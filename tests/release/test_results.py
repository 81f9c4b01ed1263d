import re
import shutil

import pytest

from release import figures, lineage, results
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


def section(text, title):
    """From a bold title to the next one."""
    return text.split(f"**{title}")[1].split("\n\n**")[0]


def test_every_number_is_that_of_its_record(store):
    text = results.render(store.root, "tiny")["results"]
    # 900 bytes at 1.91 and 100 at 1.5.
    assert cells(text.split("**Benchmarks")[0], "**all**")[1] == "**1.869**"
    assert cells(text, "boolq")[1:] == ["100", "0", "50.0 %", "49.0 % (39–59)", "55.0 % (45–64)", "**65.0 % (55–74)**"]
    assert "Below every compressor on 1 of 2 sources" in text
    rows = lineage.read(store.folder("win_rates", "tiny")).record["metrics"]["rows"]
    wanted = next(r for r in rows if (r["version"], r["axis"], r["judge"]) == ("chat", "safety", "independent judge"))
    chat = [line for line in text.split("**Win rates")[1].splitlines() if line.startswith("| chat |")][0]
    assert chat.split("|")[5].strip() == (
        f"{100 * wanted['win_rate']:.1f} % ({100 * wanted['low']:.0f}–{100 * wanted['high']:.0f})"
    )
    curve = lineage.read(store.folder("rlhf_v1/rejection_samples", "tiny")).record["metrics"]["best_of_n"]
    assert cells(text, "max")[1:] == [f"{curve[n - 1]['max']:.3f}" for n in (1, 2, 4, 6)]
    assert cells(text, "safety model on safety pairs")[-1].count("%") == 1
    assert "| 0.625 |" in text
    assert " ".join(text.split()).count("Answers at temperature 0.8, top-p 0.9.") == 2
    warm = [line.split(" | ") for line in text.split("by sampling temperature**")[1].split("**")[0].splitlines()]
    assert [row[1:] for row in warm if row[0] == "| SFT"] == [["–"] * 4 + ["25 %", "75 % |"]]
    first = lineage.read(store.folder("temperature_curve", "tiny")).record["metrics"]["rows"][0]
    assert [row[1][:6] for row in warm if row[0] == "| chat"] == [f"{100 * first['win_rate']:.1f} %"]
    by_turns = lineage.read(store.folder("safety_rates", "tiny")).record["metrics"]["by_turns"]
    multi = next(r for r in by_turns if (r["version"], r["what"], r["turns"]) == ("chat", "refusal", "multi-turn"))
    assert multi["prompts"] == 5 and "Prompts for refusals: 15 single-turn, 5 multi-turn" in text
    turns = text.split("**Refusal rates on single-turn and multi-turn")[1]
    assert figures.interval(multi, "rate") == cells(turns, "chat")[3]
    for name in ("bits_per_byte", "reward_report", "win_rates", "temperature_curve", "safety_rates"):
        assert lineage.read(store.folder(name, "tiny")).record["fingerprint"][:12] in text


def test_single_turn_prompts_alone_make_no_table_of_turns(copied):
    artifact = lineage.read(copied.folder("safety_rates", "tiny"))
    first = [row for row in artifact.record["metrics"]["by_turns"] if row["turns"] == "single-turn"]
    artifact.record["metrics"]["by_turns"] = first
    assert [section.title for section in figures.sections({"safety_rates": artifact})] == [
        "Violation and refusal rates"
    ]


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
    """Each cell of the summary stands in the long tables too, where its row belongs."""
    texts = results.render(store.root, "tiny")
    short, text = texts["summary"], texts["results"]
    assert cells(short, "Bits per byte on held-out text: base model, xz, PPMd order 6")[1].startswith("**1.869**, ")
    accuracy = cells(short, "Safety reward model, accuracy on held-out pairs: all, 'significantly better'")[1]
    row = cells(text, "safety model on safety pairs")
    assert accuracy == f"**{row[-1]}**, {row[1]}"
    row = cells(section(text, "Win rates against"), "chat")
    assert cells(short, "chat against SFT, helpfulness win rate: independent judge, reward models")[1] == (
        f"**{row[2]}**, {row[1]}"
    )
    assert cells(short, "chat against SFT, harmlessness win rate: independent judge, reward models")[1] == (
        f"**{row[4]}**, {row[3]}"
    )
    table = section(text, "Violation and refusal rates")
    sft, chat = cells(table, "SFT"), cells(table, "chat")
    for name, column in (("Refusal rate on adversarial prompts", 3), ("False refusal rate on harmless prompts", 5)):
        assert cells(table, "Version")[column] == f"{name.split(' rate')[0].lower()} rate, independent judge"
        shown = cells(short, f"{name}, SFT → chat: independent judge")[1]
        assert shown == f"{sft[column]} → **{chat[column]}**"
    assert cells(short, "Time of all stages")[1] == cells(section(text, "Time"), "**all**")[1]


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


def first_cells(text):
    return [line.split(" | ")[0].lower() for line in text.splitlines()]


@pytest.mark.parametrize(("scale", "page"), [("laptop", "README.md"), ("adopted", "docs/results.md")])
def test_the_pages_hold_the_tables_in_the_words_of_today(store, scale, page):
    """Names of rows, titles and heads; their numbers are those of another store."""
    texts = results.render(store.root, "tiny")
    assert first_cells(between(page, f"summary:{scale}")) == first_cells(texts["summary"])
    shown = between("docs/results.md", f"results:{scale}")
    titles = re.compile(r"^\*\*([A-Z][^(*]*)", re.MULTILINE)
    by_turns = {"Refusal rates on single-turn and multi-turn prompts"} if scale == "laptop" else set()
    assert set(titles.findall(shown)) == set(titles.findall(texts["results"])) - by_turns
    heads = re.compile(r"^(\|.*)\n\|---", re.MULTILINE)
    sampled = [
        head for head in heads.findall(shown) if "T = " not in head and "N = " not in head
    ]  # these are the recipe's
    assert len(sampled) >= 6 and set(sampled) <= set(heads.findall(texts["results"]))
