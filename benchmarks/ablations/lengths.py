"""Loss against the number of training tokens, with a fitted power law (paper 2.2, Figure 5).

Each length is a training of its own, because the learning rate of a longer one is still high at the same token.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.ablations import data, heldout, pretraining
from benchmarks.ablations.ablation import Ablation, Data, Figure, Records
from benchmarks.ablations.comparison import DIFFERS, UNKNOWN, difference, mean
from benchmarks.ablations.recipe import AblationsRecipe
from modeling.evaluation import bits_per_byte

EXPONENT = Figure("exponent", "b", 3, 1, "", False)


def measure(folder: Path, found: Data, recipe: AblationsRecipe) -> dict[str, float]:
    """Returns loss, perplexity and bits per byte on held-out documents."""
    scored = heldout.figures(*bits_per_byte.load(folder), heldout.texts(found.mixture, recipe.heldout_documents))
    return scored | {"perplexity": math.exp(scored["loss"])}


def power_law(tokens: list[int], losses: list[float]) -> tuple[float, float]:
    """Returns (b, R²) of loss = a · tokens^−b, by least squares of the logarithms."""
    x, y = np.log(tokens), np.log(losses)
    slope, intercept = np.polyfit(x, y, 1)
    rest = ((y - slope * x - intercept) ** 2).sum()
    return float(-slope), float(1 - rest / ((y - y.mean()) ** 2).sum())


def seen(figures: tuple[Figure, ...], records: Records) -> str:
    """Returns the fitted law over the seeds that every length has, and whether the last doubling lowers the loss."""
    seeds = sorted(set.intersection(*(set(each) for each in records.values())))
    if len(records) < 3 or not seeds:
        return "A power law needs three lengths with a common seed."
    fits = [
        power_law(*zip(*((each[seed]["metrics"]["tokens_seen"], each[seed]["figures"]["loss"]) for each in records.values()),
                       strict=True))
        for seed in seeds
    ]  # fmt: skip
    exponent = mean([b for b, _ in fits])
    law = {DIFFERS: "its exponent differs from 0", UNKNOWN: UNKNOWN}.get(exponent.verdict, "its exponent may be 0")
    *_, before, last = records
    step = difference(records[before], records[last], figures[0])
    return (
        f"Held-out loss = a · tokens^−b with b = {exponent.text(EXPONENT)}, mean R² "
        f"{sum(r for _, r in fits) / len(fits):.3f}: {law}. {last} against {before}: {step.verdict} "
        f"({step.text(figures[0], '+')} nats a token)."
    )


ABLATION = Ablation(
    name="lengths",
    title="Loss against tokens",
    settings=lambda recipe: {f"{steps * recipe.base.batch_tokens:,} tokens": steps for steps in recipe.lengths.steps},
    run=pretraining.run,
    training=lambda recipe, steps: replace(recipe.base, steps=steps),
    data=lambda recipe, place, value, log: data.standard(recipe, place, log),
    size="tokens_seen tokens",
    measure=measure,
    figures=lambda recipe: (
        Figure("loss", "Held-out loss, nats a token", 3, 1, "", True),
        Figure("perplexity", "Held-out perplexity", 1, 1, "", False),
        Figure("bits_per_byte", "Held-out bits per byte", 3, 1, "", False),
    ),
    paper=(("Paper, Figure 5: training perplexity up to 2T tokens", ("falls; no sign of saturation",)),),
    seen=seen,
)
