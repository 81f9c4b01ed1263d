"""How well a reward model agrees with labelled pairs: accuracy by degree with intervals, calibration, safety recall."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from modeling.core.statistics import clustered_interval, wilson_interval
from modeling.rlhf.labels import DEGREES

BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Share:
    """Hits among trials with a confidence interval, 95 % unless the function that makes it says otherwise."""

    hits: float
    trials: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ScoredPair:
    """A preference pair with the raw scores of both answers."""

    entity: str  # what the prompt is about
    kind: str  # helpfulness | safety
    round: int
    degree: int
    chosen: float  # raw score
    rejected: float
    chosen_safe: bool
    rejected_safe: bool


def share(hits: float, trials: int) -> Share:
    """Hits / trials with Wilson's 95 % interval. Without trials the value is NaN and the interval 0 to 1."""
    low, high = wilson_interval(hits, trials)
    return Share(hits, trials, hits / trials if trials else math.nan, low, high)


def accuracy(pairs: Sequence[ScoredPair], confidence: float = 0.95) -> Share:
    """Share of pairs whose chosen answer scores higher; equal scores count half.

    The interval is clustered by entity: rounds may repeat a prompt, so pairs with the same entity are not independent.
    """
    right = [1.0 if p.chosen > p.rejected else 0.5 if p.chosen == p.rejected else 0.0 for p in pairs]
    low, high = clustered_interval(right, [p.entity for p in pairs], confidence)
    return Share(sum(right), len(right), sum(right) / len(right) if right else math.nan, low, high)


def by_degree(pairs: Sequence[ScoredPair]) -> dict[str, Share]:
    """Accuracy by degree, significantly better first, then "average" over all pairs (Tables 7 and 8)."""
    table = {name: accuracy([pair for pair in pairs if pair.degree == degree]) for degree, name in DEGREES.items()}
    return table | {"average": accuracy(pairs)}


def calibration(pairs: Sequence[ScoredPair]) -> list[dict]:
    """Accuracy by claimed probability (sigmoid of the absolute score gap), for the non-empty bins from 0.5 to 1."""
    bins: list[list[tuple[float, float]]] = [[] for _ in BINS[1:]]
    for pair in pairs:
        gap = pair.chosen - pair.rejected
        claimed = 1 / (1 + math.exp(-min(abs(gap), 700.0)))
        place = next(index for index, upper in enumerate(BINS[1:]) if claimed <= upper)
        bins[place].append((claimed, 1.0 if gap > 0 else 0.5 if gap == 0 else 0.0))
    table = []
    for low, high, members in zip(BINS, BINS[1:], bins, strict=False):
        if members:
            right = share(sum(hit for _, hit in members), len(members))
            table.append(
                {"from": low, "to": high, "claimed": sum(c for c, _ in members) / len(members)} | asdict(right)
            )
    return table


def calibration_error(table: Sequence[dict]) -> float:
    """Mean difference between claimed probability and accuracy over bins, weighted by pairs; NaN without pairs."""
    total = sum(row["trials"] for row in table)
    return sum(row["trials"] * abs(row["claimed"] - row["value"]) for row in table) / total if total else math.nan


def unsafe_detection(pairs: Sequence[ScoredPair], threshold: float) -> dict[str, Share]:
    """Recall and precision of "unsafe" where the probability is below `threshold` (0.5: Table 29; 0.15: 3.2.3)."""
    level = math.log(threshold / (1 - threshold))
    answers = [(p.chosen, p.chosen_safe) for p in pairs] + [(p.rejected, p.rejected_safe) for p in pairs]
    flagged = sum(score < level for score, _ in answers)
    unsafe = sum(not safe for _, safe in answers)
    both = sum(score < level and not safe for score, safe in answers)
    return {"recall": share(both, unsafe), "precision": share(both, flagged)}
