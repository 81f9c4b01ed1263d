"""The final model (paper 4.2.4): the PPO policy fine-tuned on its own distilled answers, without the preprompt.

Helpful answers of the last round's rejection sampling make up `demonstration_share` of the samples, so that safety
training does not cost helpfulness; dialogues for Ghost Attention (3.3) are mixed in as in the rounds. A model that is
significantly worse than the PPO policy stays out: the stage then releases the weights of the PPO policy
(modeling/rlhf/selection.py).
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from modeling.core import hashing, resumable_generation
from modeling.finetuning import sft
from modeling.rlhf import policy, selection
from modeling.rlhf.recipes import SelectedRecipe


def run(config: SelectedRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write the chat model as a Hugging Face directory, and selection.json if the recipe asks for a selection.

    Inputs: ppo_policy, distilled_answers, rejection_samples, ghost_dialogues; for the selection also both reward
    models and prompts. Raises ValueError if there are no samples, or no validation prompt fits.
    """
    distilled = read_samples(inputs["distilled_answers"])
    helpful = [row for row in read_samples(inputs["rejection_samples"]) if row["kind"] != "safety"]
    mixed = mix(distilled, helpful, config.demonstration_share)
    if not mixed:
        raise ValueError(
            "neither distilled answers nor rejection samples: lower the bar or raise the number of prompts"
        )
    ghosts = policy.ghost_dialogues(inputs["ghost_dialogues"], len(mixed), config)
    log.info(
        f"{len(mixed)} samples, {len(distilled)} of them distilled safety answers, and {len(ghosts)} ghost dialogues"
    )
    figures = sft.finetune(inputs["ppo_policy"], [*(row["messages"] for row in mixed), *ghosts], config, out, log)
    counts = {
        "distilled_samples": len(distilled),
        "rejection_samples": len(mixed) - len(distilled),
        "ghost_dialogues": len(ghosts),
    }
    return counts | figures | selection.keep_the_better(config, "ppo_policy", inputs, out, [], log)


def read_samples(folder: Path) -> list[dict]:
    """Returns the rows of samples.parquet (id, messages with the answer, kind), sorted by id."""
    rows = pq.read_table(folder / "samples.parquet", columns=["id", "messages", "kind"]).to_pylist()
    return sorted(
        (row | {"messages": resumable_generation.plain(row["messages"])} for row in rows), key=lambda row: row["id"]
    )


def mix(distilled: list[dict], helpful: list[dict], share: float) -> list[dict]:
    """Returns all distilled samples and as many helpful ones as make up `share` of the whole, by a hash of ids."""
    if not 0.0 <= share < 1.0:
        raise ValueError(f"demonstration_share {share} must be 0 or more and below 1: the rest are distilled answers")
    wanted = round(len(distilled) * share / (1.0 - share)) if distilled else len(helpful)
    order = sorted(helpful, key=lambda row: hashing.unit_hash("chat model", row["id"]))
    return sorted(distilled + order[:wanted], key=lambda row: row["id"])
