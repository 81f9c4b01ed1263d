"""Factual sources up-sampled or not, at equal tokens (paper 2.1): knowledge, and bits per byte by kind of source."""

from pathlib import Path

from benchmarks.ablations import data, heldout, knowledge, pretraining
from benchmarks.ablations.ablation import Ablation, Data, Figure
from benchmarks.ablations.comparison import against_the_first
from benchmarks.ablations.recipe import AblationsRecipe
from modeling.evaluation import bits_per_byte


def measure(folder: Path, found: Data, recipe: AblationsRecipe) -> dict[str, float]:
    """Returns bits per byte of held-out documents by kind of source, and what the knowledge probe finds."""
    model, tokenizer = bits_per_byte.load(folder)
    texts = bits_per_byte.read_texts(found.mixture / "heldout", recipe.heldout_documents)
    own = recipe.factual
    known, unknown = (
        ask(found.mixture, found.factual, own.questions, own.choices, own.words)
        for ask in (knowledge.questions, knowledge.unknown)
    )
    figures = {}
    for kind, factual in (("factual", True), ("other", False)):
        of_kind = [text for source, each in texts.items() if (source in found.factual) == factual for text in each]
        if not of_kind:
            raise ValueError(f"no held-out document of a source that is {kind}: the corpus needs both kinds")
        figures[f"bits_per_byte_{kind}"] = heldout.figures(model, tokenizer, of_kind)["bits_per_byte"]
    return figures | {
        "knowledge": knowledge.accuracy(model, tokenizer, known),
        "confidence": knowledge.confidence(model, tokenizer, known),
        "confidence_unknown": knowledge.confidence(model, tokenizer, unknown),
        "questions": len(known),
        "unknown_names": len(unknown),
    }


def figures(recipe: AblationsRecipe) -> tuple[Figure, ...]:
    chance = 100 / recipe.factual.choices
    return (
        Figure("knowledge", f"Knowledge probe (chance {chance:.0f} %)", 1, 100, " %", True),
        Figure("confidence", "Confidence about known names", 1, 100, " %", False),
        Figure("confidence_unknown", "Confidence about unknown names", 1, 100, " %", True),
        Figure("bits_per_byte_factual", "Bits per byte, factual sources", 3, 1, "", True),
        Figure("bits_per_byte_other", "Bits per byte, other sources", 3, 1, "", True),
        Figure("questions", "Questions", 0, 1, "", False),
        Figure("unknown_names", "Unknown names", 0, 1, "", False),
    )


ABLATION = Ablation(
    name="factual",
    title="Factual sources up-sampled",
    settings=lambda recipe: {f"factual × {epochs:g}": epochs for epochs in recipe.factual.epochs},
    run=pretraining.run,
    training=lambda recipe, epochs: recipe.base,
    data=data.with_factual_epochs,
    size="tokens_seen tokens",
    measure=measure,
    figures=figures,
    paper=(("Paper, 2.1", ("no figure", 'no figure: "to increase knowledge and dampen hallucinations"')),),
    seen=against_the_first,
)
