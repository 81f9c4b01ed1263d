"""Open preference pairs as rows of a round, and their place in the mix of a reward model."""

import pyarrow.parquet as pq
import pytest

from modeling.rlhf import open_preferences, pairs
from modeling.rlhf.preferences import SCHEMA
from modeling.rlhf.recipes import OpenPreferencesRecipe
from tests.modeling import toy_sources
from tests.modeling.dialogues.test_everyday import add

LONG = "By hand. " * 40


@pytest.fixture
def inputs(tmp_path):
    sources = toy_sources.build(tmp_path / "sources")
    rows = [{"prompt": f"How do I oil a {thing}?", "chosen": f"Oil the {thing} with a cloth.", "rejected": "Why?"}
            for thing in toy_sources.THINGS]  # fmt: skip
    rows += [{"prompt": "How do I wash a sail?", "chosen": LONG, "rejected": "Why?"},
             {"prompt": "How do I murder a weed?", "chosen": "Pull it out.", "rejected": "Why?"}]  # fmt: skip
    add(sources["dialogues"], "mine", "preferences", rows)
    return {role: sources[role] for role in ("dialogues", "adversarial_prompts")}


def test_each_pair_is_a_training_row_or_left_out_with_a_reason(inputs, tmp_path, log):
    metrics = open_preferences.run(OpenPreferencesRecipe(pairs=5, max_answer_words=50), inputs, tmp_path, log)
    table = pq.read_table(tmp_path / "pairs.parquet")
    rows = table.to_pylist()
    assert table.schema.equals(SCHEMA) and len(rows) == metrics["pairs"] == 5
    assert metrics["left_out_long_answer"] >= 1 and metrics["left_out_names_a_harm"] >= 1
    assert metrics["left_out_more_than_wanted"] > 0
    assert {(row["kind"], row["split"], row["round"], row["annotator"]) for row in rows} == {
        ("helpfulness", "train", 0, pairs.OPEN)
    }
    assert {(row["chosen_safe"], row["rejected_safe"]) for row in rows} == {(None, None)}  # others did not label them
    assert len({row["id"] for row in rows}) == 5 and all(row["messages"][-1]["role"] == "user" for row in rows)
    assert "**Chosen**" in (tmp_path / "examples.md").read_text()


def test_none_are_wanted(inputs, tmp_path, log):
    assert (
        open_preferences.run(OpenPreferencesRecipe(pairs=0, max_answer_words=50), inputs, tmp_path, log)["pairs"] == 0
    )
    assert pq.read_table(tmp_path / "pairs.parquet").num_rows == 0


def test_open_pairs_are_read_as_round_0_and_fill_up_the_mix_of_both_models(inputs, tmp_path, log):
    open_preferences.run(OpenPreferencesRecipe(pairs=8, max_answer_words=50), inputs, tmp_path, log)
    rows = pairs.read_pairs({"preferences_0": tmp_path})
    own = [
        rows[0] | {"id": f"{kind}{n}", "kind": kind, "annotator": "simulated"} for kind in pairs.KINDS for n in range(4)
    ]
    for kind in pairs.KINDS:
        mixed = pairs.mix([*rows, *own], kind, 0.5, seed=1)
        mine = [row for row in mixed if row["annotator"] == "simulated" and row["kind"] == kind]
        others = [row for row in mixed if row not in mine]
        assert len(mine) == len(others) == 4 and any(row["annotator"] == pairs.OPEN for row in others)
