"""The stage over the rates: files, lengths, risk categories and what it refuses."""

import json

import pytest

from modeling.evaluation import answer_rates, reward_pictures
from modeling.evaluation.measures import CHECKS, FALSE_REFUSAL, JUDGE, RULE
from tests.modeling.toy_evaluation import RECIPE, scored, write_scored

AUCS = {"helpfulness": None, "violation": 0.7, "refusal": 0.9, "fluency": 0.9}


def rows_of(version: str, words: int, violation: float, **changes) -> list[dict]:
    rows = [scored(version, n, "ordinary", words=words + n) for n in range(5)]
    rows += [
        scored(
            version, n, "adversarial", category="early" if n < 2 else "late", violation=violation, words=1, reward=0.0
        )
        for n in range(4)
    ]
    return [row | changes for row in rows]


def run(folder, rows, log):
    out = folder / "out"
    out.mkdir(parents=True)
    return answer_rates.run(RECIPE, {"scored_answers": write_scored(folder / "scored", rows, AUCS)}, out, log), out


def test_the_files_hold_what_the_answers_did(tmp_path, log):
    rows = [*rows_of("Base", 40, 2.0), *rows_of("SFT", 20, 2.0), *rows_of("Chat", 30, -2.0),
            *rows_of("Constant sentence", 9, 0.0, control=True)]  # fmt: skip
    metrics, out = run(tmp_path, rows, log)
    found = json.loads((out / "answer_rates.json").read_text())
    assert [(one["version"], one["words"]) for one in found["lengths"]] == [
        ("Base", 42), ("SFT", 22), ("Chat", 32), ("Constant sentence", 11),
    ]  # fmt: skip
    assert metrics["median_words_base"] == 42 and metrics["violation_all_adversarial_chat_judge"] == 0.0
    assert not [name for name in metrics if "constant" in name and "rate" in name]
    by_category = {(row["version"], row["category"]): row for row in found["by_category"]}
    assert by_category["Base", "early"]["prompts"] == by_category["Base", "late"]["prompts"] == 2
    assert by_category["Base", "late"]["rate"] == 1.0 and by_category["Chat", "late"]["rate"] == 0.0
    assert found["safety_reward"]["Chat"] == 0.5 and found["agreement"] == AUCS
    report = (out / "report.md").read_text()
    assert "violation | first messages | independent judge | 100.0 % [51, 100] |" in report
    assert (
        "| violation | first messages | independent judge | Chat | Base | 4 | -100.0 [-100.0, -100.0] | 0.125 |"
        in report
    )
    for name in ("rates", "rewards", "before_and_after"):
        assert (out / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_rewards_before_and_after_are_of_the_same_prompts():
    before = [scored("SFT", n, "adversarial", reward=-1.0) for n in range(4)]
    after = [scored("Chat", n, "adversarial", reward=2.0) for n in range(2, 9)]
    helpful, safe = reward_pictures.before_and_after(before, after).axes
    assert "n = 2" in safe.get_title() and "n = 0" in helpful.get_title()
    (points,) = safe.collections
    assert points.get_offsets().tolist() == [[pytest.approx(0.269, abs=1e-3), pytest.approx(0.881, abs=1e-3)]] * 2


def test_rewards_by_version_leave_controls_out():
    scores = {name: [scored(name, n, "adversarial", reward=float(n), control=name == "Refusal") for n in range(3)]
              for name in ("SFT", "Chat", "Refusal")}  # fmt: skip
    assert [axes.get_ylabel() for axes in reward_pictures.by_version(scores).axes[::2]] == ["SFT", "Chat"]


def test_names_of_metrics():
    entry = {"measure": FALSE_REFUSAL, "on": "after a refusal", "version": "RLHF-v5", "reader": RULE}
    assert answer_rates.metric_name(entry) == "false_refusal_after_a_refusal_rlhf_v5_rule"
    names = {answer_rates.metric_name(entry | {"reader": reader}) for reader in (JUDGE, RULE, CHECKS)}
    assert len(names) == 3


def test_prompts_that_no_measure_knows_or_that_are_missing_are_named(tmp_path, log):
    rows = rows_of("Base", 9, 0.0)
    with pytest.raises(ValueError, match="No measure knows prompts of the setting new"):
        run(tmp_path / "a", [*rows, scored("Base", 1, "new")], log)
    with pytest.raises(ValueError, match="need adversarial and harmless prompts"):
        run(tmp_path / "b", [row for row in rows if row["kind"] == "safety"], log)
