"""Spans that documents share with benchmark samples, with a few mismatches: the skipgrams of paper A.6.

A span begins with `exact` equal positions, then at most `skips` positions may differ, and the last position is equal.
The paper finds spans by suffix arrays over the corpus. Here, the n-grams of the samples (n = `exact`) are indexed, and
the corpus is streamed past the index. Both find every span, since each one begins with such an n-gram. The samples are
few and the corpus is large: memory depends only on the samples and on the piece of the corpus at hand. A hash finds
candidates, and a comparison of the positions confirms them. Positions are words or tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from data_cleaning.files import replacing
from data_cleaning.filters.words import ngram_hashes, ngram_starts

CLEAN, DIRTY = 0.2, 0.8  # a sample is clean below the first and dirty from the second on (A.6)
PAIRS = 1 << 20  # candidate pairs of positions extended at once


class Spans(NamedTuple):
    """N spans: `length` positions of a sample, from `start` on, that a document contains too. All int64 [N]."""

    document: np.ndarray
    sample: np.ndarray
    start: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class NgramIndex:
    """S sequences, one after the other, and the hashes of their n-grams in ascending order for binary search."""

    values: np.ndarray  # hashes of words, or token ids; uint64 [positions]
    offsets: np.ndarray  # int64 [S + 1]
    keys: np.ndarray  # n-gram hashes, ascending uint64 [n-grams]
    places: np.ndarray  # where in `values` each n-gram begins, int64 [n-grams]

    @property
    def counts(self) -> np.ndarray:
        """Positions of each sequence, int64 [S]."""
        return np.diff(self.offsets)

    @cached_property
    def _seen(self) -> np.ndarray:
        """True for each value of the low bits that some key has: a cheap test that rejects most other hashes."""
        table = np.zeros(1 << max(16 * len(self.keys), 2).bit_length(), bool)
        table[self.keys & np.uint64(len(table) - 1)] = True
        return table

    def search(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the indices of the hashes that are keys, and for each its range (low, high) in `places`."""
        likely = np.flatnonzero(self._seen[hashes & np.uint64(len(self._seen) - 1)])
        low = np.searchsorted(self.keys, hashes[likely], "left")
        high = np.searchsorted(self.keys, hashes[likely], "right")
        found = high > low
        return likely[found], low[found], high[found]

    def save(self, path: Path) -> None:
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as file:
            return cls(**dict(file))


def index_ngrams(values: np.ndarray, offsets: np.ndarray, n: int) -> NgramIndex:
    """Indexes every n-gram of the sequences; a sequence shorter than n has none and never matches."""
    places = np.flatnonzero(ngram_starts(offsets, n))
    keys = ngram_hashes(values, n)[places]
    order = np.argsort(keys, kind="stable")
    return NgramIndex(values, offsets, keys[order], places[order])


def find_spans(values: np.ndarray, offsets: np.ndarray, index: NgramIndex, exact: int, skips: int) -> Spans:
    """Returns the spans longer than `exact` that documents share with the samples of an index of `exact`-grams.

    `values` uint64 [positions] and `offsets` int64 [D + 1] are the documents'; no span crosses a document's end. For
    each run of equal positions the span from its first one is returned: spans from its other positions end there too.
    """
    parts = [_extended(values, offsets, index, exact, skips, *pairs) for pairs in _pairs(values, offsets, index, exact)]
    none = np.zeros(0, np.int64)
    return Spans(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else Spans(*[none] * 4)


def _pairs(
    values: np.ndarray, offsets: np.ndarray, index: NgramIndex, exact: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields places in documents and in samples whose n-grams have one hash, about PAIRS at a time."""
    places = np.flatnonzero(ngram_starts(offsets, exact))
    hits, low, high = index.search(ngram_hashes(values, exact)[places])
    counts = high - low
    before = np.cumsum(counts) - counts
    for rows in np.split(np.arange(len(hits)), np.flatnonzero(np.diff(before // PAIRS)) + 1):
        if len(rows):
            within = np.arange(counts[rows].sum()) + before[rows[0]] - np.repeat(before[rows], counts[rows])
            yield np.repeat(places[hits[rows]], counts[rows]), index.places[np.repeat(low[rows], counts[rows]) + within]


def _extended(
    values: np.ndarray,
    offsets: np.ndarray,
    index: NgramIndex,
    exact: int,
    skips: int,
    here: np.ndarray,
    there: np.ndarray,
) -> Spans:
    """Returns the spans that begin at these pairs of places, without those that begin inside a run of equal positions."""
    document = np.searchsorted(offsets, here, "right") - 1
    sample = np.searchsorted(index.offsets, there, "right") - 1
    first = (
        (here == offsets[document]) | (there == index.offsets[sample]) | (values[here - 1] != index.values[there - 1])
    )
    here, there, document, sample = here[first], there[first], document[first], sample[first]
    most = np.minimum(offsets[document + 1] - here, index.offsets[sample + 1] - there)
    length, skipped = np.zeros(len(here), np.int64), np.zeros(len(here), np.int64)
    going, step = np.arange(len(here)), 0
    while len(going := going[most[going] > step]):
        same = values[here[going] + step] == index.values[there[going] + step]
        length[going[same]] = step + 1
        skipped[going[~same]] += 1
        # A mismatch in the first `exact` positions means that two n-grams have one hash.
        going = going[same | ((step >= exact) & (skipped[going] <= skips))]
        step += 1
    long = length > exact
    return Spans(document[long], sample[long], (there - index.offsets[sample])[long], length[long])


def covered(size: int, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns bool [size]: True at each position that lies in one of the spans."""
    steps = np.bincount(starts, minlength=size + 1) - np.bincount(np.add(starts, lengths), minlength=size + 1)
    return np.cumsum(steps)[:size] > 0


def sequence_shares(inside: np.ndarray, index: NgramIndex) -> np.ndarray:
    """Returns the share of each sequence's positions that are inside, float64 [S]; of an empty one it is 0."""
    before = np.concatenate([[0], np.cumsum(inside)])
    return (before[index.offsets[1:]] - before[index.offsets[:-1]]) / np.maximum(index.counts, 1)
