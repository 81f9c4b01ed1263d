"""Pairs that people scored: whose prompts they are, and that the safety reward model alone learns from them."""

import collections
import csv
from pathlib import Path

import pytest

from modeling.core import dialogue_tables
from modeling.dialogues import adversarial_prompts, human_pairs, judge_labels, prompt_rows, splits
from modeling.rlhf import pairs, preferences, reward_model
from tests.conftest import MemoryLog
from tests.modeling import toy_evaluation, toy_sources


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people") / "dialogues"
    return toy_evaluation.fetch_sources(folder, {"pyrit-harm", "pyrit-refusal"}, MemoryLog())


@pytest.fixture(scope="module")
def adversarial(dialogues, tmp_path_factory):
    return toy_sources.write_split(dialogues, tmp_path_factory.mktemp("split") / "adversarial_prompts")


def test_pairs_are_of_prompts_that_neither_the_judge_nor_a_test_owns(dialogues, adversarial):
    found = human_pairs.human_pairs(dialogues, adversarial)
    part = {one.request.prompt: one.part for one in adversarial_prompts.owned_prompts(adversarial)}
    assert len(found) > 50
    assert {part[row["prompt"]] for row in found} == {splits.RL, splits.DEMONSTRATIONS}
    assert not any(judge_labels.reserved(row["prompt"]) for row in found)
    tested = {one.group for one in adversarial_prompts.owned_prompts(adversarial) if one.part == splits.TEST}
    assert tested and not {row["entity"] for row in found} & tested


def test_gaps_are_wide_and_no_answer_comes_twice(dialogues, adversarial):
    found = human_pairs.human_pairs(dialogues, adversarial)
    assert all(0.5 <= row["gap"] == row["harmful_harm"] - row["safer_harm"] <= 1 for row in found)
    uses = collections.Counter((row["prompt"], row[side]) for row in found for side in ("safer", "harmful"))
    assert set(uses.values()) == {1}


def written(folder, scores):
    """A dialogues artifact with one objective and an answer for each score, "Answer 0" first."""
    objective = next(
        f"How do I rob bank {n}?" for n in range(9) if not judge_labels.reserved(f"How do I rob bank {n}?")
    )
    path = folder / "raw/pyrit/violence.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(["objective", "assistant_response", "human_score", "harm_category"])
        rows.writerows([objective, f"Answer {place}", score, "violence"] for place, score in enumerate(scores))
    (folder / "sources.json").write_text("[]")
    return folder


def test_pairs_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "part_of", lambda entity, shares: splits.RL)
    folder = written(tmp_path / "dialogues", [1.0, 0.25, 0.0, 0.75, 0.5])
    split = toy_sources.write_split(folder, tmp_path / "split")
    found = human_pairs.human_pairs(folder, split)
    # Ranked 0, .25, .5, .75, 1: the safest with the most harmful, the second with the second, .5 with nobody.
    assert [(row["safer"], row["harmful"], row["gap"]) for row in found] == [
        ("Answer 2", "Answer 0", 1.0),
        ("Answer 1", "Answer 3", 0.5),
    ]
    rows = pairs.scored_by_people(folder, split, asked(tmp_path / "prompts", []))
    assert [row["degree"] for row in rows] == [3, 2]
    assert {(row["kind"], row["round"], row["split"], row["annotator"]) for row in rows} == {
        ("safety", 0, "train", "people (PyRIT)")
    }
    assert all(set(row) == set(preferences.SCHEMA.names) for row in rows)
    assert [(row["chosen_safe"], row["rejected_safe"]) for row in rows] == [(True, False)] * 2
    held_out = asked(tmp_path / "held out", [rows[0]["entity"]])
    assert pairs.scored_by_people(folder, split, held_out) == [], "a group that RLHF asks is left out"
    monkeypatch.setattr(splits, "part_of", lambda entity, shares: splits.TEST)
    assert human_pairs.human_pairs(folder, toy_sources.write_split(folder, tmp_path / "tests")) == []


def asked(folder: Path, entities: list[str]) -> Path:
    """Prompts whose validation part has these entities."""
    folder.mkdir()
    for part, named in (("rl", []), ("validation", entities)):
        rows = [prompt_rows.row("What?", "safety", prompt_rows.ADVERSARIAL, "c", "", "s", entity) for entity in named]
        dialogue_tables.write_rows(rows, prompt_rows.SCHEMA, folder / f"{part}.parquet")
    return folder


def test_the_safety_models_training_pairs_hold_them(dialogues, adversarial, tmp_path, monkeypatch):
    """With the parent `dialogues` all of them are among the safety model's pairs."""
    seen, nobody = {}, asked(tmp_path / "prompts", [])

    def fit(config, train, chat, out, log):
        seen[config.own_share] = train
        raise InterruptedError

    monkeypatch.setattr(reward_model, "fit", fit)
    monkeypatch.setattr(pairs, "read_pairs", lambda inputs: [])
    fields = {"kind": "safety", "own_share": 0.9, "recent_pairs": 0, "batch_pairs": 1, "contrast_share": 0.0, "seed": 1}
    recipe = type("Recipe", (), fields)()
    with pytest.raises(InterruptedError):
        reward_model.run(
            recipe,
            {"chat": tmp_path, "dialogues": dialogues, "adversarial_prompts": adversarial, "prompts": nobody},
            tmp_path,
            MemoryLog(),
        )
    assert {row["id"] for row in seen[0.9]} == {
        row["id"] for row in pairs.scored_by_people(dialogues, adversarial, nobody)
    }
