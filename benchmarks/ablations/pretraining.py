"""Pretraining from random weights, as one stage: the shape of the model, then its training."""

from pathlib import Path
from typing import Any

from modeling.core import training
from modeling.core.recipes import PretrainRecipe
from modeling.pretraining import initial_model, pretrain


def run(config: PretrainRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Trains a model in `out`. Inputs: tokens, tokenizer. A training that was killed after its end is not run again."""
    start = out / "_scratch" / "initial_model"
    start.mkdir(parents=True, exist_ok=True)
    initial_model.run(config.model, {}, start, log)
    return training.once(out, lambda: pretrain.run(config, {**inputs, "initial_model": start}, out, log))
