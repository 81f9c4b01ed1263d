"""What pretraining starts from: an adopted checkpoint as a Hugging Face directory, or the shape of a random model.

Random weights are made where training begins (modeling/pretraining/pretrain.py), on the devices that train them.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_cleaning.files import write_json
from modeling.core.atomic_folders import filling
from modeling.core.dialog import check_tokenizer
from modeling.core.recipes import AdoptRecipe, ModelRecipe
from modeling.pretraining import adopt


def run(config: ModelRecipe | AdoptRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write a Hugging Face directory with bfloat16 weights and tokenizer, or shape.json for random weights.

    Inputs: adopted_checkpoint. Raises ValueError if the checkpoint is no Llama, or if its tokenizer cannot encode the
    dialogues of fine-tuning.
    """
    if isinstance(config, ModelRecipe):
        write_json(out / "shape.json", asdict(config))
        return {"weights": "random"}
    found = adopt.find_checkpoint(inputs["adopted_checkpoint"])
    log.info(f"Adopting {found.name} ({config.source})")
    tokenizer = adopt.adopt_tokenizer(found)
    try:
        check_tokenizer(tokenizer)
    except ValueError as error:
        raise ValueError(f"{config.source} cannot be adopted: {error}") from error
    model = adopt.adopt_model(found)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(f"The tokenizer has {len(tokenizer)} tokens, the checkpoint {model.config.vocab_size}")
    with filling(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "weights": found.name,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "vocab_size": model.config.vocab_size,
        "context": model.config.max_position_embeddings,
    }
