"""Instructions for a whole conversation (paper 3.3): a form or the language of the answers, a public figure, a hobby.

An instruction is one or two constraints. A constraint is JSON text with kind and value, as in verifiable.py. Rules check
forms and languages. No rule checks whether an answer sounds like Napoleon or like somebody who enjoys chess.

The paper lets the model itself list hobbies and public figures. Here hobbies are a fixed list, and figures are the
people that reference texts are about.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from modeling.core import hashing, json_text
from modeling.dialogues import verifiable

HOBBIES = (
    "chess", "football", "gardening", "cooking", "painting", "photography", "hiking", "swimming", "reading novels",
    "playing the piano", "astronomy", "knitting", "fishing", "cycling", "bird watching", "dancing", "sailing", "poetry",
    "woodworking", "collecting stamps",
)  # fmt: skip
UNCHECKED = {"figure": "Act as {value}.", "hobby": "You enjoy {value}."}
SHORT = {
    "figure": "Figure: {value}.",
    "hobby": "Hobbies: {value}.",
    "language": "Language: {value}.",
    "sentences": "Sentences: {value}.",
    "lower_case": "Case: lower.",
    "words_below": "Words: fewer than {value}.",
    "ends_with": 'Last words: "{value}"',
    "begins_with": 'First word: "{value}".',
    "bullets": "Bullet points: {value}.",
}
# Pairs of kinds that no answer, or hardly any, obeys together.
_CONFLICTS = frozenset(
    frozenset(pair)
    for pair in (
        ("language", "ends_with"),
        ("language", "begins_with"),
        ("sentences", "ends_with"),
        ("sentences", "words_below"),
        *(("bullets", kind) for kind in ("sentences", "ends_with", "begins_with", "words_below")),
    )
)


@dataclass(frozen=True)
class Shares:
    """What instructions are drawn: kinds that rules check, and shares of dialogues, 0 to 1."""

    kinds: tuple[str, ...]
    unchecked: float  # a public figure or a hobby
    combined: float  # two constraints


def draw(key: str, shares: Shares, part: str, figures: Sequence[str] = ()) -> tuple[str, ...]:
    """One or two constraints, by a hash of `key`. `part` is a part of the split, `figures` are names of people.

    Without figures, an unchecked constraint is a hobby. The second constraint is one that rules can check.
    """
    if hashing.unit_hash("unchecked", key) < shares.unchecked:
        first = _unchecked(key, figures)
    else:
        first = verifiable.choose(key, part, shares.kinds)
    agreeing = [kind for kind in shares.kinds if _agree(kind_and_value(first)[0], kind)]
    if hashing.unit_hash("combined", key) >= shares.combined or not agreeing:
        return (first,)
    return first, verifiable.choose(f"{key} second", part, agreeing)


def text(constraints: Sequence[str], short: bool = False) -> str:
    """The instruction in full sentences, or in a few words (the paper: "Figure: Napoleon.").

    Raises KeyError for a short form of a kind that has none.
    """
    return " ".join(_short(one) if short else _full(one) for one in constraints)


def checked(constraints: Sequence[str]) -> tuple[str, ...]:
    """The constraints that rules can check."""
    return tuple(one for one in constraints if kind_and_value(one)[0] not in UNCHECKED)


def obeyed(constraints: Sequence[str], answer: str) -> bool:
    """Whether the answer obeys every constraint that rules can check."""
    return all(verifiable.obeyed(one, answer) for one in checked(constraints))


def _unchecked(key: str, figures: Sequence[str]) -> str:
    kind, values = ("figure", figures) if figures and hashing.unit_hash("figure", key) < 0.5 else ("hobby", HOBBIES)
    return json_text.dumps({"kind": kind, "value": values[hashing.mix("value", key) % len(values)]}, ensure_ascii=False)


def _agree(first: str, second: str) -> bool:
    return first != second and frozenset((first, second)) not in _CONFLICTS


def _full(constraint: str) -> str:
    kind, value = kind_and_value(constraint)
    return UNCHECKED[kind].format(value=value) if kind in UNCHECKED else verifiable.system_text(constraint)


def _short(constraint: str) -> str:
    kind, value = kind_and_value(constraint)
    return SHORT[kind].format(value=value)


def kind_and_value(constraint: str) -> tuple[str, int | str]:
    """The kind and the value of a constraint."""
    found = json.loads(constraint)
    return found["kind"], found["value"]
