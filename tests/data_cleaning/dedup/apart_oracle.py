"""Near-duplicates apart from their partitions, over all pairs of all buckets: the definition of dedup/apart.py."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from data_cleaning.dedup.apart import FINE_ROWS, Found
from data_cleaning.dedup.minhash import band_keys, buckets, jaccard
from data_cleaning.recipes import DedupRecipe

Sets = dict[int, np.ndarray]  # document → its shingle hashes, ascending


def across_snapshots(
    signed: np.ndarray,
    snapshots: np.ndarray,
    sizes: np.ndarray,
    ids: Sequence[str],
    present: np.ndarray,
    load: Callable[[Sequence[int]], Sets],
    recipe: DedupRecipe,
) -> Found:
    """Returns the documents that go because an earlier snapshot has a near-duplicate, of the `present` (bool) ones.

    signed: signatures, uint32 [documents, bands × rows]; snapshots: number of each document's snapshot, the oldest 0.
    Documents of one snapshot are not compared. An earlier snapshot stays, then the longest text, then the smallest id.
    """
    rows = np.flatnonzero(present)
    ranks = np.argsort(np.argsort(np.array(ids, object)[rows], kind="stable"), kind="stable")
    rows = rows[np.lexsort((ranks, -sizes[rows], snapshots[rows]))]
    mine, of = signed[rows], snapshots[rows]
    pairs = {
        (first, second)
        for bucket in buckets(mine, recipe.bands, recipe.rows)
        if len(np.unique(of[bucket])) > 1
        for first, second in itertools.combinations(bucket.tolist(), 2)
        if of[first] != of[second]
    }
    sets = load(rows[sorted({place for pair in pairs for place in pair})].tolist()) if pairs else {}
    alike: dict[int, list[tuple[float, int]]] = {}  # document → its similarities to earlier ones
    for first, second in sorted(pairs):
        value = jaccard(sets[int(rows[first])], sets[int(rows[second])])
        if value >= recipe.min_jaccard:
            alike.setdefault(second, []).append((value, -first))
    found: Found = {}
    gone: set[int] = set()
    for place in sorted(alike):  # in order of preference: what an earlier document is dropped for decides first
        stays = [one for one in alike[place] if -one[1] not in gone]
        if stays:
            value, kept = max(stays)
            gone.add(place)
            found[int(rows[place])] = int(rows[-kept]), value
    return found


def copies_of(
    kept: np.ndarray, others: np.ndarray, signed: np.ndarray, load: Callable[[Sequence[int]], Sets], recipe: DedupRecipe
) -> Found:
    """Returns the `others` that are near-duplicates of one of the `kept` documents (both numbers of documents)."""
    pairs = sorted(set(_candidates(kept, others, signed)))
    sets = load([document for pair in pairs for document in pair]) if pairs else {}
    found: Found = {}
    for other, held in pairs:
        value = jaccard(sets[other], sets[held])
        if value >= recipe.min_jaccard and value > found.get(other, (0, 0.0))[1]:
            found[other] = held, value
    return found


def _candidates(kept: np.ndarray, others: np.ndarray, signed: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields (other, kept) where the signatures are equal in a fine band."""
    for begin in range(0, signed.shape[1] - FINE_ROWS + 1, FINE_ROWS):
        keys = [band_keys(signed[rows, begin : begin + FINE_ROWS]) for rows in (kept, others)]
        places: dict[int, list[int]] = {}
        for document, key in zip(kept.tolist(), keys[0].tolist(), strict=True):
            places.setdefault(key, []).append(document)
        for place in np.flatnonzero(np.isin(keys[1], keys[0])).tolist():
            yield from ((int(others[place]), document) for document in places[int(keys[1][place])])
