"""Deduplication in one process, with all documents in memory: the definition that the partitioned stage must reproduce.

Documents are compared in a stated order: bucket after bucket, each with the first document of every group found so far.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from data_cleaning.dedup.minhash import Shingles, buckets, jaccard, shingles, signatures
from data_cleaning.dedup.signed import notice_lines
from data_cleaning.dedup.stage import CLUSTER_SCHEMA, EXACT, NEAR
from data_cleaning.documents import read_documents, shard_paths, split_shard, write_shard
from data_cleaning.filters.words import normalised
from data_cleaning.recipes import DedupRecipe


class Pairs:
    """True Jaccard similarities of documents; caches each similarity and each set."""

    def __init__(self, sets: Shingles) -> None:
        self.sets = functools.lru_cache(maxsize=4096)(sets.of)
        self.known: dict[tuple[int, int], float] = {}

    def __call__(self, first: int, second: int) -> float:
        key = (first, second) if first < second else (second, first)
        if key not in self.known:
            self.known[key] = jaccard(self.sets(key[0]), self.sets(key[1]))
        return self.known[key]


def cluster(signed: np.ndarray, similarity: Pairs, bands: int, rows: int, min_jaccard: float) -> list[list[int]]:
    """Step 3: returns clusters of at least two near-duplicates (union-find over verified candidates), ascending.

    Within a bucket, each document is compared with the first of each group found so far: a bucket of k copies costs
    k - 1 comparisons instead of k².
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
    """Returns {dropped document: (document kept, their Jaccard)}; `cluster` is in order of preference.

    The first document stays. Another is dropped only if its similarity to a kept one reaches `min_jaccard`. The far end
    of a chain (A like B, B like C, A unlike C) therefore stays, and each dropped document has a near-duplicate in the
    corpus.
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


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped, and which one is kept in its place."""

    reason: str
    kept: int
    jaccard: float


def criteria(table: pa.Table, earlier: int, recipe: DedupRecipe) -> dict[str, np.ndarray]:
    """What decides which duplicate stays, most important first: name → values, of which the lowest stays."""
    ranks = dict(recipe.ranks)
    last = max(ranks.values(), default=-1) + 1
    return {
        "earlier snapshot": np.arange(table.num_rows) >= earlier,
        "source": np.array([ranks.get(source, last) for source in table["source"].to_pylist()], int),
        "cleanliness": notice_lines(table["text"], recipe.notices),
        "length": -pc.binary_length(table["text"]).to_numpy().astype(int),
    }


def exact_duplicates(texts: Sequence[str], order: np.ndarray) -> dict[int, int]:
    """Returns {copy's row: kept row}; the first row in `order` of each normalised text is kept."""
    hashes = b"".join(xxhash.xxh3_128_digest(text.encode()) for text in texts)
    keys = np.frombuffer(hashes, np.uint64).reshape(-1, 2)[order]
    first, kinds = np.unique(keys, axis=0, return_index=True, return_inverse=True)[1:]
    head = order[first[kinds.ravel()]]
    return {int(row): int(kept) for row, kept in zip(order, head, strict=True) if row != kept}


def rearranged(sets: Shingles, rows: np.ndarray) -> Shingles:
    """Returns the shingle sets of the given rows, in their order."""
    lengths = np.diff(sets.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    source = np.repeat(sets.offsets[:-1][rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
    return Shingles(sets.values[source], offsets)


def deduplicate(recipe: DedupRecipe, inputs: dict[str, Path], out: Path) -> None:
    """Writes documents/, dropped/ and clusters.parquet."""
    roles = [*sorted(role for role in inputs if role.startswith("earlier/")), "pii"]
    parts = [read_documents(inputs[role]) for role in roles]
    table = pa.concat_tables(parts)
    earlier = table.num_rows - parts[-1].num_rows
    ids, texts = np.array(table["id"].to_pylist(), object), normalised(table["text"])
    decisive = criteria(table, earlier, recipe)
    by_id = np.argsort(np.argsort(ids, kind="stable"), kind="stable")
    order = np.lexsort((by_id, *reversed(decisive.values())))
    copies = exact_duplicates(texts.to_pylist(), order)
    alone = order[[row not in copies for row in order.tolist()]]
    sets = shingles(texts, recipe.shingle_words)
    signed = signatures(sets, recipe.bands * recipe.rows, recipe.seed)
    local = Pairs(rearranged(sets, alone))
    found = cluster(signed[alone], local, recipe.bands, recipe.rows, recipe.min_jaccard)
    groups = [[int(alone[place]) for place in group] for group in found]
    similarity, verdicts = Pairs(sets), {}
    for group in groups:
        for row, (kept, value) in keep_from(group, similarity, recipe.min_jaccard).items():
            verdicts[row] = Verdict(NEAR, kept, value)
    for row, kept in copies.items():  # if a copy's original is dropped too, the copy names the document kept for that
        final = verdicts.get(kept)
        verdicts[row] = Verdict(EXACT, final.kept, final.jaccard) if final else Verdict(EXACT, kept, 1.0)

    def decided_by(row: int, verdict: Verdict | None) -> str:
        if verdict is None:
            return ""
        return next((name for name, values in decisive.items() if values[row] != values[verdict.kept]), "id")

    rows = [(number, row, verdicts.get(row)) for number, group in enumerate(groups) for row in group]
    columns = {
        "cluster": [number for number, _, _ in rows],
        "id": [ids[row] for _, row, _ in rows],
        "kept": [verdict is None for _, _, verdict in rows],
        "jaccard": [verdict.jaccard if verdict else 1.0 for _, _, verdict in rows],
        "decided_by": [decided_by(row, verdict) for _, row, verdict in rows],
    }
    for folder in ("documents", "dropped"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    start = earlier
    for shard in shard_paths(inputs["pii"]):
        rows_of = pq.read_table(shard)
        judged = [verdicts.get(start + row) for row in range(rows_of.num_rows)]
        start += rows_of.num_rows
        split_shard(
            rows_of,
            [verdict and verdict.reason for verdict in judged],
            [verdict and verdict.jaccard for verdict in judged],
            [verdict and ids[verdict.kept] for verdict in judged],
            out,
            shard.name,
        )
    write_shard(pa.table(columns, schema=CLUSTER_SCHEMA), out / "clusters.parquet")
