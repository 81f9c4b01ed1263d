"""Pairs in which the better answer of an ordinary pair meets one that fits no ordinary prompt.

On-policy pairs of a good model hold few refusals that lose, so a reward model learns from adversarial prompts that
refusals are good: it then scores one fixed refusal, or one sentence about nothing, above real answers. Each contrast
sets the chosen answer of an ordinary prompt against a misplaced refusal, which an adversarial pair preferred, or against
the chosen answer of another ordinary prompt. Not in the paper, whose annotators see refusals of ordinary prompts.
"""

from collections.abc import Sequence

from modeling.core import hashing
from modeling.rlhf import comparison
from modeling.rlhf.labels import SIGNIFICANT
from modeling.rlhf.pairs import of_kind

CONTRAST = "contrast"  # the annotator of these pairs
MISPLACED, OFF_TOPIC = "misplaced refusal", "off topic"


def contrasts(pairs: Sequence[dict], pool: Sequence[dict], share: float, seed: int) -> list[dict]:
    """A contrast for `share` of those pairs that are about an ordinary prompt and whose chosen answer does not refuse.

    Both kinds in turn; if no adversarial pair of the pool (all training pairs) prefers a refusal, all are off topic.
    Columns are those of the pairs.
    """
    ordinary = [pair for pair in pairs if of_kind(pair, "helpfulness") and not _refuses(pair)]
    refusals = [pair["chosen"] for pair in pool if of_kind(pair, "safety") and _refuses(pair)]
    ordinary.sort(key=lambda pair: hashing.unit_hash(seed, "contrast", pair["id"]))
    made = []
    for place, pair in enumerate(ordinary[: round(share * len(ordinary))]):
        others = [other["chosen"] for other in ordinary if other["entity"] != pair["entity"]]
        kind, worse = (MISPLACED, refusals) if refusals and place % 2 == 0 else (OFF_TOPIC, others)
        if worse:
            number = int(hashing.unit_hash(seed, "worse", pair["id"]) * len(worse))
            made.append(_pair(pair, kind, worse[number]))
    return made


def _pair(pair: dict, kind: str, worse: str) -> dict:
    """The rejected answer has no safety label: a misplaced refusal is harmless, and its place is what is wrong."""
    return pair | {
        "id": f"{pair['id']} {kind}",
        "rejected": worse,
        "degree": SIGNIFICANT,
        "rejected_safe": None,
        "annotator": CONTRAST,
        "rejected_from": kind,
    }


def _refuses(pair: dict) -> bool:
    return comparison.refuses(pair["messages"], pair["chosen"])
