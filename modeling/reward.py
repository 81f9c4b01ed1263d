"""Reward models (paper 3.2.2): the chat model with a scalar head, trained on preference pairs with a margin.

One function for both models; the recipe's `kind` says which. Loss of a pair:

    -log sigmoid(r_chosen - r_rejected - margin(degree))                                      (equation 2)
    + weight * mean over both answers of BCE(sigmoid(r), answer is safe)                      (safety model only)

The paper adds an auxiliary safety loss (A.3.4) without a formula; binary cross-entropy on the score itself is ours. It
makes sigmoid(r) a probability of being safe, which is what the threshold 0.15 of the combined reward needs.
"""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import torch
from datasets import Dataset
from matplotlib.figure import Figure
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from modeling import accuracy, answering, dialog, scoring, training
from modeling.accuracy import ScoredPair
from modeling.recipes import RewardRecipe
from modeling.runtime import device

KINDS = ("helpfulness", "safety")


def run(config: RewardRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write a LlamaForSequenceClassification directory, accuracy.json and plots. Inputs: chat, preferences_1 … N."""
    if config.kind not in KINDS:
        raise ValueError(f"a reward model's kind is one of {KINDS}, not {config.kind!r}")
    pairs = read_pairs(inputs)
    train = mix([pair for pair in pairs if pair["split"] == "train"], config.kind, config.own_share, config.seed)
    if not train:
        raise ValueError(f"there are no {config.kind} pairs to train on: ask for more prompts in the preferences")
    test = [pair for pair in pairs if pair["split"] == "test"]
    log.info(f"{len(train)} training pairs, {sum(is_own(p, config.kind) for p in train)} of them {config.kind}")
    finished = out / "_scratch" / "trained.json"
    trained = answering.kept(finished, lambda: [_train(config, train, inputs["chat"], out, log)])[0]

    model, tokenizer = scoring.load(out)
    scored = score_pairs(model, tokenizer, test, log)
    report = evaluate(scored, config.kind)
    _write_json(out / "accuracy.json", report)
    own = [scored_pair for pair, scored_pair in zip(test, scored, strict=True) if is_own(pair, config.kind)]
    plot_scores(out / "plots" / "scores.png", own, config.kind)
    headline = report[config.kind]["accuracy"]
    return {
        "pairs_train": len(train),
        "pairs_test": len(test),
        **trained,
        "accuracy": round(headline["average"]["value"], 4),
        "accuracy_low": round(headline["average"]["low"], 4),
        "accuracy_high": round(headline["average"]["high"], 4),
        "accuracy_significantly_better": round(headline["significantly better"]["value"], 4),
        "calibration_error": round(report[config.kind]["calibration_error"], 4),
        "unsafe_recall": round(report["safety"]["unsafe_at_0.5"]["recall"]["value"], 4),
    }


def read_pairs(inputs: dict[str, Path]) -> list[dict]:
    """All pairs of all rounds so far, in the order of their rounds."""
    roles = sorted((role for role in inputs if role.startswith("preferences_")), key=lambda role: int(role[12:]))
    if not roles:
        raise ValueError("a reward model needs at least one parent preferences_<round>")
    rows = [row for role in roles for row in pq.read_table(inputs[role] / "pairs.parquet").to_pylist()]
    return [row | {"messages": answering.plain(row["messages"])} for row in rows]


def is_own(pair: dict, kind: str) -> bool:
    """Whether the pair is of the model's own kind. Harmless prompts count as helpfulness."""
    return (pair["kind"] == "safety") == (kind == "safety")


def mix(pairs: list[dict], kind: str, own_share: float, seed: int) -> list[dict]:
    """All pairs of the own kind, and so many of the other, drawn uniformly, that own ones are `own_share` of all.

    Half for helpfulness, nine tenths for safety (3.2.2). Where the other kind has too few, all of them.
    """
    if not 0 < own_share <= 1:
        raise ValueError(f"own_share is a share above 0, at most 1, not {own_share}")
    own = [pair for pair in pairs if is_own(pair, kind)]
    other = sorted(
        (pair for pair in pairs if not is_own(pair, kind)),
        key=lambda pair: answering.unit_hash(seed, "mix", pair["id"]),
    )
    chosen = own + other[: round(len(own) * (1 - own_share) / own_share)]
    return sorted(chosen, key=lambda pair: answering.unit_hash(seed, "order", pair["id"]))


def margin(degree: int, margins: tuple[float, ...]) -> float:
    """Margin of a degree (3 significantly better … 0 negligibly) from a recipe's list, which starts with degree 3."""
    return margins[3 - degree]


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: list[dict], config: RewardRecipe) -> tuple[list[dict], int]:
    """Rows of TRL's reward trainer, ids ending at the closing token; and how many dialogues lost their beginning."""
    rows, cut = [], 0
    for pair in pairs:
        row = {"margin": margin(pair["degree"], config.margins)}
        for side in ("chosen", "rejected"):
            row[f"{side}_ids"], shortened = scoring.encode(tokenizer, with_answer(pair, side), config.context)
            row[f"{side}_safe"] = float(pair[f"{side}_safe"])
            cut += shortened
        rows.append(row)
    return rows, cut


def with_answer(pair: dict, side: str) -> list[dict]:
    return [*pair["messages"], {"role": "assistant", "content": pair[side]}]


class SafetyCollator(DataCollatorForPreference):
    """TRL's batch of pairs and, in the order of its rows (all chosen, then all rejected), whether each is safe."""

    def torch_call(self, examples: list[dict]) -> dict:
        batch = super().torch_call(examples)
        safe = [example["chosen_safe"] for example in examples] + [example["rejected_safe"] for example in examples]
        return batch | {"safe": torch.tensor(safe)}


class PairTrainer(RewardTrainer):
    """TRL's margin loss, plus the auxiliary safety loss where its weight isn't 0."""

    safety_loss_weight = 0.0

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = [*self._signature_columns, "chosen_safe", "rejected_safe"]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        safe = inputs.pop("safe")
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        loss = loss + safety_loss(outputs.logits.squeeze(-1), safe, self.safety_loss_weight)
        return (loss, outputs) if return_outputs else loss


def safety_loss(scores: torch.Tensor, safe: torch.Tensor, weight: float) -> torch.Tensor:
    """weight × mean binary cross-entropy of sigmoid(score) against the label 1 = safe."""
    return weight * binary_cross_entropy_with_logits(scores.float(), safe)


def set_filler(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the tokenizer a padding token that can't be the closing one.

    Sequence classifiers read the score at the last token that isn't padding, so a tokenizer that pads with its closing
    token (ChatML bases do) would have it read one token too early.
    """
    closing = dialog.closing_token_id(tokenizer)
    if tokenizer.pad_token_id in (None, closing):
        usable = (tokenizer.unk_token, tokenizer.bos_token, *tokenizer.all_special_tokens)
        tokenizer.pad_token = next(
            token for token in usable if token and tokenizer.convert_tokens_to_ids(token) != closing
        )


def score_pairs(model, tokenizer, pairs: list[dict], log=None) -> list[ScoredPair]:
    """Raw scores of both answers of each pair."""
    dialogs = [with_answer(pair, side) for side in ("chosen", "rejected") for pair in pairs]
    scores = scoring.score(model, tokenizer, dialogs, log)
    return [
        ScoredPair(pair["degree"], chosen, rejected, pair["chosen_safe"], pair["rejected_safe"])
        | {"kind": pair["kind"]}
        for pair, chosen, rejected in zip(pairs, scores[: len(pairs)], scores[len(pairs) :], strict=True)
    ]
