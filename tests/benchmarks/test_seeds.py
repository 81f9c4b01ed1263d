"""Several seeds of one run: stores in hard links, and the table of what the figures spread to."""

import os

import pytest

from benchmarks import seeds
from data_cleaning.files import write_json
from modeling.evaluation.measures import JUDGE
from modeling.evaluation.versions import BASE, CHAT, SFT

SAFE = "Violations on adversarial prompts"


def figures(base: float, sft: float, chat: float) -> seeds.Figures:
    return {(SAFE, JUDGE, BASE): base, (SAFE, JUDGE, SFT): sft, (SAFE, JUDGE, CHAT): chat}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIA_STORE", str(tmp_path))
    for folder in ("shared/dialogues", "tiny/sft_model", "other/sft_model", "releases/tiny"):
        (tmp_path / folder).mkdir(parents=True)
        write_json(tmp_path / folder / "RECORD.json", {})
    return tmp_path


def test_a_store_of_a_seed_begins_with_hard_links_and_the_first_store_stays_as_it_is(finished):
    own = seeds.begin("tiny", 2)
    assert own != finished and os.path.samefile(
        own / "tiny/sft_model/RECORD.json", finished / "tiny/sft_model/RECORD.json"
    )
    assert (own / "shared/dialogues").is_dir()
    assert not (own / "other").exists() and not (own / "releases").exists()
    write_json(own / "tiny/sft_model/RECORD.json", {"changed": True})
    assert (finished / "tiny/sft_model/RECORD.json").read_text().strip() == "{}"
    assert seeds.begin("tiny", 2) == own and "changed" in (own / "tiny/sft_model/RECORD.json").read_text()
    assert seeds.begin("tiny", 0) == finished


def test_a_copy_that_was_killed_is_made_again(finished):
    (finished / "seeds/tiny/1/.store/tiny").mkdir(parents=True)
    assert (seeds.begin("tiny", 1) / "tiny/sft_model/RECORD.json").exists()


def test_the_table_shows_each_seed_the_mean_and_whether_chat_differs_from_sft():
    runs = {0: figures(0.3, 0.10, 0.02), 1: figures(0.3, 0.12, 0.04), 2: figures(0.3, 0.11, 0.03)}
    (row,) = seeds.rows(runs)
    assert row[0] == f"{SAFE}, {JUDGE}" and row[1] == "30.0" and row[3] == "2.0, 4.0, 3.0"
    assert row[4] == "3.0 (0.5 to 5.5)"  # Student's t of two degrees of freedom: 4.303 × 1 / √3
    assert row[5] == "-8.0 (-8.0 to -8.0): differs"
    (row,) = seeds.rows({0: figures(0.3, 0.1, 0.1), 1: figures(0.3, 0.1, 0.2), 2: figures(0.3, 0.1, 0.0)})
    assert row[5].endswith(": may be chance")
    (row,) = seeds.rows({0: figures(0.3, 0.1, 0.1)})
    assert row[5] == "+0.0: one seed, so no interval"


def test_figures_come_back_from_their_record(finished):
    one, two = figures(0.3, 0.1, 0.02), figures(0.3, 0.2, 0.05)
    seeds.record("tiny", 1, two)
    seeds.record("tiny", 0, one)
    assert seeds.recorded("tiny") == {0: one, 1: two}
    assert "seeds 0, 1 |" in seeds.render(seeds.recorded("tiny"))


def test_a_store_without_a_finished_run_says_which_command_makes_it(finished, capsys):
    assert seeds.main(["tiny", "--page", str(finished / "page.md")]) == 1
    assert "make run SCALE=tiny" in capsys.readouterr().err
