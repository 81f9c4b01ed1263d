import random

import pyarrow.parquet as pq
import pytest

from modeling.core import dialogue_tables
from modeling.evaluation import reward_report
from modeling.rlhf import pairs
from modeling.rlhf.preferences import SCHEMA
from tests.modeling import toy_rlhf
from tests.modeling.rlhf import test_reward_model
from tests.modeling.toy_evaluation import RECIPE


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The helpfulness model likes "blue" and the safety model "green", as the pairs of either kind do."""
    folder = tmp_path_factory.mktemp("world")
    world = toy_rlhf.build(folder, prompts=4)
    found = {}
    rng = random.Random(2)
    for number in (1, 2):
        rows = [test_reward_model.make_pair(i, rng, kind, number) for kind in pairs.KINDS for i in range(40)]
        found[f"preferences_{number}"] = folder / f"preferences_{number}"
        found[f"preferences_{number}"].mkdir()
        dialogue_tables.write_rows(rows, SCHEMA, found[f"preferences_{number}"] / "pairs.parquet")
        for kind in pairs.KINDS:
            found[f"{kind}_reward_model_{number}"] = world[f"{kind}_reward_model"]
    return found


def test_each_model_is_right_on_its_own_kind_alone(inputs, tmp_path, log):
    metrics = reward_report.run(RECIPE, inputs, tmp_path, log)
    assert metrics["pairs_test"] == 40
    assert metrics["helpfulness_model_on_helpfulness"] == metrics["safety_model_on_safety"] == 1.0
    # Neither word is in the other kind's pairs: scores are equal, which counts half.
    assert (
        metrics["helpfulness_model_on_safety"] == metrics["safety_model_on_helpfulness"] == pytest.approx(0.5, abs=0.2)
    )
    rows = pq.read_table(tmp_path / "accuracy.parquet").to_pylist()
    average = [row for row in rows if row["degree"] == "average"]
    # 2 models x 2 rounds x 2 kinds of pairs x (all, round 1, round 2).
    assert len(average) == 24 and len(rows) == 5 * 24
    for row in average:
        assert row["trials"] == (20 if row["pairs_round"] == 0 else 10)
        assert row["low"] <= row["value"] <= row["high"]
    text = (tmp_path / "report.md").read_text()
    assert (
        "simulated" in text and "significantly better" in text and "100.0 (72-100, n=20)" in text
    )  # ten prompts, asked twice
    assert (tmp_path / "plots" / "accuracy_by_round.png").stat().st_size > 5000


def test_missing_parents_are_named(inputs, tmp_path, log):
    with pytest.raises(ValueError, match="helpfulness_reward_model_<round>"):
        reward_report.run(RECIPE, {"preferences_1": inputs["preferences_1"]}, tmp_path, log)
