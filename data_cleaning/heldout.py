"""Whether held-out texts are among the training texts, shard by shard: a mixture is larger than memory."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from data_cleaning.documents import shard_paths
from data_cleaning.filters.words import normalised


def word_digests(texts: pa.ChunkedArray) -> list[bytes]:
    """A 128-bit hash of the words of each text: equal for texts that differ in case, spacing and punctuation only."""
    return [xxhash.xxh3_128_digest(text) for text in normalised(texts).cast(pa.binary()).to_pylist()]


def copies_of_heldout(mixture: Path) -> int:
    """How many documents of train/ have the words of one of heldout/, by the files themselves."""

    def digests(shard: Path) -> list[bytes]:
        return word_digests(pq.read_table(shard, columns=["text"])["text"])

    held: set[bytes] = set()
    for shard in shard_paths(mixture, "heldout"):
        held.update(digests(shard))
    return sum(digest in held for shard in shard_paths(mixture, "train") for digest in digests(shard))
