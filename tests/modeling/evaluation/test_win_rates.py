"""Win rates from hand-made scores, and the gate over them."""

import json
from dataclasses import replace

import pytest

from modeling.evaluation import gates, win_rates
from modeling.evaluation.controls import CONSTANT, REFUSAL
from modeling.evaluation.pairwise import JUDGE, RATERS, REWARD_MODELS
from tests.modeling.toy_evaluation import RECIPE, scored, write_scored

AUCS = {"helpfulness": None, "violation": 0.9, "refusal": 0.9, "fluency": 0.9}


def answers(version: str, helpful: float, violation: float, count: int = 12, **changes) -> list[dict]:
    rows = [scored(version, n, "ordinary", reward=helpful, helpfulness=helpful) for n in range(count)]
    rows += [scored(version, n, "adversarial", reward=-violation, violation=violation) for n in range(count)]
    return [row | changes for row in rows]


def table(constant: float = -2.0) -> list[dict]:
    """SFT is more helpful than Base, V1 (on half the prompts) more than SFT; Chat is safe."""
    return [
        *answers("Base", 0.0, 5.0), *answers("SFT", 1.0, 5.0), *answers("RLHF-v1", 2.0, 5.0, count=6),
        *answers("Chat", 2.0, -5.0), *answers(CONSTANT, constant, 0.0, control=True),
        *answers(REFUSAL, -3.0, -5.0, control=True),
    ]  # fmt: skip


def run(folder, rows, log):
    out = folder / "out"
    out.mkdir(parents=True)
    return win_rates.run(RECIPE, {"scored_answers": write_scored(folder / "scored", rows, AUCS)}, out, log), out


def test_every_version_and_control_meets_base_sft_and_the_one_before(tmp_path, log):
    metrics, out = run(tmp_path, table(), log)
    found = {
        (r["judge"], r["axis"], r["version"], r["against"]): r for r in json.loads((out / "win_rates.json").read_text())
    }
    pairs = {("SFT", "Base"), ("RLHF-v1", "Base"), ("RLHF-v1", "SFT"), ("Chat", "Base"), ("Chat", "SFT"), ("Chat", "RLHF-v1"),
             (CONSTANT, "Base"), (CONSTANT, "SFT"), (REFUSAL, "Base"), (REFUSAL, "SFT")}  # fmt: skip
    assert found.keys() == {(j, a, *pair) for j in RATERS for a in win_rates.AXES for pair in pairs}
    for judge in RATERS:
        assert found[judge, "helpfulness", "Chat", "SFT"]["win_rate"] == 1.0
        assert found[judge, "helpfulness", "Chat", "RLHF-v1"]["win_rate"] == 0.5
        assert found[judge, "helpfulness", "Chat", "RLHF-v1"]["prompts"] == 6  # the ones that both answered
        assert found[judge, "helpfulness", CONSTANT, "Base"]["win_rate"] == 0.0
        assert found[judge, "safety", "Chat", "SFT"]["win_rate"] == 1.0
        assert found[judge, "safety", "SFT", "Base"]["win_rate"] == 0.5
    assert metrics["chat_against_sft_helpfulness_independent_judge"] == 1.0
    assert metrics["agreement"] == AUCS
    assert (out / "plots" / "fig11.png").read_bytes().startswith(b"\x89PNG")
    assert "| Chat | SFT | **100.0 %** [100, 100] | 12 / 0 / 0 |" in (out / "report.md").read_text()
    first = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    win_rates.run(RECIPE, {"scored_answers": tmp_path / "scored"}, out, log)
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_a_control_that_beats_a_version_is_named(tmp_path, log):
    metrics, _ = run(tmp_path, table(constant=0.5), log)
    helpful = [one for one in metrics["beaten"] if one["axis"] == "helpfulness"]
    assert {(one["judge"], one["control"], *one["versions"]) for one in helpful} == {
        (j, CONSTANT, "Base") for j in RATERS
    }
    safe = {(one["judge"], one["control"]): one["versions"] for one in metrics["beaten"] if one["axis"] == "safety"}
    assert safe == {(judge, name): ["Base", "SFT", "RLHF-v1"] for judge in RATERS for name in (CONSTANT, REFUSAL)}


def test_missing_answers_are_named(tmp_path, log):
    with pytest.raises(ValueError, match="no answers of SFT"):
        run(tmp_path / "a", [row for row in table() if row["version"] != "SFT"], log)
    with pytest.raises(ValueError, match="no safety prompts"):
        run(tmp_path / "b", [row for row in table() if row["kind"] == "helpfulness"], log)


def test_the_gate_fails_only_where_a_control_significantly_beats_base(tmp_path, log):
    _, out = run(tmp_path / "loses", table(), log)
    passed, why, figures = gates.controls_lose(out, {}, RECIPE)
    assert passed and why == "the controls lose against Base" and 0 < figures["margin"] <= 0.5
    _, out = run(tmp_path / "wins", table(constant=3.0), log)
    passed, why, figures = gates.controls_lose(out, {}, RECIPE)
    assert not passed and figures["margin"] < 0 and figures[f"{CONSTANT}, {JUDGE}"] == 1.0
    assert f"{CONSTANT} wins 100.0 % against Base under the {REWARD_MODELS}" in why
    assert gates.controls_lose(out, {}, replace(RECIPE, controls_lose=False))[0]
    half = [row | ({"reward": 3.0, "helpfulness": 3.0} if row["version"] == CONSTANT and n % 3 else {})
            for n, row in enumerate(table())]  # fmt: skip
    _, out = run(tmp_path / "often", half, log)
    assert gates.controls_lose(out, {}, RECIPE)[0]  # two thirds of twelve prompts are no evidence
    (out / "win_rates.json").write_text("[]")
    passed, why, _ = gates.controls_lose(out, {}, RECIPE)
    assert not passed and f"not compared with Base: {CONSTANT} by the {REWARD_MODELS}" in why
