"""Step 2 of deduplication: each partition (a range of keys) finds its exact copies, or the links in its buckets.

A partition is a shard function: it runs in a local process or as a Ray task, and reads the files of the signed shards.
Its memory grows with the keys of the partition, of which there are about PARTITION_KEYS.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_cleaning.dedup.signed import EXACT_KEYS, SignedShards, by_preference, save_array
from data_cleaning.dedup.similar import Similar
from data_cleaning.files import replacing, write_json

PARTITION_KEYS = 1 << 19
HEAD = -1
# A document that goes, the one kept in its place, and their similarity.
VERDICT = np.dtype([("document", "<i8"), ("kept", "<i8"), ("jaccard", "<f8")])


@dataclass(frozen=True)
class Bucket:
    """Documents with equal signature values in a band, in order of preference.

    links[i]: the first head that document i is a near-duplicate of, as its place in the bucket; HEAD for a document
    that is no near-duplicate of an earlier head. A document has been compared with all heads before its link.
    """

    documents: np.ndarray  # int64 [k]
    links: np.ndarray  # int32 [k]


def plan(signed: SignedShards, bands: Sequence[int], folder: Path) -> list[Path]:
    """Writes one file per partition, in the order of bands and keys; it depends on the number of documents alone."""
    parts = -(-int(signed.starts[-1]) // PARTITION_KEYS) or 1
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for band in bands:
        for part in range(parts):
            paths.append(folder / (f"exact-{part:06}.json" if band == EXACT_KEYS else f"band{band:03}-{part:06}.json"))
            write_json(paths[-1], {"band": band, "part": part, "parts": parts})
    return paths


def exact_copies(signed: SignedShards, partition: Path, out: Path) -> dict:
    """Writes the copies as VERDICT [copies]: of equal normalised texts the first by preference is kept."""
    keys, documents = signed.keys(**json.loads(partition.read_text()))
    order = np.lexsort((documents, keys["low"], keys["key"]))
    keys, documents = keys[order], documents[order]
    same = (keys["key"][1:] == keys["key"][:-1]) & (keys["low"][1:] == keys["low"][:-1])
    texts = _sorted_in_groups(signed, documents, same)
    groups, members = texts["group"].to_numpy(), texts["document"].to_numpy()
    first = np.searchsorted(groups, groups)  # of its group
    copies = np.arange(len(groups)) != first
    found = np.empty(int(copies.sum()), VERDICT)
    found["document"], found["kept"], found["jaccard"] = members[copies], members[first][copies], 1.0
    save_array(out / "_scratch" / "copies" / f"{partition.stem}.npy", found)
    return {"documents_in": len(keys)}


def link_buckets(signed: SignedShards, least: float, gone: Path, partition: Path, out: Path) -> dict:
    """Writes the buckets with a link, in the order of keys. gone: bits of the exact copies, which are in no bucket."""
    keys, documents = signed.keys(**json.loads(partition.read_text()))
    bits = np.load(gone, allow_pickle=False)
    stays = (bits[documents >> 3] >> (documents & 7).astype(np.uint8)) & 1 == 0
    keys, documents = keys["key"][stays], documents[stays]
    order = np.argsort(keys, kind="stable")
    keys, documents = keys[order], documents[order]
    members = _sorted_in_groups(signed, documents, keys[1:] == keys[:-1])
    groups, numbers = members["group"].to_numpy(), members["document"].to_numpy()
    load, compared = signed.sets(), 0
    found: list[Bucket] = []
    for first, last in runs(groups):
        bucket = numbers[first:last]
        heads = Similar(load, least, bucket.tolist())
        links = links_of(bucket.tolist(), heads)
        compared += heads.compared
        if max(links) > HEAD:
            found.append(Bucket(bucket, np.array(links, np.int32)))
    _save_buckets(out / "_scratch" / "links" / f"{partition.stem}.npz", found)
    return {"documents_in": len(keys), "compared": compared}


def links_of(documents: Sequence[int], heads: Similar) -> list[int]:
    """Returns the links of a bucket's documents (Bucket.links); adds its heads to `heads`, which is empty."""
    places: list[int] = []
    links = []
    for place, document in enumerate(documents):
        head = next((head for head, _ in heads.alike(document)), None)
        links.append(HEAD if head is None else places[head])
        if head is None:
            heads.add(document)
            places.append(place)
    return links


def read_buckets(path: Path) -> Iterator[Bucket]:
    """Yields the buckets that `link_buckets` wrote."""
    with np.load(path, allow_pickle=False) as file:
        documents, links, ends = file["documents"], file["links"], file["ends"]
    for first, last in zip([0, *ends.tolist()], ends.tolist(), strict=False):
        yield Bucket(documents[first:last], links[first:last])


def _sorted_in_groups(signed: SignedShards, documents: np.ndarray, same: np.ndarray) -> pa.Table:
    """Returns `document` and `group` of the groups of two and more, each in order of preference.

    same: whether a document and the next one are of one group, bool [documents - 1].
    """
    groups = np.cumsum(np.concatenate([np.zeros(min(len(documents), 1), bool), ~same]))
    shared = np.concatenate([same, [False]])[: len(documents)] | np.concatenate([[False], same])[: len(documents)]
    documents, groups = documents[shared], groups[shared]
    order = np.argsort(documents)
    table = signed.described(documents[order]).append_column("group", pa.array(groups[order]))
    return by_preference(table, "group").select(["document", "group"])


def runs(groups: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields (first, last) of each run of equal values."""
    bounds = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
    return zip(bounds[:-1], bounds[1:], strict=True) if len(groups) else iter(())


def _save_buckets(path: Path, buckets: Sequence[Bucket]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(
            file,
            documents=np.concatenate([np.empty(0, np.int64), *(one.documents for one in buckets)]),
            links=np.concatenate([np.empty(0, np.int32), *(one.links for one in buckets)]),
            ends=np.cumsum([len(one.links) for one in buckets], dtype=np.int64),
        )
