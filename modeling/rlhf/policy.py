"""The policy of an RLHF round (paper 3.2.3): the base model fine-tuned anew on the best samples of the round.

Every version starts from the base model with the same number of steps, so that versions compare, with demonstrations
mixed in (open: the paper fine-tunes "similar to SFT" without saying whether demonstrations stay).
"""

from pathlib import Path

import pyarrow.parquet as pq

from modeling.core import hashing, resumable_generation
from modeling.core.recipes import FinetuneRecipe
from modeling.finetuning import sft


def run(config: FinetuneRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write the policy as a Hugging Face directory. Inputs: base_model, demonstrations, rejection_samples.

    Metrics: those of fine-tuning and how many samples and demonstrations went in. Raises ValueError where
    demonstration_share is not in [0, 1) or there are no samples.
    """
    samples = sft.read_dialogues(inputs["rejection_samples"] / "samples.parquet")
    if not samples:
        raise ValueError("the round has no rejection samples: ask for more prompts in its recipe")
    kept = demonstrations(inputs["demonstrations"] / "train.parquet", len(samples), config)
    log.info(f"{len(samples)} best samples with {len(kept)} demonstrations")
    held_out = sft.read_dialogues(inputs["demonstrations"] / "test.parquet")
    figures = sft.finetune(inputs["base_model"], [*samples, *kept], config, out, log, held_out)
    return {"samples": len(samples), "demonstrations": len(kept), **figures}


def demonstrations(path: Path, samples: int, recipe: FinetuneRecipe) -> list[sft.Dialogue]:
    """So many demonstrations that they make up `demonstration_share` of the whole, drawn by a hash of seed and id."""
    if not 0 <= recipe.demonstration_share < 1:
        raise ValueError(f"demonstration_share is a share in [0, 1), not {recipe.demonstration_share}")
    wanted = round(samples * recipe.demonstration_share / (1 - recipe.demonstration_share))
    rows = pq.read_table(path, columns=["id", "messages"]).to_pylist()
    rows.sort(key=lambda row: hashing.unit_hash("policy", recipe.seed, row["id"]))
    return [resumable_generation.plain(row["messages"]) for row in rows[:wanted]]
