"""Gates of an RLHF round and of PPO."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data_cleaning.verdict import Verdict
from modeling.core import dialog, hashing, resumable_generation, sampling
from modeling.core.verdicts import CONFIDENCE, not_finite
from modeling.dialogues import instructions
from modeling.finetuning.gates import learned
from modeling.rlhf import comparison, pairs, rejection_sampling, reward_accuracy, scoring, selection
from modeling.rlhf.labels import PEOPLE

NO_WORSE = 0.01  # of piecewise reward, 0 to 1
NO_MORE_REFUSED = 0.02  # of the ordinary prompts
PAIRS, ANSWERED = 400, 96


def pairs_are_sound(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Pairs answer the parent's prompts, name their annotator and never prefer an unsafe answer to a safe one.

    Also: no two equal answers, no prompt in both splits, and neither split is empty. If people are the annotator, the
    round has no pairs.
    """
    rows = pq.read_table(artifact / "pairs.parquet").to_pylist()
    if recipe.annotator == PEOPLE:
        return not rows, f"{len(rows)} pairs beside people's votes, which are in ratings", {"pairs": len(rows)}
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
    """The reward model's scores are finite and differ; its accuracy on held-out pairs is not significantly below 0.5.

    Without held-out pairs of its kind, the gate checks only that the scores are finite and differ; without any pair of
    its kind, only that the weights are finite.
    """
    if broken := not_finite(artifact):
        return False, broken, {}
    mine = [row for row in pairs.read_pairs(inputs) if pairs.of_kind(row, recipe.kind)]
    if not mine:
        return True, "there are no pairs of its kind to score", {"pairs": 0}
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
        return True, "there are no held-out pairs of its kind; its scores differ", {"pairs": 0}
    why = f"{share.value:.2f} of {share.trials} pairs (99.9 %: {share.low:.2f}–{share.high:.2f})"
    return share.high >= 0.5, why, figures | {"margin": share.high - 0.5}


