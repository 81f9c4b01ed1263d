"""Step 3 of deduplication: clusters from the links of all partitions, and in each cluster the documents that stay.

A cluster depends on the order of comparisons: within a bucket a document is compared with the head of each group so
far, and joins the first that is its near-duplicate or already in its cluster. Partitions do not know the clusters.
`unite` therefore repeats the decisions over all buckets in the order of bands and keys. Nearly all of them follow from
the links; the others compare documents again.
"""

import bisect
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_cleaning.dedup.partitions import HEAD, VERDICT, Bucket, read_buckets, runs
from data_cleaning.dedup.signed import SignedShards, by_preference, save_array
from data_cleaning.dedup.similar import Similar

TASK_DOCUMENTS = 8192
Load = Callable[[int], np.ndarray]


class Forest:
    """Union-find over places 0 … size - 1."""

    def __init__(self, size: int) -> None:
        self.parent = array("q", range(size))

    def root(self, place: int) -> int:
        parent = self.parent
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    def join(self, first: int, second: int) -> int:
        """Joins two trees by their roots. Returns the new root."""
        low, high = sorted((first, second))
        self.parent[high] = low
        return low


def clusters(signed: SignedShards, links: Sequence[Path], least: float) -> tuple[pa.Table, int]:
    """Returns the documents of all clusters of two and more, and the number of similarities computed here.

    Columns: those of `SignedShards.described`, and `cluster` from 0 on. Clusters are in the order of preference of
    their first documents; so are the documents of each. Memory: some hundred bytes per document in a bucket with links.
    """
    empty = np.empty(0, np.int64)
    documents = empty
    for path in links:
        documents = np.union1d(documents, np.concatenate([empty, *(one.documents for one in read_buckets(path))]))
    forest = Forest(len(documents))
    load, compared = signed.sets(), 0
    for path in links:
        for bucket in read_buckets(path):
            compared += unite(bucket, np.searchsorted(documents, bucket.documents).tolist(), forest, load, least)
    roots = np.array([forest.root(place) for place in range(len(documents))], np.int64)
    wide = np.bincount(roots, minlength=1)[roots] > 1
    members = signed.described(documents[wide]).append_column("root", pa.array(roots[wide]))
    members = by_preference(members)
    firsts, numbers = np.unique(members["root"].to_numpy(), return_index=True, return_inverse=True)[1:]
    order = np.argsort(firsts[numbers], kind="stable")
    number = np.argsort(np.argsort(firsts))[numbers]
    return members.drop_columns("root").append_column("cluster", pa.array(number)).take(pa.array(order)), compared


def unite(bucket: Bucket, places: Sequence[int], forest: Forest, load: Load, least: float) -> int:
    """Joins the documents of a bucket in the forest, where they have these places; returns the similarities computed.

    Known from the links: a document is alike its link, and unlike every head of the partition before it. Other pairs
    are computed: a head here that has a link, and heads after a link that is no head here, because they were in one
    cluster already.
    """
    links = bucket.links.tolist()
    heads: list[int] = []
    linked: list[int] = []  # the heads with a link
    first: dict[int, int] = {}  # root → first head of that cluster
    similar: Similar | None = None
    for one, link in enumerate(links):
        root = forest.root(places[one])
        joined = first.get(root, len(links))
        at = bisect.bisect_left(heads, link) if link != HEAD else len(heads)
        known = at < len(heads) and heads[at] == link
        end = min(joined, link) if known else joined
        later = [] if known or link == HEAD else heads[at : at + 1]
        if (linked and linked[0] < end) or (later and later[0] < end):
            if similar is None:
                similar = Similar(load, least, bucket.documents.tolist())
                for head in heads:
                    similar.add(int(bucket.documents[head]))
            found = next(similar.alike(int(bucket.documents[one])), None)
            if found is not None and heads[found[0]] < end:
                end = heads[found[0]]
        if end == joined < len(links):
            continue
        if end < len(links):
            other = forest.root(places[end])
            both = min(first[other], joined)
            first[forest.join(root, other)] = both
        else:
            heads.append(one)
            first[root] = one
            if link != HEAD:
                linked.append(one)
            if similar is not None:
                similar.add(int(bucket.documents[one]))
    return similar.compared if similar is not None else 0


def keep_from(documents: Sequence[int], load: Load, least: float) -> tuple[dict[int, tuple[int, float]], int]:
    """Returns {dropped: (kept, their Jaccard)} of a cluster in order of preference, and the similarities computed.

    The first document stays. Another is dropped only if its similarity to a kept one reaches `least`. The far end of a
    chain (A like B, B like C, A unlike C) therefore stays, and each dropped document has a near-duplicate in the
    corpus.
    """
    kept = Similar(load, least, documents)
    gone: dict[int, tuple[int, float]] = {}
    for document in documents:
        best = max(((value, -place) for place, value in kept.alike(document)), default=None)
        if best is None:
            kept.add(document)
        else:
            gone[document] = kept.documents[-best[1]], best[0]
    return gone, kept.compared


def write_tasks(members: pa.Table, folder: Path) -> list[Path]:
    """Writes the clusters to files of about TASK_DOCUMENTS documents; returns the files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    documents, numbers = members["document"].to_numpy(), members["cluster"].to_numpy()
    paths = []
    first = 0
    while first < len(documents):
        last = min(first + TASK_DOCUMENTS, len(documents))
        last = int(np.searchsorted(numbers, numbers[last - 1], "right"))  # the whole of a cluster
        paths.append(folder / f"{len(paths):06}.npy")
        save_array(paths[-1], np.stack([documents[first:last], numbers[first:last]]))
        first = last
    return paths


def choose(signed: SignedShards, least: float, task: Path, out: Path) -> dict:
    """Writes (document, document kept) and their Jaccard for what is dropped of a task's clusters."""
    documents, numbers = np.load(task, allow_pickle=False)
    load, compared = signed.sets(), 0
    gone: dict[int, tuple[int, float]] = {}
    for first, last in runs(numbers):
        found, count = keep_from(documents[first:last].tolist(), load, least)
        gone |= found
        compared += count
    save_array(out / "_scratch" / "chosen" / f"{task.stem}.npy", verdicts_of(gone))
    return {"documents_in": len(documents), "compared": compared}


def verdicts_of(gone: dict[int, tuple[int, float]]) -> np.ndarray:
    """Returns what `keep_from` found as VERDICT [dropped]."""
    return np.array([(document, *found) for document, found in gone.items()], VERDICT)
