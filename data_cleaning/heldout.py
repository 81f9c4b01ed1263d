"""Searches the training texts for held-out texts, shard by shard, as a mixture is larger than memory."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from data_cleaning.documents import shard_paths
from data_cleaning.filters.words import normalised


def word_digests(texts: pa.ChunkedArray) -> list[bytes]:
    """Returns a 128-bit hash of the words of each text; case, spacing and punctuation do not affect it."""
    return [xxhash.xxh3_128_digest(text) for text in normalised(texts).cast(pa.binary()).to_pylist()]


def copies_of_heldout(mixture: Path) -> int:
    """Returns how many documents of train/ have the same words as one of heldout/; reads the files themselves."""

    def digests(shard: Path) -> list[bytes]:
        return word_digests(pq.read_table(shard, columns=["text"])["text"])

    held: set[bytes] = set()
    for shard in shard_paths(mixture, "heldout"):
        held.update(digests(shard))
    return sum(digest in held for shard in shard_paths(mixture, "train") for digest in digests(shard))
