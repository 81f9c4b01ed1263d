import dataclasses
import shutil
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from modeling.core import resumable_generation, sampling
from modeling.core.recipes import SamplingRecipe
from modeling.rlhf import annotator, labels, preferences
from modeling.rlhf.recipes import PreferencesRecipe
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains

RECIPE = PreferencesRecipe(
    round=1,
    annotator="simulated",
    prompts=30,
    safety_share=0.4,
    base_share=0.5,
    test_share=0.3,
    sampling_a=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=12, seed=3),
    sampling_b=SamplingRecipe(temperature=0.7, top_p=1.0, max_new_tokens=12, seed=3),
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    world = toy_rlhf.build(tmp_path_factory.mktemp("world"), prompts=60)
    return {"chat": world["policy"], "other": world["policy"], "base": world["policy"], "prompts": world["prompts"]}


def test_pairs_hold_what_the_contract_says(inputs, tmp_path, log):
    metrics = preferences.run(RECIPE, inputs, tmp_path, log)
    table = pq.read_table(tmp_path / "pairs.parquet")
    assert table.schema.equals(preferences.SCHEMA)
    rows = table.to_pylist()
    assert (
        len(rows)
        == metrics["pairs"]
        == 30 - sum(metrics[f"dropped_{reason}"] for reason in ("identical", "tied", "chosen_unsafe"))
    )
    assert len(rows) > 12 and metrics["dropped_tied"] > 0
    assert sum(row["kind"] == "safety" for row in rows) == metrics["pairs_safety"] <= 12
    for row in rows:
        assert row["chosen"] != row["rejected"]
        assert row["chosen_safe"] or not row["rejected_safe"]
        assert (row["annotator"], row["round"], row["id"]) == ("simulated", 1, f"v1:{row['prompt_id']}")
        assert row["messages"][-1]["role"] == "user"
    # Two models answer each prompt at the two temperatures. Beside some adversarial prompts the second is the base model.
    origins = {kind: set() for kind in ("ordinary", "safety")}
    for row in rows:
        pair = tuple(sorted((row["chosen_from"], row["rejected_from"])))
        origins["safety" if row["kind"] == "safety" else "ordinary"].add(pair)
    beside_other = {("chat T=1", "other T=0.7"), ("chat T=0.7", "other T=1")}
    assert origins["ordinary"] == beside_other
    roles = {pair[0].split()[0] for pair in origins["safety"]} | {pair[1].split()[0] for pair in origins["safety"]}
    assert roles == {"base", "chat", "other"} and all(
        any("chat" in side for side in pair) for pair in origins["safety"]
    )
    assert {row["split"] for row in rows} == {"train", "test"}
    shares = [value for name, value in metrics.items() if name.startswith("share_")]
    assert len(shares) == 4 and sum(shares) == pytest.approx(1, abs=1e-3)
    text = (tmp_path / "examples.md").read_text()
    assert "simulated" in text and rows[0]["messages"][-1]["content"] in text


def test_resumes_after_a_kill_with_the_same_bytes(inputs, tmp_path, log, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    monkeypatch.setattr(resumable_generation, "CHUNK_ANSWERS", 8)

    class KilledError(Exception):
        pass

    original, calls, dies_at = sampling.generate, [], []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) in dies_at:
            raise KilledError
        return original(*args, **kwargs)

    monkeypatch.setattr(sampling, "generate", counted)
    preferences.run(RECIPE, inputs, whole, log)
    chunks = len(calls)
    calls.clear()
    dies_at.append(6)  # four chunks of one variant, then in the middle of the other
    with pytest.raises(KilledError):
        preferences.run(RECIPE, inputs, parts, log)
    assert not (parts / "pairs.parquet").exists()
    preferences.run(RECIPE, inputs, parts, log)
    assert len(calls) == 6 + chunks - 5  # five chunks were there
    assert (whole / "pairs.parquet").read_bytes() == (parts / "pairs.parquet").read_bytes()


def test_rounds_take_new_prompts_and_never_train_on_a_test_prompt(inputs, tmp_path, log):
    rows = {}
    for number in (1, 2):
        out = tmp_path / str(number)
        out.mkdir()
        preferences.run(dataclasses.replace(RECIPE, round=number, prompts=40), inputs, out, log)
        rows[number] = pq.read_table(out / "pairs.parquet").to_pylist()
    first, second = ({row["prompt_id"]: row["split"] for row in rows[number]} for number in (1, 2))
    helpful_first = {row["prompt_id"] for row in rows[1] if row["kind"] != "safety"}
    helpful_second = {row["prompt_id"] for row in rows[2] if row["kind"] != "safety"}
    assert len(helpful_first & helpful_second) < len(helpful_first)
    shared = first.keys() & second.keys()
    assert shared and all(first[name] == second[name] for name in shared)


def verdict(preferred, safe_a, safe_b, degree=2):
    return {"preferred": preferred, "degree": degree, "safe_a": safe_a, "safe_b": safe_b}


