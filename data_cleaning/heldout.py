"""Searches the training texts for held-out texts, shard by shard, as a mixture is larger than memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from data_cleaning.dedup import apart
from data_cleaning.dedup.bands import BandsInMemory
from data_cleaning.dedup.minhash import Shingles, shingles, signatures
from data_cleaning.documents import shard_paths
from data_cleaning.filters.words import normalised
from data_cleaning.recipes import DedupRecipe


def word_digests(texts: pa.Array) -> list[bytes]:
    """Returns a 128-bit hash of the words of each normalised text; case, spacing and punctuation do not affect it."""
    return [xxhash.xxh3_128_digest(text) for text in texts.cast(pa.binary()).to_pylist()]


def copies_of_heldout(mixture: Path) -> int:
    """Returns how many documents of train/ have the same words as one of heldout/; reads the files themselves."""

    def digests(shard: Path) -> list[bytes]:
        return word_digests(normalised(pq.read_table(shard, columns=["text"])["text"]))

    held: set[bytes] = set()
    for shard in shard_paths(mixture, "heldout"):
        held.update(digests(shard))
    return sum(digest in held for shard in shard_paths(mixture, "train") for digest in digests(shard))


def near_copies_of_heldout(mixture: Path, recipe: DedupRecipe) -> int:
    """Returns how many documents of train/ are near-duplicates of one of heldout/; reads the files themselves."""

    def signed(shard: Path) -> tuple[np.ndarray, Shingles]:
        sets = shingles(normalised(pq.read_table(shard, columns=["text"])["text"]), recipe.shingle_words)
        return signatures(sets, recipe.bands * recipe.rows, recipe.seed), sets

    held = [signed(shard) for shard in shard_paths(mixture, "heldout")]
    if not held:
        return 0
    kept_NP = np.concatenate([values for values, _ in held])
    kept_sets = [sets.of(place) for _, sets in held for place in range(len(sets.offsets) - 1)]
    count = 0
    for shard in shard_paths(mixture, "train"):
        values, sets = signed(shard)
        first = len(kept_NP)

        def load(document: int, sets: Shingles = sets, first: int = first) -> np.ndarray:
            return kept_sets[document] if document < first else sets.of(document - first)

        others = np.arange(first, first + len(values))
        bands = BandsInMemory(np.concatenate([kept_NP, values]), apart.FINE_ROWS)
        count += len(apart.copies_of(np.arange(first), others, bands, load, recipe))
    return count
