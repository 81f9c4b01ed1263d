"""Deduplication of a snapshot: exact copies, then near-duplicates by MinHash (signatures, buckets, cluster, filter).

The paper names no method; these are FineWeb's settings: word 5-grams, 14 bands of 8 rows. Copies are found on normalised
text (NFKC, lower case, letters and digits only). This snapshot is compared with itself and with the inputs
`earlier/<snapshot>` (other `deduplicated` artifacts), whose documents are not written again.

Of duplicates, the first in this order stays: a document of an earlier snapshot, then one of a source of lower rank (the
most factual, then licensed ones), then the cleanest text (fewest lines with a notice), then the longest, then the
smallest id. clusters.parquet records which of these decided.

Signatures and filter are mapped over shards, buckets over partitions of keys, the choice in each cluster over groups of
clusters: each runs in local processes or on a Ray cluster. The process of the stage holds one bit a document, and some
hundred bytes for each one that has a duplicate.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.dedup.clusters import choose, clusters, write_tasks
from data_cleaning.dedup.minhash import candidate_probability
from data_cleaning.dedup.partitions import VERDICT, exact_copies, link_buckets, plan
from data_cleaning.dedup.signed import CRITERIA, EXACT_KEYS, SignedShards, save_array, sign_shard
from data_cleaning.documents import add_up, shard_paths, split_shard, write_shard
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


def sign(config: DedupRecipe, inputs: dict[str, Path], out: Path, log) -> SignedShards:
    """Step 1: signs the shards of all inputs, those of earlier snapshots first."""
    roles = [*sorted(role for role in inputs if role.startswith("earlier/")), "pii"]
    work = {role: shard_paths(inputs[role]) for role in roles}
    files: list[Path] = []
    for role, shards in work.items():
        part = "signatures-" + role.replace("/", "-")
        map_shards(functools.partial(sign_shard, config, part), shards, out, log, step=f"{part}-done")
        files += [out / "_scratch" / part / shard.stem for shard in shards]
    every = tuple(shard for shards in work.values() for shard in shards)
    counts = tuple(pq.read_metadata(shard).num_rows for shard in every)
    return SignedShards(every, tuple(files), counts, len(every) - len(work["pii"]))


def find_copies(signed: SignedShards, out: Path, log) -> np.ndarray:
    """Returns the exact copies as VERDICT, ascending."""
    partitions = plan(signed, [EXACT_KEYS], out / "_scratch" / "partitions")
    work = functools.partial(exact_copies, signed)
    map_shards(work, partitions, out, log, step="exact", sizes=_shared_out(signed, len(partitions)))
    found = [np.load(out / "_scratch" / "copies" / f"{one.stem}.npy", allow_pickle=False) for one in partitions]
    copies = np.concatenate(found)
    log.info(f"exact: {len(copies):,} of {signed.starts[-1]:,} documents are copies of another")
    return np.sort(copies, order="document")


def find_near(
    config: DedupRecipe, signed: SignedShards, copies: np.ndarray, out: Path, log
) -> tuple[pa.Table, np.ndarray, int]:
    """Steps 2 and 3: returns the documents of all clusters, what goes of them (VERDICT, ascending), similarities computed.

    Exact copies are in no cluster.
    """
    gone = np.zeros(-(-int(signed.starts[-1]) // 8), np.uint8)
    np.bitwise_or.at(gone, copies["document"] >> 3, np.uint8(1) << (copies["document"] & 7).astype(np.uint8))
    bits = out / "_scratch" / "copies.npy"
    save_array(bits, gone)
    partitions = plan(signed, range(config.bands), out / "_scratch" / "partitions")
    work = functools.partial(link_buckets, signed, config.min_jaccard, bits)
    sizes = _shared_out(signed, len(partitions))
    figures = map_shards(work, partitions, out, log, step="links", sizes=sizes)
    links = [out / "_scratch" / "links" / f"{partition.stem}.npz" for partition in partitions]
    members, compared = clusters(signed, links, config.min_jaccard)
    tasks = write_tasks(members, out / "_scratch" / "clusters")
    sizes = [size * len(members) // max(int(signed.starts[-1]), 1) for size in _shared_out(signed, len(tasks))]
    figures += map_shards(
        functools.partial(choose, signed, config.min_jaccard), tasks, out, log, step="choice", sizes=sizes
    )
    chosen = [np.load(out / "_scratch" / "chosen" / f"{task.stem}.npy", allow_pickle=False) for task in tasks]
    near = np.sort(np.concatenate([np.empty(0, VERDICT), *chosen]), order="document")
    return members, near, compared + sum(one["compared"] for one in figures)


def _shared_out(signed: SignedShards, tasks: int) -> list[int]:
    """Returns the bytes of the documents' files, shared out equally: the work of a task, for `map_shards`."""
    return [sum(shard.stat().st_size for shard in signed.shards) // max(tasks, 1)] * tasks


def final_copies(copies: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Returns the exact copies; where the one kept is dropped too, they name the document that is kept for that one."""
    final = copies.copy()
    at = np.minimum(np.searchsorted(near["document"], copies["kept"]), max(len(near) - 1, 0))
    if len(near):
        too = near["document"][at] == copies["kept"]
        final["kept"][too], final["jaccard"][too] = near["kept"][at[too]], near["jaccard"][at[too]]
    return final


def write_verdicts(signed: SignedShards, copies: np.ndarray, near: np.ndarray, folder: Path) -> None:
    """Writes, for each shard of this snapshot, the rows that go with reason, value and detail."""
    verdicts = np.concatenate([copies, near])
    reasons = np.repeat([EXACT, NEAR], [len(copies), len(near)])
    order = np.argsort(verdicts["document"])
    verdicts, reasons = verdicts[order], reasons[order]
    kept = np.unique(verdicts["kept"])
    ids = signed.ids(kept)
    for number in range(signed.earlier, len(signed.shards)):
        first, last = np.searchsorted(verdicts["document"], signed.starts[number : number + 2]).tolist()
        mine = verdicts[first:last]
        columns = {
            "row": mine["document"] - signed.starts[number],
            "reason": pa.array(reasons[first:last].tolist(), pa.string()),
            "value": mine["jaccard"],
            "detail": ids.take(pa.array(np.searchsorted(kept, mine["kept"]))),
        }
        write_shard(pa.table(columns), folder / signed.shards[number].name)


def filter_shard(verdicts: Path, shard: Path, out: Path) -> dict:
    """Step 4 for one shard: a dropped document's `detail` is the id of the one kept, `value` their Jaccard."""
    table, gone = pq.read_table(shard), pq.read_table(verdicts / shard.name)
    rows = gone["row"].to_pylist()
    columns: list[list] = []
    for name in ("reason", "value", "detail"):
        judged = dict(zip(rows, gone[name].to_pylist(), strict=True))
        columns.append([judged.get(row) for row in range(table.num_rows)])
    return split_shard(table, *columns, out, shard.name)


def cluster_table(members: pa.Table, near: np.ndarray) -> pa.Table:
    """Returns one row per document of a cluster; jaccard is with the document kept in its place (1 for a kept one)."""
    documents = members["document"].to_numpy()
    at = np.searchsorted(near["document"], documents)
    kept = np.ones(len(documents), bool)
    inside = at < len(near)
    kept[inside] = near["document"][at[inside]] != documents[inside]
    jaccard = np.ones(len(documents))
    jaccard[~kept] = near["jaccard"][at[~kept]]
    by_number = np.argsort(documents)
    places = by_number[np.searchsorted(documents, near["kept"][at[~kept]], sorter=by_number)]
    names, decided = [*CRITERIA, "id"], np.full(len(documents), "", object)
    differs = [members[name].to_numpy()[~kept] != members[name].to_numpy()[places] for name in CRITERIA]
    differs.append(np.ones(len(places), bool))
    decided[~kept] = np.array(names, object)[np.argmax(differs, axis=0)]
    columns = [members["cluster"], members["id"], kept, jaccard, pa.array(decided, pa.string())]
    return pa.table(columns, schema=CLUSTER_SCHEMA).combine_chunks()


def run(config: DedupRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes documents/, clusters.parquet and dropped/ (exact_duplicate, near_duplicate; detail = id, value = Jaccard).

    Metrics add clusters, largest_cluster, `found_at` (the probability that a pair of a similarity is a candidate) and
    pairs_compared: how many true similarities were computed.
    """
    signed = sign(config, inputs, out, log)
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
    mine: Sequence[Path] = signed.shards[signed.earlier :]
    if not mine:
        return settings | add_up([])
    copies = find_copies(signed, out, log)
    members, near, compared = find_near(config, signed, copies, out, log)
    sizes = pc.value_counts(members["cluster"]).field("counts").to_pylist()
    log.info(f"near: {compared:,} similarities computed, {len(sizes):,} clusters, {len(near):,} documents go")
    write_verdicts(signed, final_copies(copies, near), near, out / "_scratch" / "verdicts")
    figures = map_shards(functools.partial(filter_shard, out / "_scratch" / "verdicts"), mine, out, log, step="filter")
    write_shard(cluster_table(members, near), out / "clusters.parquet")
    zeros = {f"dropped_{EXACT}": 0, f"dropped_{NEAR}": 0}
    found = {"clusters": len(sizes), "largest_cluster": max(sizes, default=0), "pairs_compared": compared}
    return settings | found | zeros | add_up(figures)
