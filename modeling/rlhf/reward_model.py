"""Reward models (paper 3.2.2): the chat model with a scalar head, trained on preference pairs with a margin.

The recipe's `kind` says which of the two models to train. Loss of a pair:

    -log sigmoid(r_chosen - r_rejected - margin(degree))                                      (equation 2)
    + weight * mean over labelled answers of BCE(sigmoid(r), answer is safe)                  (safety model only)

The paper adds an auxiliary safety loss (A.3.4) without a formula; binary cross-entropy on the score itself is our
choice. It makes sigmoid(r) a probability of being safe, which the threshold 0.15 of the combined reward requires.
"""

import math
import random
from dataclasses import asdict
from pathlib import Path

import torch
from datasets import Dataset
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from modeling.core import dialog, json_text, reporting, runtime, sharding, training
from modeling.core.frozen_layers import freeze_lower
from modeling.rlhf import contrasts, reward_accuracy, scoring
from modeling.rlhf import pairs as preference_pairs
from modeling.rlhf.pairs import KINDS, of_kind
from modeling.rlhf.recipes import RewardRecipe
from modeling.rlhf.reward_accuracy import ScoredPair

POOLED_BATCHES = 50  # batches whose rows are sorted by length together


def run(config: RewardRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write a LlamaForSequenceClassification directory, accuracy.json and plots. Inputs: chat, preferences_1 … N, and
    optionally ratings, preferences_0, and dialogues, adversarial_prompts and prompts: pairs with human harm scores are
    trained on as well.

    Returns the metrics of training and accuracy on held-out pairs. Raises ValueError for an unknown kind, no pairs, or
    too few judgements of people where no round has pairs of its own.
    """
    if config.kind not in KINDS:
        raise ValueError(f"a reward model's kind is one of {KINDS}, not {config.kind!r}")
    pairs = preference_pairs.read_pairs(inputs)
    pool = [pair for pair in pairs if pair["split"] == "train"]
    if "dialogues" in inputs:
        pool += preference_pairs.scored_by_people(inputs["dialogues"], inputs["adversarial_prompts"], inputs["prompts"])
    check_people(pairs, pool, config)
    mixed = preference_pairs.mix(pool, config.kind, config.own_share, config.seed)
    train = preference_pairs.recent(mixed, config.recent_pairs, config.seed)
    if not train:
        raise ValueError(f"there are no {config.kind} pairs to train on: ask for more prompts in the preferences")
    own = sum(of_kind(pair, config.kind) for pair in train)
    contrasted = contrasts.contrasts(train, pool, config.contrast_share, config.seed)
    log.info(f"{len(train)} training pairs, {own} of them {config.kind}, and {len(contrasted)} contrasts")
    train = preference_pairs.in_order([*train, *contrasted], config.seed)
    trained = training.once(out, lambda: fit(config, train, inputs["chat"], out, log))
    if not runtime.main_process():  # only the main process measures and writes
        return trained
    test = [pair for pair in pairs if pair["split"] == "test"]
    scored = preference_pairs.score_pairs(*scoring.load(out), test, log)
    report = {kind: evaluate([pair for pair in scored if pair.kind == kind]) for kind in KINDS}
    reporting.write_json(out / "accuracy.json", json_text.without_nan(report))
    plot_scores(out / "plots" / "scores.png", [pair for pair in scored if pair.kind == config.kind], config.kind)
    kept = len(train) - len(contrasted)
    counts = {"pairs_train": kept, "pairs_left_out": len(mixed) - kept, "pairs_own": own, "contrasts": len(contrasted)}
    return {**counts, **trained, **headline(report, config.kind), **agreement(train, test, scored, config.kind)}


def check_people(pairs: list[dict], pool: list[dict], config: RewardRecipe) -> None:
    """Raises ValueError if no round has pairs of its own and people judged too few of this kind to fill a batch.

    `pool`: what may be trained on.
    """
    if any(pair["round"] for pair in pairs):
        return
    people = (preference_pairs.PEOPLE_IN_CHAT, preference_pairs.PEOPLE)
    judged = sum(of_kind(pair, config.kind) and pair["annotator"] in people for pair in pool)
    if judged < config.batch_pairs:
        unsafe = ", and mark unsafe answers" if config.kind == "safety" else ""
        raise ValueError(
            f"no round has pairs of its own, and {judged} pairs that people judged can train the {config.kind} reward model; "
            f"it needs {config.batch_pairs}, a batch. Compare versions in the chat (make demo){unsafe}, then run again"
        )


def agreement(train: list[dict], test: list[dict], scored: list[ScoredPair], kind: str) -> dict:
    """Metrics on people's votes: how many pairs were trained on, and the share of held-out ones ranked as people did.

    Held-out votes of the other kind do not count: this model was not made to rank them.
    """
    voted = sum(pair["annotator"] == preference_pairs.PEOPLE_IN_CHAT for pair in train)
    right = [
        one.chosen > one.rejected
        for pair, one in zip(test, scored, strict=True)
        if pair["annotator"] == preference_pairs.PEOPLE_IN_CHAT and of_kind(pair, kind)
    ]
    held_out = {"accuracy_votes": round(sum(right) / len(right), 4)} if right else {}
    return {"pairs_voted": voted, "pairs_voted_test": len(right), **held_out}


def fit(config: RewardRecipe, pairs: list[dict], chat: Path, out: Path, log) -> dict:
    """Train from the chat model's weights and save the model in `out`. Returns steps, tokens and losses."""
    tokenizer = AutoTokenizer.from_pretrained(chat)
    set_filler(tokenizer)
    rows, cut = encode_pairs(tokenizer, pairs, config)
    batch, accumulation = training.split_batch(config.batch_pairs, 2 * config.context)
    arguments = training.training_arguments(
        RewardConfig,
        out,
        config.optimizer,
        max(1, math.ceil(len(rows) * config.epochs / config.batch_pairs)),
        batch=batch,
        accumulation=accumulation,
        seed=config.seed,
        max_length=None,  # rows are cut to the context above, where the loss is counted
        activation_checkpointing=runtime.device().type == "cuda",
        # TRL's default "auto" would spread the model over devices.
        model_init_kwargs={"dtype": "float32", "device_map": None} if runtime.processes() == 1 else None,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",  # the order is made below
    )
    model = str(chat)  # TRL loads it
    if runtime.processes() > 1:  # rows of the first batch then fill a short last one: only that step differs
        model = sharding.load(AutoModelForSequenceClassification, chat, seed=config.seed, num_labels=1)
    trainer = PairTrainer(
        model,
        arguments,
        data_collator=SafetyCollator(tokenizer.pad_token_id),
        train_dataset=Dataset.from_list(in_batches_of_like_length(rows, config.batch_pairs, config.seed)),
        processing_class=tokenizer,
    )
    freeze_lower(trainer.model, config.frozen_layers)
    trainer.safety_loss_weight = config.safety_loss_weight if config.kind == "safety" else 0.0
    tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
    history = training.fit(trainer, out, log, tokens_per_step=round(tokens / len(rows) * config.batch_pairs))
    training.save_model(trainer.model, tokenizer, out)
    return {
        "steps": arguments.max_steps,
        "tokens": tokens,
        "dialogues_cut": cut,
        "loss_first": round(history[0]["loss"], 4),
        "loss_last": round(history[-1]["loss"], 4),
    }


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: list[dict], config: RewardRecipe) -> tuple[list[dict], int]:
    """(rows for TRL's reward trainer, ids ending at the closing token; number of dialogues cut at the start)."""
    rows, cut = [], 0
    for pair in pairs:
        row = {"margin": margin(pair["degree"], config.margins)}
        for side in ("chosen", "rejected"):
            dialogue = preference_pairs.with_answer(pair, side)
            row[f"{side}_ids"], shortened = scoring.encode(tokenizer, dialogue, config.context)
            label = pair[f"{side}_safe"]
            row[f"{side}_safe"] = math.nan if label is None else float(label)
            cut += shortened
        rows.append(row)
    return rows, cut


