"""Shingle sets of documents from the files of `write_sets`, one at a time: memory does not grow with the corpus."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_cleaning.dedup.minhash import Shingles
from data_cleaning.files import replacing

CACHE_BYTES = 64 << 20
KNOWN_SHARDS = 256  # whose offsets stay in memory


def write_sets(sets: Shingles, path: Path) -> None:
    """Writes the shingle hashes of a shard: 8 bytes a word of text, and 8 a document."""
    with replacing(path) as part, part.open("wb") as file:
        header = np.array([len(sets.offsets)], np.int64)
        for values in (header, sets.offsets.astype(np.int64), sets.values):
            values.tofile(file)


class SetReader:
    """Returns the set of a document, uint64 ascending, by its number over all files; keeps the latest ones in memory.

    starts: number of the first document of each file, and the number of all documents, int64 [files + 1].
    """

    def __init__(self, files: Sequence[Path], starts: np.ndarray) -> None:
        self.files, self.starts = files, starts
        self.shards: OrderedDict[int, np.ndarray] = OrderedDict()
        self.sets: OrderedDict[int, np.ndarray] = OrderedDict()
        self.held = 0  # bytes of `sets`

    def __call__(self, document: int) -> np.ndarray:
        """The document's set. Each document has at least one shingle."""
        if document in self.sets:
            self.sets.move_to_end(document)
            return self.sets[document]
        shard = int(np.searchsorted(self.starts, document, "right")) - 1
        first, last = self._offsets(shard)[document - self.starts[shard] :][:2].tolist()
        begin = 8 * (1 + len(self._offsets(shard)) + first)
        found = np.unique(np.fromfile(self.files[shard], np.uint64, last - first, offset=begin))
        self.sets[document] = found
        self.held += found.nbytes
        while self.held > CACHE_BYTES and len(self.sets) > 1:
            self.held -= self.sets.popitem(last=False)[1].nbytes
        return found

    def _offsets(self, shard: int) -> np.ndarray:
        if shard not in self.shards:
            count = int(np.fromfile(self.files[shard], np.int64, 1)[0])
            self.shards[shard] = np.fromfile(self.files[shard], np.int64, count, offset=8)
            if len(self.shards) > KNOWN_SHARDS:
                self.shards.popitem(last=False)
        return self.shards[shard]
