"""MinHash: shingles, signatures, and the keys of their bands.

Two texts are near-duplicates if the Jaccard similarity of their word shingles reaches a threshold. Signatures
(datasketch) of bands × rows values make a pair of similarity s a candidate with probability 1 - (1 - s^rows)^bands. The
true Jaccard similarity then verifies each candidate, so the bands affect recall and never cause a false positive.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datasketch import MinHash

from data_cleaning.filters.words import mix, ngram_hashes, ngram_starts, split_words, sums, word_hashes

BLOCK = 32_768  # hashes


@dataclass(frozen=True)
class Shingles:
    """The shingle hashes of D documents in text order, repeats included: `values[offsets[d]:offsets[d + 1]]`.

    Every document has at least one. Only documents that are compared become sets: sorting all would dominate the cost.
    """

    values: np.ndarray  # uint64
    offsets: np.ndarray  # int64 [D + 1]

    def of(self, document: int) -> np.ndarray:
        """The document's set, ascending."""
        return np.unique(self.values[self.offsets[document] : self.offsets[document + 1]])


def shingles(texts: pa.Array, n: int) -> Shingles:
    """Returns the word n-grams of each normalised text; a text of fewer than n words is a single shingle.

    Hashes have 64 bits: the xxHash of each distinct word, combined over the window.
    """
    words = split_words(texts)
    hashes, counts = word_hashes(words), words.counts
    offsets = np.concatenate([[0], np.cumsum(np.maximum(counts - n + 1, 1))])
    grams = ngram_hashes(hashes, n)[ngram_starts(words.offsets, n)]
    short = np.flatnonzero(counts < n)
    if not len(short):
        return Shingles(grams, offsets)
    places = np.arange(len(hashes), dtype=np.uint64) - np.repeat(words.offsets[:-1], counts).astype(np.uint64)
    whole = mix(sums(mix(hashes + mix(places)), words.offsets))  # unsigned: differences of running sums stay exact
    values = np.empty(offsets[-1], np.uint64)
    long = np.ones(len(values), bool)
    long[offsets[short]] = False
    values[long], values[offsets[short]] = grams, whole[short]
    return Shingles(values, offsets)


def signatures(sets: Shingles, permutations: int, seed: int) -> np.ndarray:
    """Step 1: returns the MinHash signature of each document, uint32 [documents, permutations].

    Equals datasketch's signatures of the lower 32 bits of the hashes (scheme affine32) bit for bit. It applies one
    permutation to many documents at a time instead of one document at a time, which is about eight times as fast.
    """
    factors, terms = MinHash(num_perm=permutations, seed=seed, scheme="affine32").permutations
    hashes = _mix32(sets.values.astype(np.uint32))
    bounds, documents = sets.offsets, len(sets.offsets) - 1
    result = np.empty((documents, permutations), np.uint32)
    first = 0
    while first < documents:  # blocks that fit the processor's cache
        last = max(int(np.searchsorted(bounds, bounds[first] + BLOCK, "right")) - 1, first + 1)
        block, starts = hashes[bounds[first] : bounds[last]], bounds[first:last] - bounds[first]
        for number in range(permutations):
            result[first:last, number] = np.minimum.reduceat(block * factors[number] + terms[number], starts)
        first = last
    return result


def buckets(signed: np.ndarray, bands: int, rows: int) -> Iterator[np.ndarray]:
    """Step 2: yields one array per bucket: at least two documents (ascending) whose rows are equal in a band."""
    for band in range(bands):
        yield from equal_keys(band_keys(signed[:, band * rows : (band + 1) * rows]))


def equal_keys(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the places (ascending) of each key that occurs at least twice, in the order of keys."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] ^ np.uint64(1), append=~keys[order][-1:]))
    wide = np.diff(edges) > 1
    for start, end in zip(edges[:-1][wide].tolist(), edges[1:][wide].tolist(), strict=True):
        yield order[start:end]


def band_keys(values: np.ndarray) -> np.ndarray:
    """Returns one hash of the signature values of a band per document, uint64 [documents]."""
    keys = np.zeros(len(values), np.uint64)
    for row in range(values.shape[1]):
        keys = mix(keys ^ (values[:, row].astype(np.uint64) + np.uint64(row << 32)))
    return keys


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Returns |A ∩ B| / |A ∪ B| of two sets of distinct hashes, at least one of them non-empty."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """Returns the probability that a pair of this Jaccard similarity shares a bucket: 1 - (1 - s^rows)^bands."""
    return 1 - (1 - similarity**rows) ** bands


def _mix32(values: np.ndarray) -> np.ndarray:
    """The MurmurHash3 finaliser on uint32, datasketch's first step of affine32."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))