def in_batches_of_like_length(rows: list[dict], batch: int, seed: int) -> list[dict]:
    """Reorder shuffled rows so that pairs of similar length share a batch; the batches are in random order.

    Otherwise two fifths of a batch would be padding. The grouping in transformers repeatedly goes from long to short.
    """
    full = len(rows) - len(rows) % batch
    pool = batch * POOLED_BATCHES
    batches = []
    for begin in range(0, full, pool):
        alike = sorted(rows[begin : min(begin + pool, full)], key=longer_side)
        batches += [alike[place : place + batch] for place in range(0, len(alike), batch)]
    random.Random(seed).shuffle(batches)
    return [row for rows_of_batch in batches for row in rows_of_batch] + rows[full:]


def longer_side(row: dict) -> int:
    """Tokens of the longer of the two dialogues of a pair."""
    return max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def margin(degree: int, margins: tuple[float, ...]) -> float:
    """Margin of a degree (3 significantly better … 0 negligibly); `margins` begins with that of degree 3."""
    return margins[3 - degree]


def safety_loss(scores: torch.Tensor, safe: torch.Tensor, weight: float) -> torch.Tensor:
    """weight × mean binary cross-entropy of sigmoid(score) against the label, 1 = safe; NaN is no label."""
    known = ~safe.isnan()
    losses = binary_cross_entropy_with_logits(scores.float()[known], safe[known], reduction="sum")
    return weight * losses / known.sum().clamp(min=1)


