"""Pronouns and identity descriptors in documents, counted as in the paper's Tables 9a and 9b."""

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_cleaning.filters.words import flat, normalised, split_words
from data_cleaning.report.mentions import Terms
from data_cleaning.report.terms import DESCRIPTORS, GENDER_PRONOUNS, NO_PRONOUNS, PERSONS

GROUPS = {"gender": GENDER_PRONOUNS, "person": PERSONS}
LISTED = tuple(dict.fromkeys(term for group in GROUPS.values() for listed in group.values() for term in listed))
DESCRIBING = tuple(term for listed in DESCRIPTORS.values() for term in listed)


def count(texts: pa.Array | pa.ChunkedArray) -> dict[str, dict[str, int]]:
    """Returns the number of texts with each kind of pronoun, and with each descriptor and axis.

    "pronouns": She, He, Unspecified, 1st, 2nd, 3rd; "gender" and "person" are texts with any of the first three and of
    the last three. "axes" and "descriptors" count texts with any term of an axis and with each term.
    """
    words = split_words(normalised(pc.replace_substring_regex(flat(texts), NO_PRONOUNS, " ")))
    pronouns = _present(_pronouns(), len(LISTED), words)
    descriptors = _present(_descriptors(), len(DESCRIBING), words)
    kinds: dict[str, np.ndarray] = {}
    for name, group in GROUPS.items():
        parts = {kind: _any(pronouns, LISTED, listed) for kind, listed in group.items()}
        kinds |= {name: np.logical_or.reduce(list(parts.values())), **parts}
    axes = {axis: _any(descriptors, DESCRIBING, listed) for axis, listed in DESCRIPTORS.items()}
    return {
        "pronouns": {kind: int(marked.sum()) for kind, marked in kinds.items()},
        "axes": {axis: int(marked.sum()) for axis, marked in axes.items()},
        "descriptors": dict(zip(DESCRIBING, descriptors.sum(axis=0).tolist(), strict=True)),
    }


@functools.lru_cache(maxsize=1)
def _pronouns() -> Terms:
    return Terms(LISTED)


@functools.lru_cache(maxsize=1)
def _descriptors() -> Terms:
    return Terms(DESCRIBING)


def _present(terms: Terms, number: int, words) -> np.ndarray:
    """Returns whether each text has each term, bool [texts, terms]."""
    marked = np.zeros((len(words.counts), number), bool)
    marked[terms.found(words)] = True
    return marked


def _any(present: np.ndarray, listed: tuple[str, ...], chosen: tuple[str, ...]) -> np.ndarray:
    return present[:, [listed.index(term) for term in chosen]].any(axis=1)
