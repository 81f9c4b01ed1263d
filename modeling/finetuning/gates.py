"""The gate of SFT, and the comparison that all gates of fine-tuned models use: answer loss before and after."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_cleaning.verdict import Verdict
from modeling.core import runtime
from modeling.core.verdicts import not_finite
from modeling.finetuning import packing, sft

DIALOGUES = 64


def answer_losses(model_dir: Path, dialogues: list, context: int) -> np.ndarray:
    """Nats per answer token of each of the first DIALOGUES dialogues that fit the context; shape (N,)."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir).to(runtime.device())
    encoded, _ = sft.encode(tokenizer, dialogues, context)
    collator = packing.PackedCollator(sft.filler(tokenizer))
    return np.array([sft.answer_loss(model, [one], collator) for one in encoded[:DIALOGUES]], dtype=np.float64)


def compared(artifact: Path, start: Path, path: Path, context: int, of: str) -> tuple[np.ndarray, str, dict]:
    """(increase of each dialogue's answer loss in nats per token, a summary in words, its figures)."""
    dialogues = sft.read_dialogues(path)
    losses = [answer_losses(folder, dialogues, context) for folder in (start, artifact)]
    before, after = (float(losses_N.mean()) if len(losses_N) else math.nan for losses_N in losses)
    why = f"{of}: {before:.3f} nats per answer token before, {after:.3f} after"
    return losses[1] - losses[0], why, {"loss_before": before, "loss_after": after, "dialogues": len(losses[0])}


def learned(artifact: Path, start: Path, path: Path, context: int, of: str) -> Verdict:
    """Passes if the mean answer loss of the dialogues in `path` is lower under `artifact` than under `start`."""
    if broken := not_finite(artifact):
        return False, broken, {}
    _, why, figures = compared(artifact, start, path, context, of)
    margin = figures["loss_before"] - figures["loss_after"]
    return margin > 0, why, figures | {"margin": margin}


def answers_better_than_base(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The answer loss on held-out demonstrations is lower under the SFT model than under the base model."""
    path = inputs["demonstrations"] / "test.parquet"
    return learned(artifact, inputs["base_model"], path, recipe.context, "held-out demonstrations")
