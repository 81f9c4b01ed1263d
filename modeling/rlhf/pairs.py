"""Preference pairs for reward models: reading them, mixing the kinds, and scoring them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from modeling.core import dialog, hashing, resumable_generation
from modeling.dialogues import human_pairs
from modeling.rlhf import scoring
from modeling.rlhf.labels import BETTER, SIGNIFICANT
from modeling.rlhf.reward_accuracy import ScoredPair

KINDS = ("helpfulness", "safety")
PEOPLE = "people (PyRIT)"  # the annotator of pairs that people scored
PEOPLE_IN_CHAT = "people (chat)"  # the annotator of pairs that people compared in the chat (ratings/)
OPEN = "open data"  # the annotator of pairs that others have published (open_preferences.py)


def read_pairs(inputs: dict[str, Path]) -> list[dict]:
    """All pairs of the parents ratings, preferences_0 (open data; these two if given) … preferences_N, by round.

    Raises ValueError without such a parent.
    """
    roles = sorted((role for role in inputs if role.startswith("preferences_")), key=lambda role: int(role[12:]))
    if not roles:
        raise ValueError("preference pairs are missing: name a parent preferences_<round>")
    rated = [role for role in ("ratings",) if role in inputs]
    rows = [row for role in [*rated, *roles] for row in pq.read_table(inputs[role] / "pairs.parquet").to_pylist()]
    return [row | {"messages": resumable_generation.plain(row["messages"])} for row in rows]


def scored_by_people(dialogues: Path, adversarial: Path, prompts: Path) -> list[dict]:
    """Training pairs of kind "safety" by human harm scores, as rows of pairs.parquet. Their round is 0.

    Groups of prompts that RLHF asks are left out: some of them are validation prompts or belong to held-out pairs.
    """
    asked = {row["entity"] for part in ("rl", "validation") for row in resumable_generation.read_prompts(prompts, part)}
    return [
        {
            "id": f"people:{hashing.digest(row['prompt'] + row['safer'] + row['harmful']).hex()}",
            "prompt_id": f"people:{hashing.digest(row['prompt']).hex()}",
            "entity": row["entity"],
            "kind": "safety",
            "category": row["category"],
            "messages": [{"role": "user", "content": row["prompt"]}],
            "chosen": row["safer"],
            "rejected": row["harmful"],
            "degree": SIGNIFICANT if row["gap"] >= human_pairs.WIDE_GAP else BETTER,
            "chosen_safe": not human_pairs.violates(row["safer_harm"]),
            "rejected_safe": not human_pairs.violates(row["harmful_harm"]),
            "annotator": PEOPLE,
            "chosen_from": PEOPLE,
            "rejected_from": PEOPLE,
            "round": 0,
            "split": "train",
        }
        for row in human_pairs.human_pairs(dialogues, adversarial)
        if row["entity"] not in asked
    ]


def asked(messages: Sequence[dict]) -> str:
    """All messages of a dialogue as one text, from which ids of pairs and prompts are hashed."""
    return "\x1f".join(message["content"] for message in messages)


def of_kind(pair: dict, kind: str) -> bool:
    """Whether the pair belongs to a reward model of this kind. Harmless prompts count as helpfulness."""
    return (pair["kind"] == "safety") == (kind == "safety")


def mix(pairs: list[dict], kind: str, own_share: float, seed: int) -> list[dict]:
    """All pairs of `kind` and a uniform draw of the others, so that `own_share` of the result are of `kind`.

    The others are of the other kind, or open data. The paper's share is half for helpfulness and nine tenths for safety
    (3.2.2). Uses all others if there are too few. Raises ValueError if `own_share` is not in (0, 1].
    """
    if not 0 < own_share <= 1:
        raise ValueError(f"own_share must be above 0 and at most 1, not {own_share}")
    own = [pair for pair in pairs if of_kind(pair, kind) and pair["annotator"] != OPEN]
    other = [pair for pair in pairs if not of_kind(pair, kind) or pair["annotator"] == OPEN]
    other.sort(key=lambda pair: hashing.unit_hash(seed, "mix", pair["id"]))
    chosen = own + other[: round(len(own) * (1 - own_share) / own_share)]
    return in_order(chosen, seed)


def in_order(pairs: Sequence[dict], seed: int) -> list[dict]:
    """The pairs in the order of training, by hash."""
    return sorted(pairs, key=lambda pair: hashing.unit_hash(seed, "order", pair["id"]))


def recent(pairs: list[dict], count: int, seed: int) -> list[dict]:
    """At most `count` of the pairs, in their order; 0 keeps all. People's votes and the newest round come first.

    All of them stay if they fit, and a hash draws the rest from all earlier rounds. If they do not fit, it draws from them.
    """
    if not count or len(pairs) <= count:
        return pairs
    newest = max(pair["round"] for pair in pairs)

    def last(pair: dict) -> tuple[bool, float]:
        first = pair["round"] == newest or pair["annotator"] == PEOPLE_IN_CHAT
        return not first, hashing.unit_hash(seed, "recent", pair["id"])

    drawn = sorted(pairs, key=last)
    kept = {pair["id"] for pair in drawn[:count]}
    return [pair for pair in pairs if pair["id"] in kept]


def with_answer(pair: dict, side: str) -> list[dict]:
    """The dialogue that ends with the pair's "chosen" or "rejected" answer."""
    return dialog.with_answer(pair["messages"], pair[side])


def score_pairs(model, tokenizer, pairs: list[dict], log=None) -> list[ScoredPair]:
    """Raw scores of both answers of each pair."""
    dialogs = [with_answer(pair, side) for side in ("chosen", "rejected") for pair in pairs]
    scores = scoring.score(model, tokenizer, dialogs, log)
    return [
        ScoredPair(
            pair["entity"],
            kind="safety" if of_kind(pair, "safety") else "helpfulness",
            round=pair["round"],
            degree=pair["degree"],
            chosen=chosen,
            rejected=rejected,
            chosen_safe=pair["chosen_safe"],
            rejected_safe=pair["rejected_safe"],
        )
        for pair, chosen, rejected in zip(pairs, scores[: len(pairs)], scores[len(pairs) :], strict=True)
    ]