def best_of_k(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The sample kept of each prompt is its best candidate: finished before cut off, then the highest reward.

    Some other candidate must be worse by the same order; otherwise all answers or all rewards are equal.
    """
    best: dict[str, dict] = {}
    top: dict[str, dict] = {}
    total, count = 0.0, 0
    for row in _candidates(artifact):
        known = best.setdefault(row["prompt_id"], row)
        if rejection_sampling.order(row) < rejection_sampling.order(known):
            best[row["prompt_id"]] = row
        if row["rank"] == 0:
            top[row["prompt_id"]] = row
        total, count = total + row["reward"], count + 1
    mean, chosen = total / count, float(np.mean([row["reward"] for row in top.values()]))
    figures = {"mean_reward": mean, "best_reward": chosen, "prompts": len(best)}
    if best.keys() != top.keys() or any(
        rejection_sampling.order(top[key]) != rejection_sampling.order(best[key]) for key in best
    ):
        return False, "the first-ranked answer of a prompt is not its best", figures
    for row in pq.read_table(artifact / "samples.parquet").to_pylist():
        mine = row["round"] == recipe.round
        if mine and row["messages"][-1]["content"] != top[row["prompt_id"]]["response"]:
            return False, f"the sample of {row['prompt_id']} is not its first-ranked answer", figures
    others = worse = 0
    for row in _candidates(artifact):
        others += row["rank"] > 0
        worse += row["rank"] > 0 and rejection_sampling.order(top[row["prompt_id"]]) < rejection_sampling.order(row)
    share = worse / others if others else 1.0  # with one candidate a prompt, there is nothing to compare
    why = f"{share:.0%} of the other candidates are worse; reward {chosen:.3f}, of all candidates {mean:.3f}"
    return share > 0, why, figures | {"worse": share, "margin": share}


def _candidates(artifact: Path) -> Iterator[dict]:
    """Yields the candidates without their prompts; the rows of one batch are in memory."""
    columns = ["prompt_id", "response", "ended", "fault", "reward", "rank"]
    with pq.ParquetFile(artifact / "candidates.parquet") as file:
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()


def learned_its_samples(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The round's best samples are likelier under the policy than under the base model it was fine-tuned from.

    If model selection kept the policy before, the gate checks only that its weights are finite.
    """
    found = artifact / "selection.json"
    if found.exists() and json.loads(found.read_text())["selected"] == selection.BEFORE:
        broken = not_finite(artifact)
        return not broken, broken or "model selection kept the policy before", {}
    path = inputs["rejection_samples"] / "samples.parquet"
    return learned(artifact, inputs["base_model"], path, recipe.context, "best samples")


def instruction_stands_once(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The instruction of each dialogue is in its first message alone, and the last answer obeys it.

    Rules judge what they can check. Only the last answer carries loss.
    """
    rows = pq.read_table(artifact / "samples.parquet").to_pylist()
    wrong = {"not in the first message alone": 0, "with loss on an earlier answer": 0, "last answer does not obey": 0}
    for row in rows:
        messages = resumable_generation.plain(row["messages"])
        learnt = [place for place, message in enumerate(messages) if dialog.is_learnt(message)]
        asked = [(place, message) for place, message in enumerate(messages) if message["role"] != "assistant"]
        places = [place for place, message in asked if row["instruction"] in message["content"]]
        wrong["not in the first message alone"] += places != [0]
        wrong["with loss on an earlier answer"] += learnt != [len(messages) - 1]
        wrong["last answer does not obey"] += not instructions.obeyed(row["constraints"], messages[-1]["content"])
    bad = [f"{count} dialogues: {what}" for what, count in wrong.items() if count]
    return not bad, "; ".join(bad) or f"{len(rows)} dialogues obey", {"dialogues": len(rows)}


def not_below_its_start(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """On test prompts, the released PPO weights earn no less piecewise reward than the policy PPO began with.

    They also refuse no more of the test prompts that are not adversarial. Both answer greedily. The gate fails if the
    whole interval of a paired difference is worse than NO_WORSE or NO_MORE_REFUSED: a smaller loss is negligible even
    if it is significant.
    """
    if broken := not_finite(artifact):
        return False, broken, {}
    greedy = replace(recipe.sampling, temperature=0.0)
    rows = resumable_generation.fitting(
        inputs["policy"], resumable_generation.read_prompts(inputs["prompts"], "test"), greedy
    )
    rows = sorted(rows, key=lambda row: hashing.unit_hash("ppo gate", row["id"]))[:ANSWERED]
    if not rows:
        return False, "no test prompt fits in the context with an answer: lower max_new_tokens or add prompts", {}
    models = {kind: scoring.load(inputs[f"{kind}_reward_model"]) for kind in pairs.KINDS}
    adversarial = [row["kind"] == "safety" for row in rows]
    rewards, refused = [], []
    for folder in (inputs["policy"], artifact):
        answers = sampling.generate(*sampling.load(folder), [row["messages"] for row in rows], greedy)
        texts = [one.text for (one,) in answers]
        dialogs = [dialog.with_answer(row["messages"], text) for row, text in zip(rows, texts, strict=True)]
        said = {kind: scoring.sigmoid(scoring.score(*loaded, dialogs)) for kind, loaded in models.items()}
        reward_N = scoring.piecewise(said["safety"], said["helpfulness"], adversarial, recipe.safety_threshold)
        rewards.append(reward_N.tolist())
        refused.append(comparison.refusals(rows, texts))
    reward = comparison.paired(*rewards, CONFIDENCE)
    refusals = comparison.paired(*refused, CONFIDENCE)
    figures = {
        "reward_before": reward.before,
        "reward_after": reward.after,
        "low": reward.low,
        "high": reward.high,
        "refused_before": refusals.before,
        "refused_after": refusals.after,
        "refused_low": refusals.low,
        "refused_high": refusals.high,
        "margin": min(reward.high + NO_WORSE, NO_MORE_REFUSED - refusals.low),
    }
    why = (
        f"reward on {reward.prompts} test prompts {reward.before:.3f} before, {reward.after:.3f} after ({reward.low:+.3f} "
        f"to {reward.high:+.3f}); {refusals.prompts} ordinary ones refused: {refusals.before:.1%} before, "
        f"{refusals.after:.1%} after"
    )
    return figures["margin"] >= 0, why, figures
