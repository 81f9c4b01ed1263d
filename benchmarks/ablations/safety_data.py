"""Fine-tuning on ever more of the safety demonstrations, beside all helpful ones (paper 4.2.3, Figure 15).

A larger share holds the dialogues of every smaller one. The reward models of the finished store score the answers.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from assets import finetuning, rlhf
from benchmarks.ablations import data
from benchmarks.ablations.ablation import Ablation, Data, Figure, Place
from benchmarks.ablations.comparison import against_the_first
from benchmarks.ablations.recipe import AblationsRecipe
from modeling.core import dialog, hashing, resumable_generation, sampling
from modeling.dialogues import answer_rules
from modeling.dialogues.prompt_rows import ADVERSARIAL, ORDINARY
from modeling.finetuning import sft
from modeling.finetuning.sft_dialogues import SAFETY
from modeling.rlhf import scoring
from orchestration.identity import digest

LOWEST = 0.1  # share of the answers, those with the lowest safety scores


@dataclass(frozen=True)
class SafetyShare:
    share: float  # of the safety demonstrations, 0 to 1


def demonstrations(config: SafetyShare, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Writes train.parquet, with all helpful dialogues and the share of safety dialogues, and the whole test.parquet.

    Returns how many of each kind are trained on.
    """
    table = pq.read_table(inputs["demonstrations"] / "train.parquet")
    safety = [place for place, category in enumerate(table["category"].to_pylist()) if category.startswith(SAFETY)]
    names = table["id"].to_pylist()
    ranked = sorted(safety, key=lambda place: hashing.unit_hash("safety data", names[place]))
    left_out = set(ranked[round(config.share * len(safety)) :])
    kept = [place for place in range(len(table)) if place not in left_out]
    pq.write_table(table.take(kept), out / "train.parquet")
    shutil.copyfile(inputs["demonstrations"] / "test.parquet", out / "test.parquet")
    counts = {"safety": len(safety) - len(left_out), "helpful": len(table) - len(safety)}
    log.info(f"{counts['safety']} safety dialogues beside {counts['helpful']} helpful ones")
    return counts


def shared(recipe: AblationsRecipe, place: Place, share: float, log: Any) -> Data:
    """Returns a small base model, the demonstrations with the share, and what is asked and scores.

    Raises MissingDataError if the store lacks demonstrations, prompts or reward models.
    """
    inputs, contents = data.parents(finetuning.sft_model, place, without="base_model")
    known, of_known = data.parents(rlhf.ppo_policy, place, without="policy")  # prompts and reward models
    folder = place.folder / "data" / f"demonstrations-safety-{share:g}"
    made = data.made(folder, demonstrations, SafetyShare(share), inputs, contents, log)
    base, of_base, standard = data.base_model(recipe, place, log)
    content = digest([made, of_base, of_known])
    return Data({"base_model": base, "demonstrations": folder, **known}, content, standard.mixture, standard.factual)


def measure(folder: Path, found: Data, recipe: AblationsRecipe) -> dict[str, float]:
    """Returns what the answers to adversarial and to ordinary test prompts do, by rules and by the reward models.

    Raises ValueError if the store has no test prompt of a kind that fits the model's context.
    """
    own = recipe.safety_data
    model, tokenizer = sampling.load(folder)
    asked = {}
    for setting in (ADVERSARIAL, ORDINARY):
        rows = [
            row
            for row in resumable_generation.read_prompts(found.inputs["prompts"], "test")
            if row["setting"] == setting
        ]
        fitting = resumable_generation.fitting(folder, rows, own.sampling)[: own.prompts]
        if not fitting:
            raise ValueError(f"no {setting} test prompt fits in the context: the store needs shorter ones")
        answers = sampling.generate(model, tokenizer, [row["messages"] for row in fitting], own.sampling)
        asked[setting] = [(row, answer.text) for row, (answer,) in zip(fitting, answers, strict=True)]
    attacked, ordinary = asked[ADVERSARIAL], asked[ORDINARY]
    safety = np.sort(_scores(found.inputs["safety_reward_model"], attacked))
    return {
        "declined": _share(answer_rules.safety(row["question"], text).declines for row, text in attacked),
        "false_refusals": _share(answer_rules.helpfulness(row["question"], text, "").refuses for row, text in ordinary),
        "safety": float(safety.mean()),
        "safety_lowest": float(safety[: max(1, round(LOWEST * len(safety)))].mean()),
        "helpfulness": float(_scores(found.inputs["helpfulness_reward_model"], ordinary).mean()),
        "adversarial_prompts": len(attacked),
        "ordinary_prompts": len(ordinary),
    }


def _share(flags: Any) -> float:
    return float(np.mean(list(flags)))


def _scores(reward_model: Path, answered: list[tuple[dict, str]]) -> np.ndarray:
    """Probabilities of a reward model, one for each (prompt, answer)."""
    dialogues = [dialog.with_answer(row["messages"], text) for row, text in answered]
    return scoring.sigmoid(scoring.score(*scoring.load(reward_model), dialogues)).numpy()


ABLATION = Ablation(
    name="safety_data",
    title="Share of the safety demonstrations",
    settings=lambda recipe: {f"{share:.0%}": share for share in recipe.safety_data.shares},
    run=sft.run,
    training=lambda recipe, share: recipe.safety_data.finetune,
    data=shared,
    size="dialogues dialogues",
    measure=measure,
    figures=lambda recipe: (
        Figure("declined", "Attacks declined, by rule", 1, 100, " %", True),
        Figure("false_refusals", "Ordinary prompts refused, by rule", 1, 100, " %", True),
        Figure("safety", "Safety score of attacks", 3, 1, "", True),
        Figure("safety_lowest", f"Lowest {LOWEST:.0%} of them", 3, 1, "", False),
        Figure("helpfulness", "Helpfulness score of ordinary prompts", 3, 1, "", True),
        Figure("adversarial_prompts", "Attacks", 0, 1, "", False),
        Figure("ordinary_prompts", "Ordinary prompts", 0, 1, "", False),
    ),
    paper=(("Paper, Figure 15", ("", "", "", "", "", "safety rises, helpfulness stays about the same")),),
    seen=against_the_first,
)
