"""Rewards of many dialogues: the scores of both reward models and the paper's piecewise rule (3.2.3), chunk by chunk.

All devices share the scoring, and finished chunks of scores are reused (core/resumable_generation.py).
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from modeling.core import resumable_generation
from modeling.core.replicas import Work
from modeling.rlhf import scoring

KINDS = ("helpfulness", "safety")
SCORE_CHUNK = 2048  # dialogues between two saves


def probabilities(
    inputs: dict[str, Path], dialogs: Callable[[], Iterable[list[dict]]], total: int, scratch: Path, log
) -> Iterator[tuple[float, float]]:
    """(helpfulness, safety) of each of the `total` dialogues: probabilities, the sigmoid of the raw scores.

    `dialogs` is called once for each reward model and read in chunks. Everything is scored when this returns; what it
    returns reads one chunk of scores at a time. Inputs: both reward models.
    """
    files = [
        resumable_generation.complete(
            Work(inputs[f"{kind}_reward_model"], scoring.load, _score),
            _batched(dialogs(), SCORE_CHUNK), total, SCORE_CHUNK, scratch / kind, log, unit="answer",
        )
        for kind in KINDS
    ]  # fmt: skip
    return itertools.chain.from_iterable(
        zip(*(scoring.sigmoid(json.loads(path.read_text())).tolist() for path in pair), strict=True)
        for pair in zip(*files, strict=True)
    )


def add(rows: Sequence[dict], found: Iterator[tuple[float, float]], threshold: float) -> None:
    """Adds helpfulness, safety and reward to rows (with their `kind`), from the next values of `probabilities`."""
    pairs = list(itertools.islice(found, len(rows)))
    adversarial = [row["kind"] == "safety" for row in rows]
    helpfulness, safety = ([pair[place] for pair in pairs] for place in range(len(KINDS)))
    rewards = scoring.piecewise(safety, helpfulness, adversarial, threshold).tolist()
    for row, pair, reward in zip(rows, pairs, rewards, strict=True):
        row["helpfulness"], row["safety"] = pair
        row["reward"] = reward


def _score(model, tokenizer, number: int, dialogs: Sequence[list[dict]], log) -> list[float]:
    return scoring.score(model, tokenizer, dialogs)


def _batched(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch
