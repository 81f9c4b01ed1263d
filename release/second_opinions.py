"""Comparisons that another rater judged, shown once more, so that the agreement of raters can be measured (paper 3.4.2).

CRIA_SECOND_OPINIONS is the share of the clicks on "Compare" that show one. A rater sees what the other one saw, shuffled
anew, and nothing of the other vote.
"""

import os
import random

from modeling.rlhf.ratings.store import Store
from release.bundle import Bundle
from release.comparing import SIDES, Comparison, Named

SHARE, DEFAULT = "CRIA_SECOND_OPINIONS", 0.2


def share() -> float:
    """The share that the environment states. Raises ValueError if it is no number from 0 to 1."""
    text = os.environ.get(SHARE, "")
    try:
        stated = float(text) if text else DEFAULT
    except ValueError:
        stated = -1.0
    if not 0 <= stated <= 1:
        raise ValueError(f"{SHARE} is {text!r}: give the share of comparisons that two raters judge, from 0 to 1")
    return stated


def drawn(store: Store, bundle: Bundle, rater: str, shuffle: random.Random) -> Comparison | None:
    """A comparison for a second opinion, in `share` of the cases, if there is one that this rater did not judge.

    Raises RatingsError if the votes cannot be read.
    """
    if shuffle.random() >= share():
        return None
    vote = store.second_opinion(bundle.scale, rater, shuffle)
    if vote is None:
        return None
    order = list(SIDES)
    shuffle.shuffle(order)
    titles = {version.content: version.title for version in bundle.versions}
    shown = [(vote[f"version_{side}"], vote[f"content_{side}"]) for side in order]
    return Comparison(
        scale=vote["scale"],
        messages=vote["messages"],
        versions=tuple(Named(name, titles.get(content, name), content) for name, content in shown),
        sampling={place: vote["sampling"][side] for place, side in zip(SIDES, order, strict=True)},
        answers=tuple(vote[f"answer_{side}"] for side in order),
        ended=True,
        of=vote["id"],
    )
