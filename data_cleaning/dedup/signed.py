"""Step 1 of deduplication: what the comparison needs of each document, in files per shard, and how it is read again.

A document's number counts over all shards, those of earlier snapshots first. On disk it takes 20 bytes for its exact
hash, 12 bytes a band (168 at 14 bands), 24 bytes for the order of preference, and 8 bytes for each word of its text.
Partitions are ranges of keys: a shard's keys are sorted, so a partition is one slice of each shard's file.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from data_cleaning.dedup.minhash import band_keys, shingles, signatures
from data_cleaning.dedup.sets import SetReader, write_sets
from data_cleaning.files import replacing
from data_cleaning.filters.words import normalised
from data_cleaning.recipes import DedupRecipe

# Keys of a shard. `row` is the document's place in it; `low`: the other half of an exact hash.
EXACT = np.dtype([("key", "<u8"), ("low", "<u8"), ("row", "<u4")])
BAND = np.dtype([("key", "<u8"), ("row", "<u4")])
EXACT_KEYS = -1  # in place of a band's number
# What decides which duplicate stays, the most important first: column of `described` → direction. Ids may be equal.
CRITERIA = {"earlier snapshot": "ascending", "source": "ascending", "cleanliness": "ascending", "length": "descending"}
PREFERENCE = [*CRITERIA.items(), ("id", "ascending"), ("document", "ascending")]


def sign_shard(recipe: DedupRecipe, part: str, shard: Path, out: Path) -> dict:
    """Writes exact hashes, band keys, shingles and what decides who stays to `_scratch/<part>/`."""
    table = pq.read_table(shard, columns=["text", "source"])
    ranks = dict(recipe.ranks)
    last = max(ranks.values(), default=-1) + 1
    texts = normalised(table["text"])
    hashes = [xxhash.xxh3_128_digest(text) for text in texts.cast(pa.binary()).to_pylist()]
    sets = shingles(texts, recipe.shingle_words)
    folder = out / "_scratch" / part
    exact = np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 2)
    save_array(folder / f"{shard.stem}.exact.npy", _ordered(EXACT, key=exact[:, 0], low=exact[:, 1]))
    signed = signatures(sets, recipe.bands * recipe.rows, recipe.seed)
    starts = range(0, recipe.bands * recipe.rows, recipe.rows)
    keys = [_ordered(BAND, key=band_keys(signed[:, start : start + recipe.rows])) for start in starts]
    save_array(folder / f"{shard.stem}.bands.npy", np.stack(keys))
    columns = (
        [ranks.get(source, last) for source in table["source"].to_pylist()],
        notice_lines(table["text"], recipe.notices),
        pc.binary_length(table["text"]).to_numpy(),
    )
    save_array(folder / f"{shard.stem}.order.npy", np.array(columns, np.int64))
    write_sets(sets, folder / f"{shard.stem}.sets")
    return {"documents_in": table.num_rows}


def notice_lines(texts: pa.ChunkedArray, phrases: Sequence[str]) -> np.ndarray:
    """Returns the number of lines of each text that hold one of the phrases, in any case."""
    if not phrases:
        return np.zeros(len(texts), np.int64)
    pattern = "(?:" + "|".join(map(re.escape, phrases)) + r")[^\n]*"
    return pc.count_substring_regex(texts, pattern, ignore_case=True).to_numpy().astype(np.int64)


def _ordered(kind: np.dtype, **columns: np.ndarray) -> np.ndarray:
    """Returns keys in ascending order, with the rows that they come from."""
    order = np.argsort(columns["key"], kind="stable")
    result = np.empty(len(order), kind)
    for name, values in columns.items():
        result[name] = values[order]
    result["row"] = order
    return result


def save_array(path: Path, values: np.ndarray) -> None:
    """Writes an array under a temporary name, then renames it; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.save(file, values, allow_pickle=False)


@dataclass(frozen=True)
class SignedShards:
    """The signed shards of all snapshots. Every method reads one shard at a time.

    shards: the documents; files: what `sign_shard` wrote for each, without the ending; counts: documents of each;
    earlier: how many of them are of earlier snapshots.
    """

    shards: tuple[Path, ...]
    files: tuple[Path, ...]
    counts: tuple[int, ...]
    earlier: int

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Number of the first document of each shard, then the number of all documents, int64 [shards + 1]."""
        return np.cumsum([0, *self.counts])

    def sets(self) -> SetReader:
        """Returns what loads the shingle set of a document."""
        return SetReader([self._file(number, "sets") for number in range(len(self.files))], self.starts)

    def keys(self, band: int, part: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns (keys, documents) of one of the ranges of keys: EXACT or BAND [N], int64 [N]."""
        kind = EXACT if band == EXACT_KEYS else BAND
        found, documents = [np.empty(0, kind)], [np.empty(0, np.int64)]
        for number, (count, start) in enumerate(zip(self.counts, self.starts.tolist(), strict=False)):
            if count:
                every = np.load(self._file(number, "exact" if band == EXACT_KEYS else "bands"), mmap_mode="r")
                every = every if band == EXACT_KEYS else every[band]
                low, high = np.searchsorted(part_of(every["key"], parts), (part, part + 1)).tolist()
                found.append(np.array(every[low:high]))
                documents.append(found[-1]["row"] + np.int64(start))
        return np.concatenate(found), np.concatenate(documents)

    def described(self, documents: np.ndarray) -> pa.Table:
        """Returns `document`, the columns of CRITERIA and `id` of documents (ascending, distinct), in their order."""
        tables = [self._described(*mine) for mine in self._by_shard(documents)]
        return pa.concat_tables(tables).combine_chunks() if tables else self._described(0, np.empty(0, np.int64))

    def ids(self, documents: np.ndarray) -> pa.Array:
        """Returns the ids of documents (ascending, distinct), in their order."""
        found = [self._ids(number, rows) for number, rows in self._by_shard(documents)]
        return pa.concat_arrays(found) if found else pa.array([], pa.string())

    def _by_shard(self, documents: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (number of a shard, rows in it)."""
        bounds = np.searchsorted(documents, self.starts).tolist()
        for number, (first, last) in enumerate(zip(bounds, bounds[1:], strict=False)):
            if last > first:
                yield number, documents[first:last] - self.starts[number]

    def _described(self, number: int, rows: np.ndarray) -> pa.Table:
        ranks, notices, sizes = np.load(self._file(number, "order"), allow_pickle=False)[:, rows]
        columns = {
            "document": rows + self.starts[number],
            "earlier snapshot": np.full(len(rows), int(number >= self.earlier)),
            "source": ranks,
            "cleanliness": notices,
            "length": sizes,
            "id": self._ids(number, rows),
        }
        return pa.table(columns)

    def _ids(self, number: int, rows: np.ndarray) -> pa.Array:
        return pq.read_table(self.shards[number], columns=["id"])["id"].combine_chunks().take(pa.array(rows))

    def _file(self, number: int, kind: str) -> Path:
        file = self.files[number]
        return file.with_name(f"{file.name}.{kind}" + ("" if kind == "sets" else ".npy"))


def part_of(keys: np.ndarray, parts: int) -> np.ndarray:
    """Returns the range that each key (uint64) is in, ascending with the keys; the ranges are equally wide."""
    return ((keys >> np.uint64(32)) * np.uint64(parts)) >> np.uint64(32)


def by_preference(table: pa.Table, *first: str) -> pa.Table:
    """Sorts what `described` returns: the document that stays comes first, after the columns `first` (ascending)."""
    return table.take(pc.sort_indices(table, sort_keys=[*((name, "ascending") for name in first), *PREFERENCE]))
