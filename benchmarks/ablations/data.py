"""The tokenizer, mixtures and tokens of the ablations, made once by the product's stages from a finished store.

A scale that adopts a checkpoint has a vocabulary too large for models of a million parameters, so the ablations train
their own tokenizer on the store's mixture. Each folder has a MADE.json: recipe, contents of the parents, commit, time.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from assets import pretraining
from benchmarks.ablations import pretraining as base_training
from benchmarks.ablations.ablation import Data, Place
from benchmarks.ablations.recipe import AblationsRecipe
from data_cleaning import mixture as mixtures
from data_cleaning.files import write_json
from modeling.pretraining import tokenizer as tokenizers
from modeling.pretraining import tokens as token_shards
from orchestration import records
from orchestration.identity import digest
from orchestration.stage import SCALE, Stage, expanded_inputs, settings
from orchestration.store import SCRATCH, artifact

MADE = "MADE.json"


class MissingDataError(Exception):
    """The store lacks what the ablations read; the message says which command makes it."""


def mixture_content(place: Place) -> str:
    """Returns the hash of the store's mixture. Raises MissingDataError if it was not made."""
    return _content(pretraining.mixture, place.scale, place)


def _content(stage: Stage, partition: str | None, place: Place) -> str:
    folder = artifact(stage.key, partition)
    record = records.read(folder)
    if record is None:
        raise MissingDataError(f"{folder} has no record: make it first with `make run SCALE={place.scale}`")
    return record["content"]


def parents(stage: Stage, place: Place, without: str = "") -> tuple[dict[str, Path], dict[str, str]]:
    """Returns the folders of a stage's parents in the store, and the hashes of their contents, by role.

    Leaves out the role `without`. Raises MissingDataError if a parent was not made.
    """
    chosen = {role: of for role, of in expanded_inputs(stage, place.scale).items() if role != without}
    contents = {role: _content(parent, partition, place) for role, (parent, partition) in chosen.items()}
    return {role: artifact(parent.key, partition) for role, (parent, partition) in chosen.items()}, contents


def standard(recipe: AblationsRecipe, place: Place, log: Any) -> Data:
    """Returns the store's own mixture with the ablations' tokenizer and tokens."""
    mixture = artifact(pretraining.mixture.key, place.scale)
    content = mixture_content(place)
    return _tokenized(recipe, place, mixture, content, place.folder / "data" / "tokens", log)


def with_factual_epochs(recipe: AblationsRecipe, place: Place, epochs: float, log: Any) -> Data:
    """Returns a mixture of the store's corpus in which every factual source has `epochs`; the tokenizer is the same.

    Raises MissingDataError if the corpus was not cleaned.
    """
    own = recipe.factual
    scale = settings(SCALE, place.scale)
    changed = replace(scale.scale.mixture, epochs=(), factual_epochs=epochs, default_epochs=own.other_epochs,
                      max_documents_per_source=own.documents)  # fmt: skip
    config = pretraining.mixture.recipe(replace(scale, scale=replace(scale.scale, mixture=changed)))
    inputs, contents = parents(pretraining.mixture, place)
    folder = place.folder / "data" / f"mixture-factual-{epochs:g}"
    content = made(folder, mixtures.run, config, inputs, contents, log)
    return _tokenized(recipe, place, folder, content, place.folder / "data" / f"tokens-factual-{epochs:g}", log)


def _tokenized(recipe: AblationsRecipe, place: Place, mixture: Path, content: str, tokens: Path, log: Any) -> Data:
    own = artifact(pretraining.mixture.key, place.scale)
    tokenizer = place.folder / "data" / "tokenizer"
    contents = {"mixture": mixture_content(place)}
    contents = {"tokenizer": made(tokenizer, tokenizers.run, recipe.tokenizer, {"mixture": own}, contents, log)}
    contents["mixture"] = content
    inputs = {"mixture": mixture, "tokenizer": tokenizer}
    content = made(tokens, token_shards.run, recipe.tokens, inputs, contents, log)
    factual = tuple(source.name for source in settings(SCALE, place.scale).sources if source.factual)
    return Data({"tokens": tokens, "tokenizer": tokenizer}, content, mixture, factual)


def pairs(recipe: AblationsRecipe, place: Place, reward_model: Stage, log: Any) -> Data:
    """Returns the store's preference pairs as `reward_model` reads them, and a small base model in place of its chat.

    Raises MissingDataError if the store has no pairs.
    """
    inputs, contents = parents(reward_model, place, without="chat")
    chat, contents["chat"], found = base_model(recipe, place, log)
    return Data({**inputs, "chat": chat}, digest(contents), found.mixture, found.factual)


def base_model(recipe: AblationsRecipe, place: Place, log: Any) -> tuple[Path, str, Data]:
    """Returns a small base model, the hash of what made it, and the data that it was trained on."""
    found, folder = standard(recipe, place, log), place.folder / "data" / "base_model"
    return folder, made(folder, base_training.run, recipe.base, found.inputs, {"tokens": found.content}, log), found


def made(
    folder: Path, run: Callable[..., dict], recipe: Any, inputs: dict[str, Path], contents: dict[str, str], log: Any
) -> str:
    """Makes `folder` by a stage's `run` unless it was made from the same; returns the hash of recipe and parents.

    `contents`: role → hash of each input. A killed stage continues in a hidden folder beside it.
    """
    identity = digest([folder.name, asdict(recipe), contents])
    record = folder / MADE
    if record.is_file() and json.loads(record.read_text(encoding="utf-8"))["identity"] == identity:
        return identity
    log.info(f"makes {folder.name}")
    work = folder.with_name(f".{folder.name}-{identity[:16]}")
    work.mkdir(parents=True, exist_ok=True)
    if not (work / MADE).is_file():  # otherwise a kill came between the last two lines
        began = time.monotonic()
        metrics = run(recipe, inputs, work, log)
        shutil.rmtree(work / SCRATCH, ignore_errors=True)
        made_of = {"identity": identity, "recipe": records.as_json(recipe), "parents": contents}
        seconds = round(time.monotonic() - began, 3)
        write_json(work / MADE, {**made_of, "git": records.git_state(), "seconds": seconds, "metrics": metrics})
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)
    return identity
