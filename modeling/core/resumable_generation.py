"""Generates answers to many prompts in chunks that survive a kill, for all stages that sample from a chat model."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from transformers import AutoConfig, AutoTokenizer

from data_cleaning.files import write_json
from modeling.core import replicas, sampling
from modeling.core.hashing import mix, unit_hash
from modeling.core.recipes import SamplingRecipe
from modeling.core.replicas import Work
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
    """`samples` answers to each prompt. All devices share the work; finished chunks in `scratch` are reused.

    `purpose` is part of the seed, so two uses of one recipe draw different random numbers.
    """
    files = answer_files(model_dir, prompts, recipe, samples, purpose, scratch, log)
    return [row for path in files for row in read_answers(path)]


def answer_files(
    model_dir: Path, prompts: list[list[dict]], recipe: SamplingRecipe, samples: int, purpose: str, scratch: Path, log
) -> list[Path]:
    """As `answer_all`: the files of all chunks, in the order of the prompts, for stages that cannot hold all answers."""
    make = functools.partial(_answer, recipe, samples, purpose)
    work = Work(model_dir, sampling.load, make)
    size = max(1, CHUNK_ANSWERS // samples)
    return complete(work, in_parts(prompts, size), len(prompts), size, scratch, log, unit="prompt")


def read_answers(path: Path) -> list[list[Answer]]:
    """The answers to the prompts of a chunk."""
    return [[Answer(*one) for one in row] for row in json.loads(path.read_text())]


def _answer(
    recipe: SamplingRecipe, samples: int, purpose: str, model, tokenizer, number: int, prompts: list[list[dict]], log
) -> list[list[Answer]]:
    return sampling.generate(model, tokenizer, prompts, recipe, samples, mix(recipe.seed, purpose, number), log)


def in_parts(items: Sequence, size: int) -> Iterator[Sequence]:
    return (items[part.start : part.stop] for part in chunks(len(items), size))


def complete(work: Work, parts: Iterable[Sequence], total: int, size: int, scratch: Path, log, unit: str) -> list[Path]:
    """The files of all chunks: a list each, the result of `work` for a part of `total` items, `size` at a time.

    Makes those that `scratch` does not have, on all devices (replicas.py). The model loads only if one is missing.
    """
    spans = chunks(total, size)
    files = [scratch / f"{number:05d}.json" for number in range(len(spans))]
    missing = {number for number, path in enumerate(files) if not path.exists()}
    done = total - sum(len(spans[number]) for number in missing)
    scratch.mkdir(parents=True, exist_ok=True)
    if done:
        log.progress(done, total, unit=unit)
    if missing:
        todo = ((number, part) for number, part in enumerate(parts) if number in missing)
        for number, rows in replicas.results(work, todo, len(missing), log):
            write_json(files[number], rows, indent=None)
            done += len(spans[number])
            log.progress(done, total, unit=unit)
    return files
