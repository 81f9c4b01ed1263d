"""The policy of an RLHF round (paper 3.2.3): the base model fine-tuned anew on the best samples of the round.

Every version starts from the base model and takes the same number of steps, so that versions are comparable.
Demonstrations are mixed in. The paper leaves this open: it fine-tunes "similar to SFT" and does not say whether
demonstrations stay.
"""

from pathlib import Path

import pyarrow.parquet as pq

from modeling.core import hashing, resumable_generation
from modeling.core.recipes import FinetuneRecipe
from modeling.finetuning import sft


def run(config: FinetuneRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write the policy as a Hugging Face directory. Inputs: base_model, demonstrations, rejection_samples.

    Returns the metrics of fine-tuning and the numbers of samples and demonstrations. Raises ValueError if
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
    """Demonstrations drawn by a hash of seed and id, so many that they are `demonstration_share` of all dialogues.

    Returns all demonstrations if there are too few. Raises ValueError if demonstration_share is not in [0, 1).
    """
    if not 0 <= recipe.demonstration_share < 1:
        raise ValueError(f"demonstration_share must be a share in [0, 1), not {recipe.demonstration_share}")
    wanted = round(samples * recipe.demonstration_share / (1 - recipe.demonstration_share))
    rows = pq.read_table(path, columns=["id", "messages"]).to_pylist()
    rows.sort(key=lambda row: hashing.unit_hash("policy", recipe.seed, row["id"]))
    return [resumable_generation.plain(row["messages"]) for row in rows[:wanted]]
