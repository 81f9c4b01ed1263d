"""What hashes have decided stays decided: these figures were written down before the helpers became one."""

import ast

import pytest

from modeling.core import hashing, resumable_generation
from modeling.core.recipes import TokensRecipe
from modeling.dialogues import judge_labels, splits
from modeling.pretraining import tokenizer, tokens
from modeling.rlhf import annotator
from tests.conftest import ROOT


def test_seeds_and_orders_are_the_recorded_ones():
    assert hashing.mix(1, "rollout", 2) == 9035907410035258234
    assert hashing.unit_hash("preference split", "the moon") == 0.989309227903461
    assert hashing.number("Which colour?") == 17463665671360981728
    assert hashing.digest("7:0:doc:1").hex() == "5e9ef3919183a114"
    rows = [{"id": str(number), "kind": "helpfulness"} for number in range(40)]
    chosen = resumable_generation.select(rows, 5, 0.0, 1)
    assert {row["id"] for row in chosen} == set(
        sorted(map(str, range(40)), key=lambda i: hashing.unit_hash("order", i))[:5]
    )


def test_splits_are_the_recorded_ones():
    assert splits.unit("the moon", "part") == 0.04141563934856472
    assert splits.unit("naïve\n“x”") == 0.3492848504252474
    parts = [splits.part_of(f"e{number}", splits.ADVERSARIAL)[0] for number in range(20)]
    assert "".join(parts) == "drrrtrrdrrrrtdtdtdtd"
    assert splits.part_of("the moon", splits.KNOWLEDGE) == splits.DEMONSTRATIONS
    reserved = [judge_labels.reserved(f"Objective, number {number}!") for number in range(12)]
    assert [number for number, one in enumerate(reserved) if one] == [0, 3, 4, 5, 6, 11]
    assert judge_labels.group("Hello, World!") == 585790


def test_what_a_document_gets_is_recorded():
    seen = [tokenizer.copies(f"doc:{number}", 0.5, "3:") for number in range(20)]
    assert seen == [1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1]
    recipe = TokensRecipe(seed=3, shard_tokens=1, title_share=0.5)
    rows = [{"id": f"doc:{number}", "title": "T", "text": "x"} for number in range(20)]
    titled = [number for number, row in enumerate(rows) if tokens.training_text(row, recipe) != "x"]
    assert titled == [1, 3, 5, 12, 13, 14, 15, 19]


def test_the_taste_of_the_simulated_annotator_is_recorded():
    assert annotator.rater_noise("prompt-1", "A river.") == pytest.approx(1.980363873810948, abs=1e-12)


def test_no_other_file_of_modeling_makes_its_own():
    for path in (ROOT / "modeling").rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert path.name == "hashing.py" or "blake2b" not in names, path
