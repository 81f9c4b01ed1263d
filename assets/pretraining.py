"""Pretraining (paper 2): mixture, tokenizer, tokens, base model. One partition a scale, all from one clean corpus."""

from dataclasses import replace

from assets.corpus import decontaminated, documents
from data_cleaning.recipes import MixtureRecipe, SourcesRecipe
from data_cleaning.retractions import keys_of, listed
from modeling.core.recipes import AdoptRecipe
from orchestration.stage import SCALE, Stage


def _pretraining(key, module, recipe, paper, description, **inputs) -> Stage:
    return Stage(key, module, "pretraining", SCALE, recipe, paper, description, tuple(inputs.items()))


def _adopted(settings) -> SourcesRecipe:
    """The pinned checkpoint if the scale adopts one, else no sources."""
    model = settings.base.model
    chosen = (s for s in settings.using("checkpoint") if isinstance(model, AdoptRecipe) and s.name == model.source)
    return SourcesRecipe(tuple(chosen))


def _mixture(settings) -> MixtureRecipe:
    """The scale's mixture with what the table says of the sources, and with what people retracted.

    The table says which sources are factual, and which deliver in full. Factual ones that the scale does not name get
    `factual_epochs`. Raises RetractionError if the list of retractions is unusable.
    """
    recipe = settings.mixture
    named = dict(recipe.epochs)
    factual = [source.name for source in settings.sources if source.factual and source.name not in named]
    epochs = (*recipe.epochs, *((name, recipe.factual_epochs) for name in factual))
    full = tuple((source.name, source.snapshot) for source in settings.sources if source.delivers == "full")
    return replace(recipe, epochs=epochs, full_deliveries=full, retractions=keys_of(listed()))


mixture = _pretraining(
    "mixture", "data_cleaning.mixture", _mixture, "2.1",
    "Per-source epochs over every snapshot, the most factual sources up-sampled; held-out documents set apart.",
    corpus=decontaminated, delivered=documents,
)  # fmt: skip
adopted_checkpoint = _pretraining(
    "adopted_checkpoint", "data_cleaning.sources.fetch", _adopted, "departure",
    "An existing Llama checkpoint, pinned, if the scale adopts one; empty if it pretrains its own.",
)  # fmt: skip
initial_model = _pretraining(
    "initial_model", "modeling.pretraining.initial_model", lambda s: s.base.model, "departure",
    "The weights that pretraining starts from: the adopted checkpoint, or only the shape if they are random.",
    adopted_checkpoint=adopted_checkpoint,
)  # fmt: skip
tokenizer = _pretraining(
    "tokenizer", "modeling.pretraining.tokenizer", lambda s: s.tokenizer, "2.2",
    "Byte-pair encoding trained on the mixture: single digits, byte fallback, exact round trip.",
    mixture=mixture, initial_model=initial_model,
)  # fmt: skip
tokens = _pretraining(
    "tokens", "modeling.pretraining.tokens", lambda s: s.tokens, "2.2",
    "The mixture as shuffled token shards.",
    mixture=mixture, tokenizer=tokenizer,
)  # fmt: skip
base_model = _pretraining(
    "base_model", "modeling.pretraining.pretrain", lambda s: s.base, "2.2, Table 1",
    "The pretrained Llama: RMSNorm, SwiGLU, RoPE, grouped-query attention; AdamW, cosine schedule.",
    tokens=tokens, tokenizer=tokenizer, initial_model=initial_model,
)  # fmt: skip

STAGES = [mixture, adopted_checkpoint, initial_model, tokenizer, tokens, base_model]
