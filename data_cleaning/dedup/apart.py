"""Near-duplicates in a mixture of several snapshots: across snapshots, and of held-out documents.

Each snapshot is free of near-duplicates by itself (stage.py). Here a document of a later snapshot goes if an earlier one
holds a near-duplicate, and a training document goes if it is a near-duplicate of a held-out one. Candidates share a band
of their signatures. They are compared within the groups that bands connect (similar.py), so pages of a template cost no
square of comparisons, and sets are loaded one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from data_cleaning.dedup.bands import Bands
from data_cleaning.dedup.clusters import Forest
from data_cleaning.dedup.minhash import equal_keys
from data_cleaning.dedup.partitions import runs
from data_cleaning.dedup.similar import Similar
from data_cleaning.recipes import DedupRecipe

FINE_ROWS = 4  # signature values per band for held-out documents: finds 99.99 % of the pairs of similarity 0.75
Load = Callable[[int], np.ndarray]  # document → its shingle hashes, ascending
Found = dict[int, tuple[int, float]]  # dropped document → (document kept, their Jaccard)


def across_snapshots(
    bands: Bands,
    snapshots: np.ndarray,
    sizes: np.ndarray,
    ids: Sequence[str],
    present: np.ndarray,
    load: Load,
    recipe: DedupRecipe,
) -> Found:
    """Returns the documents that go because an earlier snapshot has a near-duplicate, of the `present` (bool) ones.

    bands: of recipe.rows values; snapshots: number of each document's snapshot, the oldest 0.
    Documents of one snapshot are not compared. An earlier snapshot stays, then the longest text, then the smallest id.
    """
    rows = np.flatnonzero(present)
    ranks = np.argsort(np.argsort(np.array(ids, object)[rows], kind="stable"), kind="stable")
    rows = rows[np.lexsort((ranks, -sizes[rows], snapshots[rows]))]
    of = snapshots[rows]
    found_buckets = (bucket for band in range(bands.count) for bucket in equal_keys(bands.keys(band)[rows]))
    mixed = (bucket for bucket in found_buckets if of[bucket[0]] != of[bucket[-1]])
    found: Found = {}
    gone: set[int] = set()
    for group in _groups(len(rows), mixed):
        similar = Similar(load, recipe.min_jaccard, rows[group].tolist())
        for first, last in runs(of[group]):  # one snapshot, the oldest first
            for place in group[first:last].tolist():
                # In order of preference: what an earlier document is dropped for decides first.
                alike = ((value, int(group[at])) for at, value in similar.alike(int(rows[place])))
                stays = [
                    (value, -one)
                    for value, one in alike
                    if one not in gone and bands.share(int(rows[one]), int(rows[place]))
                ]
                if stays:
                    value, kept = max(stays)
                    gone.add(place)
                    found[int(rows[place])] = int(rows[-kept]), value
            for place in group[first:last].tolist():
                similar.add(int(rows[place]))
    return found


def copies_of(kept: np.ndarray, others: np.ndarray, bands: Bands, load: Load, recipe: DedupRecipe) -> Found:
    """Returns the `others` that are near-duplicates of one of the `kept` documents (both numbers of documents).

    bands: of FINE_ROWS values. Of several with the same similarity, the kept document with the smallest number is named.
    """
    documents = np.concatenate([np.sort(kept), others])
    found: Found = {}
    for group in _groups(len(documents), _buckets_of_both(bands, documents, len(kept))):
        held, candidates = documents[group[group < len(kept)]], documents[group[group >= len(kept)]]
        similar = Similar(load, recipe.min_jaccard, documents[group].tolist())
        for document in held.tolist():
            similar.add(document)
        for other in candidates.tolist():
            for at, value in similar.alike(other):
                document = similar.documents[at]
                if value > found.get(other, (0, 0.0))[1] and bands.share(document, other):
                    found[other] = document, value
    return found


def _buckets_of_both(bands: Bands, documents: np.ndarray, kept: int) -> Iterator[np.ndarray]:
    """Yields the buckets that hold one of the first `kept` documents and one of the others."""
    for band in range(bands.count):
        for bucket in equal_keys(bands.keys(band)[documents]):
            if bucket[0] < kept <= bucket[-1]:
                yield bucket


def _groups(count: int, found: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the groups of places 0 … count - 1 that buckets connect, each ascending."""
    forest = Forest(count)
    for bucket in found:
        root = forest.root(int(bucket[0]))
        for place in bucket[1:].tolist():
            other = forest.root(place)
            root = forest.join(root, other) if other != root else root
    roots = np.fromiter(map(forest.root, range(count)), np.int64, count)
    order = np.argsort(roots, kind="stable")
    for first, last in runs(roots[order]):
        if last - first > 1:
            yield order[first:last]
