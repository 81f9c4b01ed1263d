"""Band keys of documents: from signatures in memory, or from files, of which one band at a time is in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from data_cleaning.dedup.minhash import band_keys
from data_cleaning.files import replacing

KNOWN_FILES = 256  # that stay mapped


class Bands(Protocol):
    """The bands of a number of documents. Two documents are candidates if their keys in a band are equal."""

    count: int  # of the bands

    def keys(self, band: int) -> np.ndarray:
        """Returns the key of each document, uint64 [documents]."""

    def share(self, first: int, second: int) -> bool:
        """Returns whether two documents have equal keys in a band."""


class BandsInMemory:
    """Bands of so many rows of signatures, uint32 [documents, values]; values left over are in no band."""

    def __init__(self, signed: np.ndarray, rows: int) -> None:
        self.signed, self.rows, self.count = signed, rows, signed.shape[1] // rows

    def keys(self, band: int) -> np.ndarray:
        return band_keys(self.signed[:, band * self.rows : (band + 1) * self.rows])

    def share(self, first: int, second: int) -> bool:
        pair = BandsInMemory(self.signed[[first, second]], self.rows)
        return any(keys[0] == keys[1] for keys in map(pair.keys, range(pair.count)))


def write_bands(signed: np.ndarray, widths: Sequence[int], path: Path) -> None:
    """Writes the keys of a shard, uint64 [bands, documents]: all bands of the first width, then of the next one."""
    with replacing(path) as part, part.open("wb") as file:
        for rows in widths:
            bands = BandsInMemory(signed, rows)
            for band in range(bands.count):
                bands.keys(band).tofile(file)


class BandFiles:
    """Bands from the files of `write_bands`, `count` of them from number `first` on.

    starts: number of the first document of each file, and the number of all documents, int64 [files + 1].
    """

    def __init__(self, files: Sequence[Path], starts: np.ndarray, first: int, count: int) -> None:
        self.files, self.starts, self.first, self.count = files, starts, first, count
        self.mapped: OrderedDict[int, np.ndarray] = OrderedDict()

    def keys(self, band: int) -> np.ndarray:
        sizes = np.diff(self.starts).tolist()
        parts = (
            np.fromfile(file, np.uint64, size, offset=8 * (self.first + band) * size)
            for file, size in zip(self.files, sizes, strict=True)
        )
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def share(self, first: int, second: int) -> bool:
        return bool((self._of(first) == self._of(second)).any())

    def _of(self, document: int) -> np.ndarray:
        """Returns the keys of a document, uint64 [count]."""
        file = int(np.searchsorted(self.starts, document, "right")) - 1
        if file not in self.mapped:
            size = int(self.starts[file + 1] - self.starts[file])
            self.mapped[file] = np.memmap(self.files[file], np.uint64, "r").reshape(-1, size)
            if len(self.mapped) > KNOWN_FILES:
                self.mapped.popitem(last=False)
        return self.mapped[file][self.first : self.first + self.count, document - self.starts[file]]
