"""Finds, among documents added one by one, those whose Jaccard similarity with another reaches a threshold: exactly.

Pages of one template are alike, but not alike enough: every pair is a candidate by MinHash, and no signature decides
whether 0.65 or 0.72 is the true similarity. Comparing all pairs costs k² for k pages. Instead, few documents are
compared one by one, and many are found through the prefix filter of set-similarity joins (Bayardo et al. 2007; Xiao et
al. 2008), which loses no pair.

All shingles have one order, the rarest first. Two sets x and y with |x| ≤ |y| and similarity t or more share at least
t / (1 + t) · (|x| + |y|) shingles. The first one that they share is therefore among the first
|x| - 2t / (1 + t) · |x| + 1 of x ("short") and the first |y| - t · |y| + 1 of y ("long"). A page's own words come before
the template's, which lie behind the short prefix of every page that is no near-duplicate: no pair is compared.
"""

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_cleaning.dedup.minhash import jaccard

FEW = 8  # documents that are compared one by one
PASS_SHINGLES = 4 << 20  # shingles that are counted at a time: 32 MB
MARGIN = 1e-6  # of shingles, for rounding; the similarity itself decides


@dataclass(frozen=True)
class Postings:
    """The documents whose prefix has a shingle: place, size of the set, and how many shingles it has from there on."""

    places: array = field(default_factory=lambda: array("q"))
    sizes: array = field(default_factory=lambda: array("q"))
    rests: array = field(default_factory=lambda: array("q"))


class Similar:
    """The documents added so far; a place is a number in the order in which they were added.

    load: returns a document's set, uint64 ascending. population: all documents that will be added or compared; their
    shingles are counted once there are more than FEW. Counts every computed similarity in `compared`.
    """

    def __init__(self, load: Callable[[int], np.ndarray], least: float, population: Sequence[int]) -> None:
        self.load, self.least, self.population = load, least, population
        self.documents: list[int] = []
        self.compared = 0
        self._shared: tuple[np.ndarray, np.ndarray] | None = None
        self._short: dict[int, Postings] = {}
        self._long: dict[int, Postings] = {}

    def add(self, document: int) -> None:
        """Adds a document at the next place."""
        self.documents.append(document)
        if len(self.documents) <= FEW:
            return
        if self._shared is None:
            self._shared = shared_shingles(self.load, self.population)
            for place, earlier in enumerate(self.documents[:-1]):
                self._index(place, self.load(earlier))
        self._index(len(self.documents) - 1, self.load(document))

    def alike(self, document: int) -> Iterator[tuple[int, float]]:
        """Yields (place, Jaccard) of the added documents that reach the threshold, in the order of places."""
        values = self.load(document)
        places = range(len(self.documents)) if self._shared is None else self._candidates(values)
        for place in places:
            other = self.load(self.documents[place])
            small, large = sorted((len(values), len(other)))
            if small / large < self.least:
                continue  # the similarity cannot be larger
            self.compared += 1
            value = jaccard(other, values)
            if value >= self.least:
                yield place, value

    def _index(self, place: int, values: np.ndarray) -> None:
        for prefix, postings in zip(self._prefixes(values), (self._short, self._long), strict=True):
            for rank, shingle in prefix:
                entry = postings.setdefault(shingle, Postings())
                entry.places.append(place)
                entry.sizes.append(len(values))
                entry.rests.append(len(values) - rank)

    def _candidates(self, values: np.ndarray) -> list[int]:
        short, long = self._prefixes(values)
        found: set[int] = set()
        # The long prefix of the larger set meets the short one of the smaller: one way for each of the two.
        for prefix, postings in ((short, self._long), (long, self._short)):
            for rank, shingle in prefix:
                if shingle in postings:
                    found.update(self._reaching(postings[shingle], len(values), len(values) - rank))
        return sorted(found)

    def _reaching(self, postings: Postings, size: int, rest: int) -> list[int]:
        """Returns the places that can share enough, if this is the first shingle that they share."""
        places, sizes, rests = (
            np.frombuffer(one, np.int64) for one in (postings.places, postings.sizes, postings.rests)
        )
        needed = self.least / (1 + self.least) * (sizes + size) - MARGIN
        return places[(rests >= needed) & (rest >= needed)].tolist()

    def _prefixes(self, values: np.ndarray) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Returns (rank, shingle) of the short and of the long prefix, without shingles that no other document has."""
        shared, counts = self._shared
        at = np.minimum(np.searchsorted(shared, values), max(len(shared) - 1, 0))
        known = shared[at] == values if len(shared) else np.zeros(len(values), bool)
        found = np.where(known, counts[at], 1) if len(shared) else np.ones(len(values), np.int64)
        order = np.argsort(found, kind="stable")
        size = len(values)
        needed = (2 * self.least / (1 + self.least) * size, self.least * size)
        short, long = (min(size - math.ceil(least - MARGIN) + 1, size) for least in needed)
        ranks = np.flatnonzero(found[order[:long]] > 1)
        pairs = list(zip(ranks.tolist(), values[order[ranks]].tolist(), strict=True))
        return pairs[: int(np.searchsorted(ranks, short))], pairs


def shared_shingles(load: Callable[[int], np.ndarray], documents: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the shingles of two documents or more, uint64 ascending, and the number of their documents, int64.

    Reads all sets several times if there are many: those with one remainder at a time, so that memory is bounded.
    """
    total = sum(len(load(document)) for document in documents)
    passes = -(-total // PASS_SHINGLES) or 1
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for number in range(passes):
        parts = []
        for document in documents:
            values = load(document)
            parts.append(values[values % np.uint64(passes) == number] if passes > 1 else values)
        shingles, counts = np.unique(np.concatenate(parts), return_counts=True)
        found.append((shingles[counts > 1], counts[counts > 1]))
    values, counts = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(values)
    return values[order], counts[order]