class SafetyCollator(DataCollatorForPreference):
    """TRL's batch of pairs plus `safe`: each row's label, NaN if it has none (all chosen, then all rejected)."""

    def torch_call(self, examples: list[dict]) -> dict:
        batch = super().torch_call(examples)
        safe = [example["chosen_safe"] for example in examples] + [example["rejected_safe"] for example in examples]
        return batch | {"safe": torch.tensor(safe)}


class PairTrainer(training.ResumableTRL, RewardTrainer):
    """TRL's margin loss plus the weighted auxiliary safety loss."""

    safety_loss_weight = 0.0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        safe = inputs.pop("safe")
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        loss = loss + safety_loss(outputs.logits.squeeze(-1), safe, self.safety_loss_weight)
        return (loss, outputs) if return_outputs else loss


def set_filler(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the tokenizer a padding token other than the closing token.

    Sequence classifiers read the score at the last token that is not padding. If the padding token is the closing
    token, as in ChatML bases, they read it one token too early.
    """
    closing = dialog.closing_token_id(tokenizer)
    if tokenizer.pad_token_id in (None, closing):
        special = [tokenizer.unk_token, tokenizer.bos_token, *tokenizer.all_special_tokens]
        tokenizer.pad_token = next(t for t in special if t and tokenizer.convert_tokens_to_ids(t) != closing)


def evaluate(pairs: list[ScoredPair]) -> dict:
    """The entry of accuracy.json for held-out pairs of one kind."""
    bins = reward_accuracy.calibration(pairs)
    return {
        "accuracy": {name: asdict(figure) for name, figure in reward_accuracy.by_degree(pairs).items()},
        "calibration": bins,
        "calibration_error": reward_accuracy.calibration_error(bins),
        **{
            f"unsafe_at_{threshold}": {
                name: asdict(figure) for name, figure in reward_accuracy.unsafe_detection(pairs, threshold).items()
            }
            for threshold in (0.5, scoring.SAFETY_THRESHOLD)
        },
    }


def headline(report: dict, kind: str) -> dict:
    """The figures of accuracy.json that become metrics of the stage; those without pairs are left out."""
    own, cross = report[kind]["accuracy"], report[next(other for other in KINDS if other != kind)]["accuracy"]
    figures = {
        "accuracy": own["average"]["value"],
        "accuracy_low": own["average"]["low"],
        "accuracy_high": own["average"]["high"],
        "accuracy_significantly_better": own["significantly better"]["value"],
        "accuracy_other_kind": cross["average"]["value"],
        "calibration_error": report[kind]["calibration_error"],
        "unsafe_recall": report["safety"]["unsafe_at_0.5"]["recall"]["value"],
    }
    known = {name: round(value, 4) for name, value in figures.items() if not math.isnan(value)}
    return {"pairs_test": own["average"]["trials"], **known}


def plot_scores(path: Path, pairs: list[ScoredPair], kind: str) -> None:
    """Histograms of the scores of chosen and rejected held-out answers (Figure 27)."""
    title = f"{kind.capitalize()} reward model on {len(pairs)} held-out pairs"
    figure, axes = reporting.diagram(title, "score (logit)", "held-out answers")
    chosen, rejected = ([getattr(pair, side) for pair in pairs] for side in ("chosen", "rejected"))
    if pairs:
        low, high = min(chosen + rejected), max(chosen + rejected)
        step = max(high - low, 1e-6) / 24
        edges = [low + step * index for index in range(25)]
        axes.hist(chosen, edges, color="#1f4e79", alpha=0.65, label=f"chosen, mean {sum(chosen) / len(pairs):.2f}")
        axes.hist(
            rejected, edges, color="#d9822b", alpha=0.55, label=f"rejected, mean {sum(rejected) / len(pairs):.2f}"
        )
        axes.legend(frameon=False)
    reporting.save_figure(figure, path)
