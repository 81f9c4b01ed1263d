"""A doubled context at an equal number of tokens: loss by position (paper A.2.1, Tables 16 and 17)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.ablations import data, heldout, pretraining
from benchmarks.ablations.ablation import Ablation, Data, Figure
from benchmarks.ablations.comparison import against_the_first
from benchmarks.ablations.recipe import AblationsRecipe
from modeling.core import dialog
from modeling.core.recipes import PretrainRecipe
from modeling.evaluation import bits_per_byte
from modeling.pretraining.tokenizer import document_tokens


def training(recipe: AblationsRecipe, context: int) -> PretrainRecipe:
    return replace(recipe.base, model=replace(recipe.base.model, context=context))


def ends(recipe: AblationsRecipe) -> list[int]:
    """Returns the last position of each part of the longer context."""
    longest, parts = max(recipe.context.contexts), recipe.context.parts
    return [longest * (part + 1) // parts for part in range(parts)]


def measure(folder: Path, found: Data, recipe: AblationsRecipe) -> dict[str, float]:
    """Returns held-out bits per byte within the model's own context, and the loss of each part of the longer one.

    Every model reads the longer context in one piece. Raises ValueError if no held-out document fills it.
    """
    model, tokenizer = bits_per_byte.load(folder)
    scored = heldout.figures(model, tokenizer, heldout.texts(found.mixture, recipe.heldout_documents))
    start, _ = document_tokens(tokenizer)
    rows = ([start, *dialog.encode_text(tokenizer, text)] for text in heldout.texts(found.mixture, 0))
    long = [row for row in rows if len(row) > ends(recipe)[-1]][: recipe.context.documents]
    if not long:
        raise ValueError(f"no held-out document has {ends(recipe)[-1]} tokens: add longer documents to the corpus")
    return scored | {f"loss_{end}": loss for end, loss in by_position(model, long, ends(recipe)).items()}


def by_position(model, rows: list[list[int]], last: list[int]) -> dict[int, float]:
    """Returns end → mean nats of the tokens at the positions up to this end and after the one before."""
    model.config.max_position_embeddings = last[-1]  # otherwise the scoring would cut rows to the model's own context
    before, begin, losses = np.zeros(len(rows)), 0, {}
    for end in last:
        nats = bits_per_byte.score_rows(model, [row[: end + 1] for row in rows])
        losses[end] = float((nats - before).mean()) / (end - begin)
        before, begin = nats, end
    return losses


def figures(recipe: AblationsRecipe) -> tuple[Figure, ...]:
    parts = zip([0, *ends(recipe)], ends(recipe), strict=False)
    shown = [
        Figure(f"loss_{end}", f"Loss, tokens {begin + 1} to {end}", 3, 1, "", end == ends(recipe)[-1])
        for begin, end in parts
    ]
    return *shown, Figure("bits_per_byte", "Held-out bits per byte, own context", 3, 1, "", True)


ABLATION = Ablation(
    name="context",
    title="Doubled context at equal tokens",
    settings=lambda recipe: {f"context {context}": context for context in recipe.context.contexts},
    run=pretraining.run,
    training=training,
    data=lambda recipe, place, value, log: data.standard(recipe, place, log),
    size="tokens_seen tokens",
    measure=measure,
    figures=figures,
    paper=(
        (
            "Paper, Table 16 (2k and 4k): NarrativeQA, Qasper, QuALITY, QMSum, ContractNLI, SQuAD",
            ("0.21, 0.71, 26.1, 0.13, 11.76, 57.23", "17.26, 18.52, 29.6, 15.08, 16.33, 57.99"),
        ),
        (
            "Paper, Table 17: HellaSwag, NQ, TQA, GSM8K, HumanEval",
            ("75.1, 25.5, 53.7, 4.9, 7.9", "74.8, 25.5, 52.2, 6.5, 7.3"),
        ),
    ),
    seen=against_the_first,
)