def test_pairs_that_are_left_out():
    assert preferences.drop_reason({"dropped": "identical"}) == "identical"
    assert preferences.drop_reason(verdict("a", False, True)) == "chosen_unsafe"
    assert preferences.drop_reason(verdict("b", True, False)) == "chosen_unsafe"
    for kept in (verdict("a", True, False), verdict("a", False, False), verdict("b", True, True)):
        assert preferences.drop_reason(kept) is None


@dataclasses.dataclass(frozen=True)
class Moody:
    """Judges by length, and refuses to read what `refused` says."""

    refused: Callable[[dict], bool]
    name: str = "moody"

    def label(self, prompt_row: dict, answer_a: str, answer_b: str) -> labels.Label:
        if self.refused(prompt_row):
            raise labels.UnjudgedError("I can't compare these")
        return labels.Label("a" if len(answer_a) > len(answer_b) else "b", 1, True, True)


def test_a_pair_without_a_judgement_is_left_out_and_counted(inputs, tmp_path, log, monkeypatch):
    whole = preferences.run(RECIPE, inputs, tmp_path, log)
    monkeypatch.setattr(annotator, "create", lambda _: Moody(lambda row: row["kind"] == "safety"))
    shutil.rmtree(tmp_path / "_scratch" / "labels", ignore_errors=True)
    metrics = preferences.run(RECIPE, inputs, tmp_path, log)
    assert 0 < metrics["dropped_unjudged"] <= metrics["prompts"] / 2
    assert metrics["pairs"] + metrics["dropped_unjudged"] + metrics["dropped_identical"] == whole["prompts"]
    assert not [row for row in pq.read_table(tmp_path / "pairs.parquet").to_pylist() if row["kind"] == "safety"]
    monkeypatch.setattr(annotator, "create", lambda _: Moody(lambda row: True))
    shutil.rmtree(tmp_path / "_scratch" / "labels", ignore_errors=True)
    with pytest.raises(ValueError, match="take another annotator"):
        preferences.run(RECIPE, inputs, tmp_path, log)


def test_variants_of_one_prompt_are_on_one_side(inputs):
    shown = {"a": preferences.Shown("x", "chat", 1.0), "b": preferences.Shown("y", "other", 1.0)}
    rows = [{"id": f"{entity} {n}", "entity": entity, "kind": "safety", "category": "", "messages": []}
            for entity in "abcdefgh" for n in range(5)]  # fmt: skip
    recipe = dataclasses.replace(RECIPE, test_share=0.5)
    made = [preferences.make_pair(recipe, "simulated", row, shown, verdict("a", True, True)) for row in rows]
    sides = {entity: {pair["split"] for pair in made if pair["entity"] == entity} for entity in "abcdefgh"}
    assert all(len(found) == 1 for found in sides.values()) and len(set().union(*sides.values())) == 2


def test_shares_by_hand():
    prompt = {
        "id": "p",
        "entity": "p",
        "kind": "safety",
        "category": "",
        "messages": [{"role": "user", "content": "?"}],
    }
    shown = {"a": preferences.Shown("one two", "chat", 0.1), "b": preferences.Shown("three", "other", 1.0)}
    verdicts = [verdict("a", True, False, 3), verdict("b", True, True, 0), verdict("b", False, False, 0)]
    pairs = [preferences.make_pair(RECIPE, "simulated", prompt, shown, each) for each in verdicts]
    found = preferences.summary(pairs)
    assert (found["share_significantly_better"], found["share_negligibly"]) == pytest.approx((0.3333, 0.6667))
    assert (
        found["safety_chosen_safe_other_unsafe"] == found["safety_both_safe"] == found["safety_both_unsafe"] == 0.3333
    )
    assert found["chat_preferred"] == 0.3333
    assert (found["words_chosen"], found["words_rejected"]) == (1.3, 1.7)


def test_prompts_that_do_not_fit_are_counted(inputs, tmp_path, log):
    tight = dataclasses.replace(RECIPE.sampling_a, max_new_tokens=40)
    metrics = preferences.run(dataclasses.replace(RECIPE, sampling_a=tight), inputs, tmp_path, log)
    assert metrics["prompts_too_long"] + metrics["prompts"] <= 60
    none = dataclasses.replace(RECIPE.sampling_a, max_new_tokens=60)
    with pytest.raises(ValueError, match="max_new_tokens"):
        preferences.run(dataclasses.replace(RECIPE, sampling_a=none), inputs, tmp_path, log)


def test_selection_by_hand():
    rows = [{"id": str(index), "kind": "safety" if index < 4 else "helpfulness"} for index in range(14)]
    rounds = [resumable_generation.select(rows, 5, 0.4, number) for number in (1, 2, 3)]
    assert [[row["kind"] for row in chosen].count("safety") for chosen in rounds] == [2, 2, 2]
    seen = [{row["id"] for row in chosen} for chosen in rounds]
    assert not seen[0] & seen[1]
    assert {row["id"] for row in rounds[2] if row["kind"] == "safety"} == {
        row["id"] for row in rounds[0] if row["kind"] == "safety"
    }
    assert len(resumable_generation.select(rows, 100, 0.5, 1)) == 14
