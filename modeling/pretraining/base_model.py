"""The base model of a scale: pretrained on its mixture, or an adopted checkpoint."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from modeling.core import dialog
from modeling.core.recipes import AdoptRecipe, PretrainRecipe
from modeling.pretraining import adopt, pretrain


def run(config: PretrainRecipe | AdoptRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write a Hugging Face directory. Inputs: tokenizer, and tokens or adopted_checkpoint.

    Raises ValueError if an adopted tokenizer cannot encode the dialogues of fine-tuning.
    """
    if not isinstance(config, AdoptRecipe):
        return pretrain.run(config, inputs, out, log)
    try:
        dialog.check_tokenizer(AutoTokenizer.from_pretrained(inputs["tokenizer"]))
    except ValueError as error:
        raise ValueError(f"{config.source} cannot be adopted: {error}") from error
    return adopt.run(config, inputs, out, log)
