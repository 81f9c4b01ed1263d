"""Deduplication of a snapshot: exact copies, then near-duplicates by MinHash (signatures, buckets, cluster, filter).

The paper names no method; these are FineWeb's settings: word 5-grams, 14 bands of 8 rows. Copies are found on normalised
text (NFKC, lower case, letters and digits only). This snapshot is compared with itself and with the inputs
`earlier/<snapshot>` (other `deduplicated` artifacts), whose documents are not written again.

Of duplicates, the first in this order stays: a document of an earlier snapshot, then one of a source of lower rank (the
most factual, then licensed ones), then the cleanest text (fewest lines with a notice), then the longest, then the
smallest id. clusters.parquet records which of these decided.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from data_cleaning.dedup.minhash import Pairs, Shingles, candidate_probability, cluster, keep_from, shingles, signatures
from data_cleaning.documents import add_up, shard_paths, split_shard, write_shard
from data_cleaning.files import replacing
from data_cleaning.filters.words import normalised
from data_cleaning.recipes import DedupRecipe
from data_cleaning.shards import map_shards

EXACT, NEAR = "exact_duplicate", "near_duplicate"
CLUSTER_SCHEMA = pa.schema(
    [
        ("cluster", pa.int64()),
        ("id", pa.string()),
        ("kept", pa.bool_()),
        ("jaccard", pa.float64()),
        ("decided_by", pa.string()),  # why the one kept in its place stands before it; "" for a kept document
    ]
)


@dataclass(frozen=True)
class Signed:
    """What the comparison needs from N documents; row i of every array is document i."""

    ids: np.ndarray  # object [N]
    shards: np.ndarray  # int, which shard (in the order of reading) [N]
    ranks: np.ndarray  # int, of the source [N]
    notices: np.ndarray  # lines with a notice [N]
    sizes: np.ndarray  # UTF-8 bytes of text [N]
    exact: np.ndarray  # 128-bit hash of the normalised text, uint64 [N, 2]
    signatures: np.ndarray  # uint32 [N, bands * rows]
    sets: Shingles


@dataclass(frozen=True)
class Verdict:
    """Why a document is dropped, and which one is kept in its place."""

    reason: str
    kept: int
    jaccard: float


def sign_shard(recipe: DedupRecipe, part: str, shard: Path, out: Path) -> dict:
    """Step 1 for one shard: writes exact hashes, shingles and signatures to `_scratch/<part>/`."""
    table = pq.read_table(shard, columns=["text", "source"])
    ranks = dict(recipe.ranks)
    last = max(ranks.values(), default=-1) + 1
    texts = normalised(table["text"])
    hashes = [xxhash.xxh3_128_digest(text) for text in texts.cast(pa.binary()).to_pylist()]
    sets = shingles(texts, recipe.shingle_words)
    folder = out / "_scratch" / part
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{shard.stem}.npz") as partial, partial.open("wb") as file:
        np.savez(
            file,
            exact=np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 2),
            ranks=np.array([ranks.get(source, last) for source in table["source"].to_pylist()], np.int64),
            notices=notice_lines(table["text"], recipe.notices),
            sizes=pc.binary_length(table["text"]).to_numpy().astype(np.int64),
            signatures=signatures(sets, recipe.bands * recipe.rows, recipe.seed),
            values=sets.values,
            offsets=sets.offsets,
        )
    return {"documents_in": table.num_rows}


def notice_lines(texts: pa.ChunkedArray, phrases: Sequence[str]) -> np.ndarray:
    """Returns the number of lines of each text that hold one of the phrases, in any case."""
    if not phrases:
        return np.zeros(len(texts), np.int64)
    pattern = "(?:" + "|".join(map(re.escape, phrases)) + r")[^\n]*"
    return pc.count_substring_regex(texts, pattern, ignore_case=True).to_numpy().astype(np.int64)


def load_signed(shards: Sequence[tuple[Path, Path]]) -> Signed:
    """Concatenates the contents of (documents shard, its .npz) pairs."""
    ids, numbers, parts = [], [], []
    for number, (documents, made) in enumerate(shards):
        column = pq.read_table(documents, columns=["id"])["id"].to_pylist()
        ids += column
        numbers += [number] * len(column)
        with np.load(made, allow_pickle=False) as file:
            parts.append(dict(file))
    starts = np.cumsum([0] + [len(part["values"]) for part in parts])
    offsets = [part["offsets"][:-1] + start for part, start in zip(parts, starts, strict=False)]
    joined = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("ranks", "notices", "sizes", "exact", "signatures", "values")
    }
    sets = Shingles(joined.pop("values"), np.concatenate([*offsets, starts[-1:]]))
    return Signed(ids=np.array(ids, object), shards=np.array(numbers), sets=sets, **joined)


def preference(signed: Signed, earlier_shards: int) -> np.ndarray:
    """Returns all rows in order of preference (that of `criteria`, then the smallest id)."""
    by_id = np.argsort(np.argsort(signed.ids, kind="stable"), kind="stable")
    return np.lexsort((by_id, *reversed(criteria(signed, earlier_shards).values())))


def criteria(signed: Signed, earlier_shards: int) -> dict[str, np.ndarray]:
    """Returns what decides which duplicate stays, most important first: name → values [N], of which the lowest stays."""
    return {
        "earlier snapshot": signed.shards >= earlier_shards,
        "source": signed.ranks,
        "cleanliness": signed.notices,
        "length": -signed.sizes,
    }


def exact_duplicates(signed: Signed, order: np.ndarray) -> dict[int, int]:
    """Returns {copy's row: kept row}; the first row in `order` of each normalised text is kept."""
    keys = signed.exact[order]
    first, kinds = np.unique(keys, axis=0, return_index=True, return_inverse=True)[1:]
    head = order[first[kinds.ravel()]]
    return {int(row): int(kept) for row, kept in zip(order, head, strict=True) if row != kept}


def decide(
    signed: Signed, recipe: DedupRecipe, earlier_shards: int, log
) -> tuple[dict[int, Verdict], list[list[int]], Pairs]:
    """Steps 2 and 3: returns verdicts by dropped row, clusters (rows in order of preference), and similarities."""
    order = preference(signed, earlier_shards)
    copies = exact_duplicates(signed, order)
    alone = order[[row not in copies for row in order.tolist()]]
    log.info(f"exact: {len(copies):,} of {len(order):,} documents are copies of another")
    similarity = Pairs(signed.sets)
    local = Pairs(_rearranged(signed.sets, alone))
    clusters = cluster(signed.signatures[alone], local, recipe.bands, recipe.rows, recipe.min_jaccard)
    similarity.known = {tuple(sorted((int(alone[a]), int(alone[b])))): value for (a, b), value in local.known.items()}
    groups = [[int(alone[place]) for place in group] for group in clusters]
    verdicts: dict[int, Verdict] = {}
    for group in groups:
        for row, (kept, value) in keep_from(group, similarity, recipe.min_jaccard).items():
            verdicts[row] = Verdict(NEAR, kept, value)
    log.info(
        f"near: {len(similarity.known):,} pairs compared, {len(groups):,} clusters, {len(verdicts):,} documents go"
    )
    for row, kept in copies.items():  # if a copy's original is dropped too, the copy names the document kept for that
        final = verdicts.get(kept)
        verdicts[row] = Verdict(EXACT, final.kept, final.jaccard) if final else Verdict(EXACT, kept, 1.0)
    return verdicts, groups, similarity


def _rearranged(sets: Shingles, rows: np.ndarray) -> Shingles:
    """Returns the shingle sets of the given rows, in their order."""
    lengths = np.diff(sets.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    source = np.repeat(sets.offsets[:-1][rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
    return Shingles(sets.values[source], offsets)


def filter_shard(shard: Path, rows: range, signed: Signed, verdicts: dict[int, Verdict], out: Path) -> dict:
    """Step 4 for one shard: a dropped document's `detail` is the id of the one kept, `value` their Jaccard."""
    judged = [verdicts.get(row) for row in rows]
    return split_shard(
        pq.read_table(shard),
        [verdict and verdict.reason for verdict in judged],
        [verdict and verdict.jaccard for verdict in judged],
        [verdict and signed.ids[verdict.kept] for verdict in judged],
        out,
        shard.name,
    )


def cluster_table(
    signed: Signed, verdicts: dict[int, Verdict], groups: list[list[int]], earlier_shards: int
) -> pa.Table:
    """Returns one row per document of a cluster; jaccard is with the document kept in its place (1 for a kept one)."""
    decisive = criteria(signed, earlier_shards)

    def decided_by(row: int, verdict: Verdict | None) -> str:
        if verdict is None:
            return ""
        return next((name for name, values in decisive.items() if values[row] != values[verdict.kept]), "id")

    rows = [(number, row, verdicts.get(row)) for number, group in enumerate(groups) for row in group]
    columns = {
        "cluster": [number for number, _, _ in rows],
        "id": [signed.ids[row] for _, row, _ in rows],
        "kept": [verdict is None for _, _, verdict in rows],
        "jaccard": [verdict.jaccard if verdict else 1.0 for _, _, verdict in rows],
        "decided_by": [decided_by(row, verdict) for _, row, verdict in rows],
    }
    return pa.table(columns, schema=CLUSTER_SCHEMA)


def run(config: DedupRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes documents/, clusters.parquet and dropped/ (exact_duplicate, near_duplicate; detail = id, value = Jaccard).

    Metrics add clusters, largest_cluster, pairs_compared and `found_at`: the probability that a pair of a similarity is
    compared.
    """
    work = [(role, shard_paths(inputs[role])) for role in sorted(inputs) if role.startswith("earlier/")] + [
        ("pii", shard_paths(inputs["pii"]))
    ]
    pairs: list[tuple[Path, Path]] = []
    for role, shards in work:
        part = "signatures-" + role.replace("/", "-")
        map_shards(functools.partial(sign_shard, config, part), shards, out, log, step=f"{part}-done")
        pairs += [(shard, out / "_scratch" / part / f"{shard.stem}.npz") for shard in shards]
    for folder in ("documents", "dropped"):
        (out / folder).mkdir(exist_ok=True)
    settings = {
        "shingle_words": config.shingle_words,
        "bands": config.bands,
        "rows": config.rows,
        "min_jaccard": config.min_jaccard,
        "found_at": {
            str(s): round(candidate_probability(s, config.bands, config.rows), 4) for s in (0.5, 0.6, 0.7, 0.8, 0.9)
        },
    }
    mine = len(work[-1][1])
    if not mine:
        return settings | add_up([])
    signed = load_signed(pairs)
    verdicts, groups, similarity = decide(signed, config, len(pairs) - mine, log)
    figures = []
    for number in range(len(pairs) - mine, len(pairs)):
        low, high = np.searchsorted(signed.shards, (number, number + 1)).tolist()
        figures.append(filter_shard(pairs[number][0], range(low, high), signed, verdicts, out))
        log.progress(len(figures), mine, unit="shard")
    write_shard(cluster_table(signed, verdicts, groups, len(pairs) - mine), out / "clusters.parquet")
    zeros = {f"dropped_{EXACT}": 0, f"dropped_{NEAR}": 0}
    sizes = {"clusters": len(groups), "largest_cluster": max(map(len, groups), default=0)}
    return settings | sizes | {"pairs_compared": len(similarity.known)} | zeros | add_up(figures)
