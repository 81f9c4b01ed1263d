"""Generates answers to many prompts in chunks that survive a kill, for all stages that sample from a chat model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from transformers import AutoConfig, AutoTokenizer

from data_cleaning.files import write_json
from modeling.core import sampling
from modeling.core.hashing import mix, unit_hash
from modeling.core.recipes import SamplingRecipe
from modeling.core.sampling import Answer

# Answers between two saves: a few seconds of work on two cores, so a kill loses little. It is a constant because each
# chunk draws its own random numbers: another size gives other answers for the same seed.
CHUNK_ANSWERS = 512


def read_prompts(folder: Path, name: str = "rl") -> list[dict]:
    """Rows of a prompts artifact, sorted by id, messages as plain dicts."""
    rows = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return sorted((row | {"messages": plain(row["messages"])} for row in rows), key=lambda row: row["id"])


def plain(messages: list[dict]) -> list[dict]:
    """Messages without the keys that Arrow fills with null: role, content, and weight where it is set."""
    return [{key: value for key, value in message.items() if value is not None} for message in messages]


def fitting(model_dir: Path, rows: list[dict], recipe: SamplingRecipe) -> list[dict]:
    """Rows whose prompt leaves room for an answer of max_new_tokens in the model's context."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    limit = AutoConfig.from_pretrained(model_dir).max_position_embeddings - recipe.max_new_tokens
    kept = []
    for row in rows:
        try:
            sampling.fit_prompt(tokenizer, row["messages"], limit)
        except sampling.PromptTooLongError:
            continue
        kept.append(row)
    return kept


def select(rows: list[dict], count: int, safety_share: float, round_number: int) -> list[dict]:
    """The prompts of a round, `safety_share` of them adversarial. Each round takes the next ones and wraps at the end.

    The order is by a hash of the id, so new prompts move few of the old. If a kind has too few, all of it is used.
    """
    pools = {True: [], False: []}
    for row in sorted(rows, key=lambda row: unit_hash("order", row["id"])):
        pools[row["kind"] == "safety"].append(row)
    wanted = {True: round(count * safety_share)}
    wanted[False] = count - wanted[True]
    chosen = []
    for kind, pool in pools.items():
        begin = (round_number - 1) * wanted[kind]
        chosen += [pool[(begin + index) % len(pool)] for index in range(min(wanted[kind], len(pool)))]
    return sorted(chosen, key=lambda row: row["id"])


def chunks(total: int, size: int) -> list[range]:
    return [range(begin, min(begin + size, total)) for begin in range(0, total, size)]


def kept(path: Path, make: Callable[[], list]) -> list:
    """The result of `make`, read from `path` if it exists. Stored as JSON: lists, strings and numbers only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, make(), indent=None)
    return json.loads(path.read_text())


def answer_all(
    model_dir: Path, prompts: list[list[dict]], recipe: SamplingRecipe, samples: int, purpose: str, scratch: Path, log
) -> list[list[Answer]]:
    """`samples` answers to each prompt. Finished chunks in `scratch` are reused; the model loads if one is missing.

    `purpose` is part of the seed, so two uses of one recipe draw different random numbers.
    """
    size = max(1, CHUNK_ANSWERS // samples)

    def make(model, tokenizer, number: int, part: range) -> list[list[Answer]]:
        asked, seed = [prompts[index] for index in part], mix(recipe.seed, purpose, number)
        return sampling.generate(model, tokenizer, asked, recipe, samples, seed, log)

    rows = in_chunks(model_dir, len(prompts), size, make, scratch, log, unit="prompt")
    return [[Answer(*one) for one in row] for row in rows]


def in_chunks(
    model_dir: Path, total: int, size: int, make: Callable[[Any, Any, int, range], list], scratch: Path, log, unit: str
) -> list:
    """The rows of `make(model, tokenizer, number of the chunk, its places)` for `total` places, `size` at a time.

    Finished chunks in `scratch` are reused; the model loads if one is missing.
    """
    loaded, rows = None, []
    for number, part in enumerate(chunks(total, size)):

        def made(number: int = number, part: range = part) -> list:
            nonlocal loaded
            loaded = loaded or sampling.load(model_dir)
            return make(*loaded, number, part)

        rows += kept(scratch / f"{number:05d}.json", made)
        log.progress(part.stop, total, unit=unit)
    if loaded is not None:
        loaded = None
        sampling.free_memory()
    return rows
