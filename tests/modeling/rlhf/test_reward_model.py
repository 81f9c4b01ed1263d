import dataclasses
import json
import math
import random

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from modeling.core import dialog, dialogue_tables
from modeling.rlhf import pairs, reward_model, scoring
from modeling.rlhf.preferences import SCHEMA
from modeling.rlhf.recipes import RewardRecipe
from tests.modeling import killed, toy_rlhf

pytestmark = pytest.mark.trains

RECIPE = RewardRecipe(
    kind="helpfulness",
    optimizer=dataclasses.replace(toy_rlhf.optimizer(1e-2), schedule="cosine", warmup_steps=5, final_ratio=0.1),
    context=64,
    batch_pairs=8,
    epochs=3.0,
    margins=(1.0, 2 / 3, 1 / 3, 0.0),
    own_share=0.5,
    safety_loss_weight=0.0,
    frozen_layers=0,
    recent_pairs=0,
    contrast_share=0.0,
    seed=1,
)


def make_pair(index, rng, kind, number=1):
    """Helpful answers say blue, safe ones say green; the more the better, and even the worst often enough to be learnt."""
    liked = "green" if kind == "safety" else "blue"
    degree = rng.randint(0, 3)
    filler = ["red", "white", "black", "grey"]
    chosen = [liked] * (degree + 3) + [rng.choice(filler) for _ in range(2)]
    rng.shuffle(chosen)
    rejected = [rng.choice(filler) for _ in chosen]  # as long: length must tell nothing
    return {
        "id": f"v{number}:{kind}{index}",
        "prompt_id": f"{kind}{index}",
        "entity": f"{kind}{index}",
        "kind": kind,
        "category": "colours",
        "messages": [{"role": "user", "content": f"{toy_rlhf.question(rng)} {index}"}],
        "chosen": " ".join(chosen),
        "rejected": " ".join(rejected),
        "degree": degree,
        "chosen_safe": True,
        "rejected_safe": kind != "safety",
        "annotator": "simulated",
        "chosen_from": "chat",
        "rejected_from": "other",
        "round": number,
        "split": "test" if index % 4 == 0 else "train",
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    inputs = {"chat": toy_rlhf.build(folder, prompts=8)["policy"]}
    rng = random.Random(0)
    for number in (1, 2):
        rows = [make_pair(i, rng, kind, number) for kind in pairs.KINDS for i in range(80)]
        inputs[f"preferences_{number}"] = folder / f"preferences_{number}"
        inputs[f"preferences_{number}"].mkdir()
        dialogue_tables.write_rows(rows, SCHEMA, inputs[f"preferences_{number}"] / "pairs.parquet")
    return inputs


def test_recent_pairs_are_of_the_newest_round_first(world):
    rng = random.Random(1)
    rows = [make_pair(index, rng, "safety", number) for number in (1, 2, 3) for index in range(10)]
    rng.shuffle(rows)
    assert pairs.recent(rows, 0, seed=1) == pairs.recent(rows, 30, seed=1) == rows
    kept = pairs.recent(rows, 18, seed=1)
    assert kept == [row for row in rows if row in kept]  # in the order of the rows
    assert sorted(row["id"] for row in kept if row["round"] == 3) == sorted(r["id"] for r in rows if r["round"] == 3)
    earlier = [row for row in kept if row["round"] < 3]
    assert len(earlier) == 8 and {row["round"] for row in earlier} == {1, 2}
    assert {row["id"] for row in pairs.recent(rows, 12, seed=1)} < {row["id"] for row in kept}
    assert {row["round"] for row in pairs.recent(rows, 4, seed=1)} == {3}
    assert pairs.recent(rows, 18, seed=2) != kept


def test_a_reward_model_trains_on_its_recent_pairs_without_a_long_warmup(world, tmp_path, log):
    recipe = dataclasses.replace(RECIPE, recent_pairs=40, epochs=1.0)
    figures = reward_model.run(recipe, world, tmp_path, log)
    assert (figures["pairs_train"], figures["pairs_left_out"], figures["steps"]) == (40, 200, 5)
    rates = [json.loads(line)["learning_rate"] for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert rates[0] == 1e-2  # five steps of warm-up are in the recipe; they would be the whole run


@pytest.fixture(scope="module")
def safety_model(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("safety")
    log = type("Log", (), {"info": lambda *_: None, "progress": lambda *_, **__: None})()
    recipe = dataclasses.replace(RECIPE, kind="safety", own_share=0.9, safety_loss_weight=1.0)
    return out, reward_model.run(recipe, world, out, log)


def test_learns_its_own_preference(world, safety_model):
    out, metrics = safety_model
    assert metrics["accuracy"] > 0.9
    assert metrics["accuracy_low"] > 0.5
    assert metrics["pairs_own"] == 120 and metrics["pairs_train"] == 133  # 120 / 0.9, rounded
    assert metrics["steps"] == math.ceil(3 * 133 / 8)
    model, tokenizer = scoring.load(out)
    ask = {"role": "user", "content": "Which colours do you see now? 3"}
    green, red = (
        scoring.score(model, tokenizer, [[ask, {"role": "assistant", "content": text}]])[0]
        for text in ("green green white red", "red red white red")
    )
    assert green > red
    assert type(AutoModelForSequenceClassification.from_pretrained(out)).__name__ == "LlamaForSequenceClassification"


def test_files_say_what_was_measured(safety_model):
    out, metrics = safety_model
    report = json.loads((out / "accuracy.json").read_text())
    average = report["safety"]["accuracy"]["average"]
    assert average["trials"] == metrics["pairs_test"] == 40
    assert average["low"] <= average["value"] <= average["high"]
    assert sum(row["trials"] for row in report["safety"]["calibration"]) == 40
    recall = report["safety"]["unsafe_at_0.5"]["recall"]
    assert recall["trials"] == 40 and recall["value"] > 0.8  # every rejected answer is unsafe
    assert report["helpfulness"]["unsafe_at_0.5"]["recall"]["value"] is None  # no unsafe answer: nothing to recall
    assert (out / "plots" / "scores.png").stat().st_size > 5000


def test_same_bytes_again_and_after_a_kill_between_training_and_measuring(
    world, safety_model, tmp_path, log, monkeypatch
):
    out, _ = safety_model
    recipe = dataclasses.replace(RECIPE, kind="safety", own_share=0.9, safety_loss_weight=1.0)

    class KilledError(Exception):
        pass

    def kill(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "load", kill)
        with pytest.raises(KilledError):
            reward_model.run(recipe, world, tmp_path, log)
    first = load_file(tmp_path / "model.safetensors")
    stamp = (tmp_path / "model.safetensors").stat().st_mtime_ns
    reward_model.run(recipe, world, tmp_path, log)
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == stamp  # measured, not trained, again
    other = load_file(out / "model.safetensors")
    assert all(torch.equal(first[name], other[name]) for name in other)


def test_a_kill_in_the_middle_of_training_changes_no_byte(world, tmp_path, log, monkeypatch):
    killed.assert_kill_changes_no_byte(
        reward_model.run,
        dataclasses.replace(RECIPE, kind="safety", own_share=0.9, safety_loss_weight=1.0, frozen_layers=1),
        world,
        tmp_path,
        log,
        monkeypatch,
        files=("model.safetensors", "loss.jsonl", "accuracy.json"),
        every=5,
        step=7,
    )


def test_margin_loss_by_hand(world, tmp_path, log):
    """The trainer's loss on one batch is -log sigmoid(rc - rr - m) plus the weighted BCE, computed here in floats.

    One pair has no safety labels.
    """
    recipe = dataclasses.replace(RECIPE, kind="safety", safety_loss_weight=0.5)
    rows = [pair for pair in pairs.read_pairs(world) if pair["kind"] == "safety"][:4]
    rows[0] |= {"chosen_safe": None, "rejected_safe": None}
    captured = {}

    class Recorder(reward_model.PairTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            kept = {name: value.clone() for name, value in inputs.items()}
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
            captured.setdefault("first", (kept, outputs.logits.float().flatten().tolist(), loss.item()))
            return (loss, outputs) if return_outputs else loss

    original, reward_model.PairTrainer = reward_model.PairTrainer, Recorder
    try:
        reward_model.fit(dataclasses.replace(recipe, batch_pairs=4), rows, world["chat"], tmp_path, log)
    finally:
        reward_model.PairTrainer = original
    inputs, scores, loss = captured["first"]
    margins, safe = inputs["margin"].tolist(), inputs["safe"].tolist()
    assert sorted(margins) == pytest.approx(sorted((0.0, 1 / 3, 2 / 3, 1.0)[row["degree"]] for row in rows))
    assert [y for y in safe if not math.isnan(y)] == [1.0] * 3 + [0.0] * 3
    ranking = sum(math.log1p(math.exp(-(scores[i] - scores[i + 4] - margins[i]))) for i in range(4)) / 4
    labelled = [(s, y) for s, y in zip(scores, safe, strict=True) if not math.isnan(y)]
    labels = sum(math.log1p(math.exp(-s if y else s)) for s, y in labelled) / 6
    assert loss == pytest.approx(ranking + 0.5 * labels, abs=0.02)  # scores are bfloat16


def test_safety_loss_by_hand():
    # -log sigmoid(2) = 0.126928, -log(1 - sigmoid(-1)) = 0.313262.
    value = reward_model.safety_loss(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.0]), 3.0)
    assert value.item() == pytest.approx(3 * (0.126928 + 0.313262) / 2, abs=1e-5)
    assert reward_model.safety_loss(torch.tensor([2.0]), torch.tensor([0.0]), 0.0).item() == 0
    unknown = torch.tensor([math.nan])
    assert reward_model.safety_loss(torch.tensor([2.0]), unknown, 3.0).item() == 0
    both = reward_model.safety_loss(torch.tensor([2.0, 5.0]), torch.cat([torch.tensor([1.0]), unknown]), 3.0)
    assert both.item() == pytest.approx(3 * 0.126928, abs=1e-5)


def test_margins_of_table_27():
    assert [reward_model.margin(degree, (1.0, 2 / 3, 1 / 3, 0.0)) for degree in (3, 2, 1, 0)] == [
        1.0,
        2 / 3,
        1 / 3,
        0.0,
    ]


def test_rows_end_at_the_closing_token_and_keep_their_end(world):
    tokenizer = AutoTokenizer.from_pretrained(world["chat"])
    some = pairs.read_pairs(world)[:3]
    rows, cut = reward_model.encode_pairs(tokenizer, some, RECIPE)
    closing = dialog.closing_token_id(tokenizer)
    assert cut == 0 and all(row[f"{side}_ids"][-1] == closing for row in rows for side in ("chosen", "rejected"))
    short, cut = reward_model.encode_pairs(tokenizer, some, dataclasses.replace(RECIPE, context=5))
    assert cut == 6 and short[0]["chosen_ids"] == rows[0]["chosen_ids"][-5:]


def test_a_tokenizer_that_pads_with_its_closing_token_gets_another_filler(world):
    tokenizer = AutoTokenizer.from_pretrained(world["chat"])
    before = tokenizer.pad_token
    reward_model.set_filler(tokenizer)
    assert tokenizer.pad_token == before
    tokenizer.pad_token = tokenizer.eos_token
    reward_model.set_filler(tokenizer)
    assert tokenizer.pad_token_id not in (None, dialog.closing_token_id(tokenizer))


def test_mixture_shares(world):
    rows = pairs.read_pairs(world)
    assert len(rows) == 320
    half = pairs.mix(rows, "helpfulness", 0.5, 1)
    assert sum(pairs.of_kind(row, "helpfulness") for row in half) == 160 and len(half) == 320
    ninety = pairs.mix(rows, "safety", 0.9, 1)
    assert (len(ninety), sum(row["kind"] == "safety" for row in ninety)) == (178, 160)
    assert pairs.mix(rows, "safety", 0.9, 1) == ninety != pairs.mix(rows, "safety", 0.9, 2)
    assert len(pairs.mix(rows, "safety", 1.0, 1)) == 160
    few = [row for row in rows if row["kind"] == "safety"][:3] + [row for row in rows if row["kind"] != "safety"]
    assert len(pairs.mix(few, "helpfulness", 0.5, 1)) == 163
    with pytest.raises(ValueError, match="own_share"):
        pairs.mix(rows, "safety", 0.0, 1)


def test_bad_input_says_what_to_do(world, tmp_path, log):
    with pytest.raises(ValueError, match="kind is one of"):
        reward_model.run(dataclasses.replace(RECIPE, kind="humour"), world, tmp_path, log)
    with pytest.raises(ValueError, match="preferences_<round>"):
        reward_model.run(RECIPE, {"chat": world["chat"]}, tmp_path, log)


def test_batches_hold_pairs_of_like_length_and_follow_at_random():
    rng = random.Random(0)
    rows = [{"chosen_ids": [0] * rng.randint(5, 90), "rejected_ids": [0] * rng.randint(5, 90)} for _ in range(203)]
    ordered = reward_model.in_batches_of_like_length(rows, 8, seed=1)
    assert sorted(map(id, ordered)) == sorted(map(id, rows))
    assert ordered[200:] == rows[200:]  # the batch that is not full comes last
    batches = [[reward_model.longer_side(row) for row in ordered[begin : begin + 8]] for begin in range(0, 200, 8)]
    assert sum(8 * max(batch) for batch in batches) < 1.05 * sum(map(sum, batches))
    firsts = [batch[0] for batch in batches]
    assert firsts != sorted(firsts) and firsts != sorted(firsts, reverse=True)
    assert ordered == reward_model.in_batches_of_like_length(rows, 8, seed=1)
