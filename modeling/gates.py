"""Gates of the models and of the data they learn from: each tells (passed, why, figures) of an artifact and its parents.

They compare with the parent where there is one to compare with, so that they mean the same at every scale.
"""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling.core import resumable_generation, runtime, sampling
from modeling.core.recipes import AdoptRecipe
from modeling.core.statistics import mean_interval, wilson_interval
from modeling.finetuning import packing, sft
from modeling.rlhf import pairs, rejection_sampling, reward_accuracy, scoring
from modeling.safety import context_distillation

# (passed, why, figures). Where a figure was held against a threshold, figures["margin"] is how far it stood from it, in its
# own unit: positive passed, negative failed; of several comparisons the narrowest.
Verdict = tuple[bool, str, dict]
# Of the intervals that decide. A run has twenty such gates, and where little was learnt chance must not stop one of them.
CONFIDENCE = 0.999
# On held-out human labels (areas under the curve) and on true answers beside worse ones; a coin reaches 0.5.
JUDGE_FLOORS = {"violation_auc": 0.70, "refusal_auc": 0.85, "accuracy_over_other_answer": 0.80,
                "accuracy_over_parroted_prompt": 0.80}  # fmt: skip
NO_WORSE = 0.01  # of piecewise reward, 0 to 1
# A policy that declines nearly always gives its own answers 0.16 nats a token: what is that likely can hardly gain.
FORGOTTEN = 0.1
DOCUMENTS, WINDOWS, DIALOGUES, PAIRS, ANSWERED = 300, 32, 64, 400, 96


def _weights_finite(folder: Path) -> str | None:
    """None where every weight is a number, else the first that is not."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if not torch.isfinite(file.get_tensor(name)).all():
                    return f"{path.name}: {name} holds values that are not finite"
    return None


def exact_round_trip(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Held-out documents of the mixture come back to the letter, in fewer tokens than bytes."""
    tokenizer = AutoTokenizer.from_pretrained(artifact)
    texts = pq.read_table(inputs["mixture"] / "heldout", columns=["text"])["text"].to_pylist()[:DOCUMENTS]
    tokens = size = 0
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if tokenizer.decode(ids, clean_up_tokenization_spaces=False) != text:
            return False, f"a held-out document does not survive encoding and decoding: {text[:80]!r}", {}
        tokens, size = tokens + len(ids), size + len(text.encode())
    ratio = size / max(tokens, 1)
    figures = {"bytes_per_token": ratio, "margin": ratio - 1}
    return ratio > 1, f"{len(texts)} documents come back exactly, {ratio:.2f} bytes a token", figures


