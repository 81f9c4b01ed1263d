"""Reward models with other margins, and with the auxiliary safety loss or without (paper A.3.3, A.3.4, Tables 28, 29).

They learn from the pairs of a finished store, but start from a base model of the ablations, which takes seconds.
"""

import json
from dataclasses import replace
from pathlib import Path

from assets import rlhf
from benchmarks.ablations import data
from benchmarks.ablations.ablation import Ablation, Figure
from benchmarks.ablations.comparison import against_the_first
from modeling.rlhf import reward_model
from modeling.rlhf.labels import DEGREES

AVERAGE, RECALL = "average", "unsafe recall"


def measure(kind: str, folder: Path) -> dict[str, float]:
    """Returns the accuracy on held-out pairs of `kind` by degree, their number, and the recall of unsafe answers.

    A figure without any pair or unsafe answer is left out.
    """
    said = json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))
    shares = {**said[kind]["accuracy"], RECALL: said["safety"]["unsafe_at_0.5"]["recall"]}
    found = {name: share["value"] for name, share in shares.items() if share["trials"]}
    return {**found, "pairs": said[kind]["accuracy"][AVERAGE]["trials"], "unsafe": shares[RECALL]["trials"]}


def accuracy(name: str, compared: bool) -> Figure:
    return Figure(name, f"Accuracy, {name}", 1, 100, " %", compared)


PAIRS = Figure("pairs", "Held-out pairs", 0, 1, "", False)
AVERAGED = accuracy(AVERAGE, True)

MARGINS = Ablation(
    name="margins",
    title="Margins of the reward model",
    settings=lambda recipe: dict(recipe.margins.margins),
    run=reward_model.run,
    training=lambda recipe, margins: replace(recipe.margins.reward, margins=margins),
    data=lambda recipe, place, value, log: data.pairs(recipe, place, rlhf.v5.helpfulness_reward_model, log),
    size="pairs_train pairs",
    measure=lambda folder, found, recipe: measure("helpfulness", folder),
    figures=lambda recipe: (*(accuracy(name, False) for name in DEGREES.values()), AVERAGED, PAIRS),
    paper=(
        (
            "Paper, Table 28: by degree, average",
            ("79.1, 66.9, 59.8, 54.5, 62.5", "80.4, 67.3, 60.4, 55.0, 63.0", "80.7, 67.5, 60.5, 54.3, 62.9"),
        ),
    ),
    seen=against_the_first,
)
SAFETY_LOSS = Ablation(
    name="safety_loss",
    title="Auxiliary safety loss",
    settings=lambda recipe: dict(recipe.safety_loss.weights),
    run=reward_model.run,
    training=lambda recipe, weight: replace(recipe.safety_loss.reward, safety_loss_weight=weight),
    data=lambda recipe, place, value, log: data.pairs(recipe, place, rlhf.v5.safety_reward_model, log),
    size="pairs_train pairs",
    measure=lambda folder, found, recipe: measure("safety", folder),
    figures=lambda recipe: (
        AVERAGED,
        PAIRS,
        Figure(RECALL, "Recall of unsafe answers at 0.5", 1, 100, " %", True),
        Figure("unsafe", "Unsafe held-out answers", 0, 1, "", False),
    ),
    paper=(("Paper, Table 29: average, recall", ("63.7, 73.0", "64.5, 90.4")),),
    seen=against_the_first,
)
ABLATIONS = (MARGINS, SAFETY_LOSS)
