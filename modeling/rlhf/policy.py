"""The policy of an RLHF round (paper 3.2.3): the base model fine-tuned anew on the best samples of the round.

A new policy that is significantly worse than the one before stays out (selection.py): the stage then releases the
weights of the policy before, and says so in selection.json.

Every version starts from the base model and takes the same number of steps, so that versions are comparable (the
paper's form). With `start = "before"` the policy before is trained further instead: a small scale has too few steps for
a chat model to be made anew in each round.
Demonstrations are mixed in. The paper leaves this open: it fine-tunes "similar to SFT" and does not say whether
demonstrations stay. After V3, dialogues for Ghost Attention (3.3) are mixed in too.
"""

from pathlib import Path

import pyarrow.parquet as pq

from modeling.core import hashing, resumable_generation
from modeling.core.recipes import FinetuneRecipe
from modeling.finetuning import sft
from modeling.rlhf import selection
from modeling.rlhf.recipes import PolicyRecipe

STARTS = {"base": "base_model", "before": "before"}  # the recipe's word → the input


def run(config: PolicyRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write the policy as a Hugging Face directory, and selection.json if the recipe asks for a selection.

    Inputs: base_model, demonstrations, rejection_samples, and ghost_dialogues after V3; for the selection also before
    (the policy that sampled this round), helpfulness_reward_model, safety_reward_model and prompts. Returns the metrics
    of fine-tuning and of the selection. Raises ValueError if start is unknown, demonstration_share or ghost_share is not
    in [0, 1), there are no samples, or no validation prompt fits.
    """
    if config.start not in STARTS:
        raise ValueError(f"a policy starts from {' or '.join(STARTS)}, not {config.start!r}")
    samples = sft.read_dialogues(inputs["rejection_samples"] / "samples.parquet")
    if not samples:
        raise ValueError("the round has no rejection samples: ask for more prompts in its recipe")
    kept = demonstrations(inputs["demonstrations"] / "train.parquet", len(samples), config)
    others = len(samples) + len(kept)
    ghosts = ghost_dialogues(inputs["ghost_dialogues"], others, config) if "ghost_dialogues" in inputs else []
    log.info(f"{len(samples)} best samples with {len(kept)} demonstrations and {len(ghosts)} ghost dialogues")
    held_out = sft.read_dialogues(inputs["demonstrations"] / "test.parquet")[: sft.SHOWN]
    figures = sft.finetune(inputs[STARTS[config.start]], [*samples, *kept, *ghosts], config, out, log, held_out)
    figures = {"samples": len(samples), "demonstrations": len(kept), "ghost_dialogues": len(ghosts), **figures}
    return figures | selection.keep_the_better(config, "before", inputs, out, held_out, log)


def demonstrations(path: Path, samples: int, recipe: FinetuneRecipe) -> list[sft.Dialogue]:
    """Demonstrations drawn by a hash of seed and id, so many that they are `demonstration_share` of all dialogues.

    Returns all demonstrations if there are too few. Raises ValueError if demonstration_share is not in [0, 1).
    """
    return _drawn(path, samples, "demonstration_share", recipe)


def ghost_dialogues(folder: Path, others: int, recipe: FinetuneRecipe) -> list[sft.Dialogue]:
    """Dialogues for Ghost Attention drawn in the same way, so many that they are `ghost_share` of all dialogues."""
    return _drawn(folder / "samples.parquet", others, "ghost_share", recipe)


def _drawn(path: Path, others: int, field: str, recipe: FinetuneRecipe) -> list[sft.Dialogue]:
    share = getattr(recipe, field)
    if not 0 <= share < 1:
        raise ValueError(f"{field} must be a share in [0, 1), not {share}")
    rows = pq.read_table(path, columns=["id", "messages"]).to_pylist()
    rows.sort(key=lambda row: hashing.unit_hash("policy", recipe.seed, row["id"]))
    return [resumable_generation.plain(row["messages"]) for row in rows[: round(others * share / (1 - share))]]