def better_than_unigram(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The base model predicts its training tokens better than their frequencies do; adopted weights fit their tokenizer."""
    if broken := _weights_finite(artifact):
        return False, broken, {}
    model = AutoModelForCausalLM.from_pretrained(artifact).to(runtime.device()).eval()
    if isinstance(recipe, AdoptRecipe):
        rows = model.get_input_embeddings().num_embeddings
        size = len(AutoTokenizer.from_pretrained(inputs["tokenizer"]))
        figures = {"embeddings": rows, "vocabulary": size, "margin": rows - size}
        return rows >= size, f"{rows} embeddings for {size} tokens", figures
    shard = np.load(sorted((inputs["tokens"] / "train").glob("*.npy"))[0], mmap_mode="r", allow_pickle=False)
    length = min(recipe.model.context, len(shard) // WINDOWS)
    counts = np.bincount(np.asarray(shard), minlength=recipe.model.vocab_size)
    shares = counts[counts > 0] / counts.sum()
    unigram = float(-(shares * np.log(shares)).sum())
    starts = np.linspace(0, len(shard) - length, WINDOWS).astype(int)
    windows = torch.from_numpy(np.stack([shard[start : start + length] for start in starts]).astype(np.int64))
    windows = windows.to(model.device)
    with torch.inference_mode(), runtime.autocast(model.device):
        loss = float(np.mean([model(input_ids=row[None], labels=row[None]).loss.item() for row in windows]))
    figures = {"loss": loss, "unigram_entropy": unigram, "margin": unigram - loss}
    return loss < unigram, f"{loss:.2f} nats a token; by frequency alone {unigram:.2f}", figures


def _answer_losses(model_dir: Path, dialogues: list, context: int) -> np.ndarray:
    """Nats an answer token of each dialogue that fits."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir).to(runtime.device())
    encoded, _ = sft.encode(tokenizer, dialogues, context)
    collator = packing.PackedCollator(sft.filler(tokenizer))
    return np.array([sft.answer_loss(model, [one], collator) for one in encoded[:DIALOGUES]], dtype=np.float64)


def _compared(artifact: Path, start: Path, path: Path, context: int, of: str) -> tuple[np.ndarray, str, dict]:
    """(how much less likely the answers of each dialogue became, in nats a token; that in words; its figures)."""
    dialogues = sft.read_dialogues(path)
    losses = [_answer_losses(folder, dialogues, context) for folder in (start, artifact)]
    before, after = (float(losses_N.mean()) if len(losses_N) else math.nan for losses_N in losses)
    why = f"{of}: {before:.3f} nats an answer token before, {after:.3f} after"
    return losses[1] - losses[0], why, {"loss_before": before, "loss_after": after, "dialogues": len(losses[0])}


def _learned(artifact: Path, start: Path, path: Path, context: int, of: str) -> Verdict:
    if broken := _weights_finite(artifact):
        return False, broken, {}
    _, why, figures = _compared(artifact, start, path, context, of)
    margin = figures["loss_before"] - figures["loss_after"]
    return margin > 0, why, figures | {"margin": margin}


def answers_better_than_base(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Demonstrations it never saw are likelier under the SFT model than under the base model."""
    path = inputs["demonstrations"] / "test.parquet"
    return _learned(artifact, inputs["base_model"], path, recipe.context, "held-out demonstrations")


def learned_its_samples(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The round's best samples are likelier under the policy than under the base model it restarted from."""
    path = inputs["rejection_samples"] / "samples.parquet"
    return _learned(artifact, inputs["base_model"], path, recipe.context, "best samples")


def learned_the_distilled(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The kept safe answers did not become less likely than under the policy that gave them, to FORGOTTEN nats a token.

    They are a small part of what was learnt and may be few: it fails where the whole interval of their loss is above that.
    """
    if broken := _weights_finite(artifact):
        return False, broken, {}
    path = inputs["distilled_answers"] / "samples.parquet"
    lost_N, why, figures = _compared(artifact, inputs["ppo_policy"], path, recipe.context, "distilled answers")
    if len(lost_N) < 2:
        return True, "fewer than two distilled answers were kept: too few to compare on", {}
    low, high = mean_interval(lost_N, CONFIDENCE)
    figures |= {"low": low, "high": high, "margin": FORGOTTEN - low}
    return low < FORGOTTEN, f"{why} ({low:+.3f} to {high:+.3f})", figures


def prompts_apart(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """No prompt of the test or the validation is among those that RLHF learns from, by id or by its words."""
    parts = {name: pq.read_table(artifact / f"{name}.parquet").to_pylist() for name in ("rl", "validation", "test")}
    figures = {name: len(rows) for name, rows in parts.items()}
    if not all(parts.values()):
        missing = " and ".join(name for name, rows in parts.items() if not rows)
        return False, f"there are no prompts for {missing}", figures
    known = {name: {key for r in rows for key in (r["id"], r["question"])} for name, rows in parts.items()}
    shared = [a & b for a, b in itertools.combinations(known.values(), 2)]
    return not any(shared), f"{len(set().union(*shared))} ids or questions stand in two parts", figures


def pairs_are_sound(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Pairs answer prompts of the parent, name their annotator, and never prefer an unsafe answer to a safe one."""
    rows = pq.read_table(artifact / "pairs.parquet").to_pylist()
    known = set(pq.read_table(inputs["prompts"] / "rl.parquet", columns=["id"])["id"].to_pylist())
    train = {row["prompt_id"] for row in rows if row["split"] == "train"}
    test = {row["prompt_id"] for row in rows if row["split"] == "test"}
    wrong = {
        "prompts that are not the parent's": sum(row["prompt_id"] not in known for row in rows),
        "pairs that prefer the unsafe answer": sum(row["rejected_safe"] and not row["chosen_safe"] for row in rows),
        "pairs with two equal answers": sum(row["chosen"] == row["rejected"] for row in rows),
        "pairs without an annotator": sum(not row["annotator"] for row in rows),
        "prompts both trained and tested on": len(train & test),
    }
    bad = [f"{count} {what}" for what, count in wrong.items() if count]
    if not train or not test:
        bad.append("no pairs to train on, or none to test on")
    return not bad, "; ".join(bad) or f"{len(rows)} sound pairs", {"pairs": len(rows)}


def ranks_pairs(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The reward model's scores are finite and differ, and on held-out pairs it is not reliably worse than a coin.

    Where no pair of its kind was held out, that its scores differ is all that can be asked.
    """
    if broken := _weights_finite(artifact):
        return False, broken, {}
    mine = [row for row in pairs.read_pairs(inputs) if pairs.of_kind(row, recipe.kind)]
    held_out = [row for row in mine if row["split"] == "test"]
    model, tokenizer = scoring.load(artifact)
    scored = pairs.score_pairs(model, tokenizer, (held_out or mine)[:PAIRS])
    values = [value for pair in scored for value in (pair.chosen, pair.rejected)]
    share = reward_accuracy.accuracy(scored, CONFIDENCE)
    figures = {"accuracy": share.value, "low": share.low, "high": share.high, "pairs": share.trials}
    if not all(math.isfinite(value) for value in values):
        return False, "some scores are not finite", figures
    if max(values) == min(values):
        return False, "every answer scores the same", figures
    if not held_out:
        return True, "no pair of its kind is held out; its scores differ", {"pairs": 0}
    why = f"{share.value:.2f} of {share.trials} pairs (99.9 %: {share.low:.2f}–{share.high:.2f})"
    return share.high >= 0.5, why, figures | {"margin": share.high - 0.5}


def best_of_k(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """What was kept of each prompt is its best candidate: a finished one where there is any, then that of the highest reward.

    Of the others, some must be worse by this very rule; where none is, the answers or their rewards are all alike.
    """
    candidates = pq.read_table(artifact / "candidates.parquet").to_pylist()
    best: dict[str, dict] = {}
    for row in candidates:
        known = best.setdefault(row["prompt_id"], row)
        if rejection_sampling.order(row) < rejection_sampling.order(known):
            best[row["prompt_id"]] = row
    top = {row["prompt_id"]: row for row in candidates if row["rank"] == 0}
    mean, chosen = (float(np.mean([row["reward"] for row in rows])) for rows in (candidates, top.values()))
    figures = {"mean_reward": mean, "best_reward": chosen, "prompts": len(best)}
    if best.keys() != top.keys() or any(
        rejection_sampling.order(top[key]) != rejection_sampling.order(best[key]) for key in best
    ):
        return False, "the first-ranked answer of a prompt is not its best", figures
    for row in pq.read_table(artifact / "samples.parquet").to_pylist():
        mine = row["round"] == recipe.round
        if mine and row["messages"][-1]["content"] != top[row["prompt_id"]]["response"]:
            return False, f"the sample of {row['prompt_id']} is not its first-ranked answer", figures
    worse = [
        rejection_sampling.order(top[row["prompt_id"]]) < rejection_sampling.order(row)
        for row in candidates
        if row["rank"]
    ]
    share = float(np.mean(worse)) if worse else 1.0  # one candidate a prompt has nothing to be better than
    why = f"{share:.0%} of the other candidates are worse; reward {chosen:.3f}, of all candidates {mean:.3f}"
    return share > 0, why, figures | {"worse": share, "margin": share}


def not_below_its_start(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """On test prompts the released PPO weights earn no less piecewise reward than the policy they began with.

    Both answer greedily; it fails where the whole interval of the paired difference is below -NO_WORSE: two weights that hardly
    differ answer hardly differently, and a difference in the third digit is no loss, however sure.
    """
    if broken := _weights_finite(artifact):
        return False, broken, {}
    greedy = replace(recipe.sampling, temperature=0.0)
    rows = resumable_generation.fitting(
        inputs["policy"], resumable_generation.read_prompts(inputs["prompts"], "test"), greedy
    )
    rows = sorted(rows, key=lambda row: resumable_generation.unit_hash("ppo gate", row["id"]))[:ANSWERED]
    if not rows:
        return False, "no test prompt fits beside an answer: there is nothing to compare on", {}
    models = {kind: scoring.load(inputs[f"{kind}_reward_model"]) for kind in pairs.KINDS}
    adversarial = [row["kind"] == "safety" for row in rows]
    rewards = []
    for folder in (inputs["policy"], artifact):
        answers = sampling.generate(*sampling.load(folder), [row["messages"] for row in rows], greedy)
        dialogs = [
            context_distillation.answered(row["messages"], one.text) for row, (one,) in zip(rows, answers, strict=True)
        ]
        said = {kind: scoring.sigmoid(scoring.score(*loaded, dialogs)) for kind, loaded in models.items()}
        rewards.append(scoring.piecewise(said["safety"], said["helpfulness"], adversarial, recipe.safety_threshold))
    before, after = (values.double().numpy() for values in rewards)
    low, high = mean_interval(after - before, CONFIDENCE)
    figures = {"reward_before": float(before.mean()), "reward_after": float(after.mean()), "low": low, "high": high}
    why = f"reward on {len(rows)} test prompts {before.mean():.3f} before, {after.mean():.3f} after ({low:+.3f} to {high:+.3f})"
    return high >= -NO_WORSE, why, figures | {"margin": high + NO_WORSE}


def kept_only_the_safer(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Every kept answer scores higher than the one it replaces, and stands for an adversarial prompt of the parent."""
    rows = pq.read_table(artifact / "answers.parquet").to_pylist()
    known = pq.read_table(inputs["prompts"] / "rl.parquet", columns=["id", "kind"]).to_pylist()
    adversarial = {row["id"] for row in known if row["kind"] == "safety"}
    kept = [row for row in rows if row["kept"]]
    worse = sum(row["distilled_score"] <= row["original_score"] for row in kept)
    strangers = sum(row["prompt_id"] not in adversarial for row in rows)
    written = pq.read_metadata(artifact / "samples.parquet").num_rows
    gains = [row["distilled_score"] - row["original_score"] for row in kept]
    figures = {"answers": len(rows), "kept": len(kept)} | ({"margin": min(gains)} if gains else {})
    if worse or strangers or written != len(kept):
        bad = f"{worse} kept answers score no higher, {strangers} prompts are not adversarial, {written} written"
        return False, bad, figures
    return True, f"{len(kept)} of {len(rows)} answers kept", figures


def agrees_with_people(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The judge ranks human-labelled answers it has not seen, and prefers true answers to others and to parroting.

    There are as many true answers as the scale has test prompts: a share of them fails where its whole interval is below.
    """
    metrics = json.loads((artifact / "quality.json").read_text(encoding="utf-8"))
    figures = {name: metrics[name] for name in JUDGE_FLOORS}
    references = metrics["validation_references"]
    reached = {
        name: wilson_interval(value * references, references, CONFIDENCE)[1] if name.startswith("accuracy") else value
        for name, value in figures.items()
    }
    margins = {name: reached[name] - floor for name, floor in JUDGE_FLOORS.items()}
    bad = [f"{name} {figures[name]:.2f} is below {JUDGE_FLOORS[name]}" for name, left in margins.items() if left < 0]
    return not bad, "; ".join(bad) or "the judge agrees with people", figures | {"margin": min(margins.values())}


def every_version_judged(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Win rates of every version of the generations, on every prompt, by every judge."""
    rows = json.loads((artifact / "win_rates.json").read_text(encoding="utf-8"))
    answers = pq.read_table(inputs["generations"] / "answers.parquet", columns=["version", "prompt_id", "kind"])
    answers = answers.to_pylist()
    wanted = {row["version"] for row in answers} - {"SFT"}
    bad = []
    for axis in ("helpfulness", "safety"):
        prompts = len({row["prompt_id"] for row in answers if row["kind"] == axis})
        for judge_name in {row["judge"] for row in rows}:
            judged = {row["version"]: row for row in rows if row["axis"] == axis and row["judge"] == judge_name}
            bad += [f"{judge_name} did not judge {version} for {axis}" for version in sorted(wanted - judged.keys())]
            bad += [
                f"{judge_name} judged {row['prompts']} of {prompts} {axis} prompts of {version}"
                for version, row in judged.items()
                if row["prompts"] != prompts
            ]
    return not bad, "; ".join(bad[:5]) or f"{len(wanted)} versions judged on every prompt", {"versions": len(wanted)}
