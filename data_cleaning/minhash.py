"""The first three of MinHash's four steps: signatures, buckets, cluster (the fourth, filter, is in dedup.py).

Two texts are near-duplicates when the Jaccard similarity of their word shingles reaches a threshold. Signatures (datasketch) of
bands × rows values make a pair of similarity s a candidate with probability 1 - (1 - s^rows)^bands; candidates are then verified
by their true Jaccard, so the bands decide what is found, never what is dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datasketch import MinHash

from data_cleaning.words import mix, ngram_hashes, ngram_starts, split_words, sums, word_hashes


@dataclass(frozen=True)
class Shingles:
    """The sets of shingle hashes of D documents: `values[offsets[d]:offsets[d + 1]]`, distinct and ascending."""

    values: np.ndarray  # uint64
    offsets: np.ndarray  # int64 [D + 1]

    def of(self, document: int) -> np.ndarray:
        return self.values[self.offsets[document] : self.offsets[document + 1]]


def shingles(texts: pa.Array, n: int) -> Shingles:
    """The distinct word n-grams of each normalised text; a text of fewer than n words is one shingle of them all.

    Hashes have 64 bits: xxHash of each distinct word, combined along the window.
    """
    words = split_words(texts)
    hashes, counts = word_hashes(words), words.counts
    starts = ngram_starts(words.offsets, n)
    values, owners = ngram_hashes(hashes, n)[starts], words.owners[: len(starts)][starts]
    places = np.arange(len(hashes), dtype=np.uint64) - np.repeat(words.offsets[:-1], counts).astype(np.uint64)
    whole = mix(
        sums(mix(hashes + mix(places)), words.offsets)
    )  # as uint64 wraps around, differences of running sums are exact
    short = np.flatnonzero(counts < n)
    values, owners = np.concatenate([values, whole[short]]), np.concatenate([owners, short])
    order = np.lexsort((values, owners))
    values, owners = values[order], owners[order]
    new = np.ones(len(values), bool)
    new[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
    return Shingles(values[new], np.searchsorted(owners[new], np.arange(len(counts) + 1)))


def signatures(sets: Shingles, permutations: int, seed: int) -> np.ndarray:
    """Step 1: the MinHash signature of each document, uint32 [documents, permutations] (datasketch, affine32 scheme)."""
    low = (sets.values & np.uint64(0xFFFFFFFF)).tolist()
    bounds = sets.offsets.tolist()
    batches = (low[start:end] for start, end in zip(bounds[:-1], bounds[1:], strict=True))
    made = MinHash.generator(batches, num_perm=permutations, seed=seed, hashfunc=_as_it_is, scheme="affine32")
    result = np.empty((len(bounds) - 1, permutations), np.uint32)
    for row, one in enumerate(made):
        result[row] = one.hashvalues
    return result


def buckets(signed: np.ndarray, bands: int, rows: int) -> Iterator[np.ndarray]:
    """Step 2: for each band, groups of at least two documents (ascending) whose rows agree; one array a bucket."""
    for band in range(bands):
        values = signed[:, band * rows : (band + 1) * rows].astype(np.uint64)
        keys = np.zeros(len(signed), np.uint64)
        for row in range(rows):
            keys = mix(keys ^ (values[:, row] + np.uint64(row << 32)))
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] ^ np.uint64(1), append=~keys[order][-1:]))
        wide = np.diff(edges) > 1
        for start, end in zip(edges[:-1][wide].tolist(), edges[1:][wide].tolist(), strict=True):
            yield order[start:end]


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """|A ∩ B| / |A ∪ B| of two sets of distinct hashes; two empty sets are alike."""
    if not len(first) and not len(second):
        return 1.0
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


class Pairs:
    """True Jaccard similarities of documents, each computed once."""

    def __init__(self, sets: Shingles) -> None:
        self.sets = sets
        self.known: dict[tuple[int, int], float] = {}

    def __call__(self, first: int, second: int) -> float:
        key = (first, second) if first < second else (second, first)
        if key not in self.known:
            self.known[key] = jaccard(self.sets.of(key[0]), self.sets.of(key[1]))
        return self.known[key]


def cluster(signed: np.ndarray, similarity: Pairs, bands: int, rows: int, min_jaccard: float) -> list[list[int]]:
    """Step 3: connected near-duplicates (union-find over verified candidates), each cluster ascending, of two or more.

    Within a bucket a document is compared with the first of each group found there, so a bucket of k copies costs k - 1
    comparisons and not k².
    """
    parent = list(range(len(signed)))

    def root(document: int) -> int:
        while parent[document] != document:
            parent[document] = parent[parent[document]]
            document = parent[document]
        return document

    for bucket in buckets(signed, bands, rows):
        heads: list[int] = []
        for document in bucket.tolist():
            for head in heads:
                if root(head) == root(document):
                    break
                if similarity(head, document) >= min_jaccard:
                    low, high = sorted((root(head), root(document)))
                    parent[high] = low
                    break
            else:
                heads.append(document)
    members: dict[int, list[int]] = {}
    for document in range(len(signed)):
        members.setdefault(root(document), []).append(document)
    return [group for group in members.values() if len(group) > 1]


def keep_from(cluster: list[int], similarity: Pairs, min_jaccard: float) -> dict[int, tuple[int, float]]:
    """Which documents of a cluster go, as {document: (the one kept, Jaccard with it)}; `cluster` stands in order of preference.

    The first stays. Each other goes when it is that similar to one that stays; so the far end of a chain (A like B, B like C,
    A unlike C) is no loss, and whatever goes has its near-duplicate in the corpus.
    """
    kept: list[int] = []
    gone: dict[int, tuple[int, float]] = {}
    for document in cluster:
        best = max(((similarity(other, document), -place) for place, other in enumerate(kept)), default=(0.0, 0))
        if kept and best[0] >= min_jaccard:
            gone[document] = (kept[-best[1]], best[0])
        else:
            kept.append(document)
    return gone


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """The chance that a pair of this Jaccard similarity shares a bucket: 1 - (1 - s^rows)^bands."""
    return 1 - (1 - similarity**rows) ** bands


def _as_it_is(value: int) -> int:
    return value
