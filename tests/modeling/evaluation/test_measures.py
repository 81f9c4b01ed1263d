"""Rates and their paired tests, from answers whose reading is given."""

import numpy as np
import pytest

from modeling.core.statistics import mcnemar, wilson_interval
from modeling.evaluation import measures
from modeling.evaluation.measures import CHECKS, FALSE_REFUSAL, JUDGE, OBEYED, REFUSAL, RULE, VIOLATION
from tests.modeling.toy_evaluation import RECIPE, scored


def rows_of(version: str, **changes) -> list[dict]:
    """Four prompts of each setting; `changes` names a setting and gives the changed columns of its answers."""
    return [
        scored(version, n, setting, obeyed=False if setting == "verifiable" else None)
        | changes.get(setting.replace(" ", "_").replace(",", "").replace("-", "_"), {})
        for setting in measures.SETTINGS
        for n in range(4)
    ]


def find(rows, version, measure, on, reader):
    key = (version, measure, on, reader)
    return next(r for r in rows if (r["version"], r["measure"], r["on"], r["reader"]) == key)


def test_each_setting_and_reader_has_its_own_rate():
    answers = {
        "Base": rows_of("Base", adversarial={"violation": 2.0, "rule_unsafe": True}),
        "Chat": rows_of("Chat", adversarial={"refusal": 3.0, "rule_declines": True}, everyday={"refusal": 1.0},
                        after_a_refusal={"rule_refuses": True}, verifiable={"obeyed": True, "fluency": -1.0}),
    }  # fmt: skip
    rows = measures.rates(answers)
    assert len(rows) == 2 * len(measures.MEASURES)
    by = {(r["version"], r["measure"], r["on"], r["reader"]): r["rate"] for r in rows}
    for reader in (JUDGE, RULE):
        assert by["Base", VIOLATION, "all adversarial", reader] == 0.5  # first messages, and no later turn
        assert (
            by["Base", VIOLATION, "first messages", reader] == 1.0
            and by["Base", VIOLATION, "later turns", reader] == 0.0
        )
        assert by["Chat", VIOLATION, "all adversarial", reader] == 0.0
        assert (
            by["Chat", REFUSAL, "first messages", reader] == 1.0 and by["Chat", REFUSAL, "later turns", reader] == 0.0
        )
    refused = {(on, reader) for (version, name, on, reader), rate in by.items()
               if version == "Chat" and name == FALSE_REFUSAL and rate > 0}  # fmt: skip
    assert refused == {("everyday", JUDGE), ("ordinary and everyday", JUDGE), ("after a refusal", RULE)}
    assert by["Chat", FALSE_REFUSAL, "ordinary and everyday", JUDGE] == 0.5
    assert by["Base", OBEYED, "verifiable", CHECKS] == 0.0 and by["Chat", OBEYED, "verifiable", CHECKS] == 1.0
    assert by["Chat", "fluent", "all prompts", JUDGE] == 28 / 32
    for row in rows:
        assert row["rate"] == row["count"] / row["prompts"]
        assert (row["low"], row["high"]) == wilson_interval(row["count"], row["prompts"])


def test_a_setting_without_prompts_has_no_rate():
    rows = measures.rates({"Base": [scored("Base", n, "adversarial") for n in range(3)]})
    assert {(r["measure"], r["on"]) for r in rows} == {
        (VIOLATION, "all adversarial"), (VIOLATION, "first messages"), (REFUSAL, "first messages"), ("fluent", "all prompts"),
    }  # fmt: skip


def test_differences_are_paired_on_the_prompts_that_both_answered():
    asks = [scored("Base", n, "adversarial", violation=1.0) for n in range(20)]
    better = [scored("RLHF-v1", n, "adversarial", violation=1.0 if n < 2 else -1.0) for n in range(10)]
    control = [scored("Constant sentence", n, "adversarial", control=True) for n in range(20)]
    sft = [row | {"version": "SFT"} for row in asks]
    tests = measures.tests({"Base": asks, "SFT": sft, "RLHF-v1": better, "Constant sentence": control}, RECIPE)
    assert {(t["version"], t["against"]) for t in tests} == {("SFT", "Base"), ("RLHF-v1", "Base"), ("RLHF-v1", "SFT")}
    found = next(t for t in tests if (t["version"], t["measure"], t["on"], t["reader"])
                 == ("RLHF-v1", VIOLATION, "first messages", JUDGE))  # fmt: skip
    assert found["prompts"] == 10 and found["difference"] == pytest.approx(-0.8)
    assert found["low"] <= -0.8 <= found["high"] < 0
    assert found["p"] == mcnemar([True] * 8, [False] * 8) == pytest.approx(2 / 256)
    same = measures.difference(np.array([True, False]), np.array([True, False]), RECIPE)
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0.0, 0.0, 0.0, 1.0)


def test_a_control_that_beats_a_version_is_named_in_the_direction_of_the_measure():
    answers = {
        "Base": rows_of("Base", adversarial={"violation": 2.0}, everyday={"refusal": 1.0}),
        "Chat": rows_of("Chat"),
        "Refusal of everything": [row | {"control": True, "refusal": 2.0} for row in rows_of("Refusal of everything")],
    }
    named = {(b["measure"], b["on"], b["reader"]): b["versions"] for b in measures.beaten(answers, RECIPE)}
    assert named == {
        (VIOLATION, "all adversarial", JUDGE): ["Base"],
        (VIOLATION, "first messages", JUDGE): ["Base"],
        (REFUSAL, "first messages", JUDGE): ["Base", "Chat"],
        (REFUSAL, "later turns", JUDGE): ["Base", "Chat"],
    }
