"""The base model of a scale: pretrained on its mixture, or an adopted checkpoint."""

from pathlib import Path
from typing import Any

from modeling.core.recipes import AdoptRecipe, PretrainRecipe
from modeling.pretraining import adopt, pretrain


def run(config: PretrainRecipe | AdoptRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write a Hugging Face directory. Inputs: tokens, tokenizer, adopted_checkpoint (each stage reads what it needs)."""
    stage = adopt.run if isinstance(config, AdoptRecipe) else pretrain.run
    return stage(config, inputs, out, log)
