"""Bands from files are those of the signatures, whatever the shards."""

import random

import numpy as np
import pytest

from data_cleaning.dedup import bands as band_files
from data_cleaning.dedup.bands import BandFiles, BandsInMemory, write_bands


@pytest.mark.parametrize("seed", range(4))
def test_files_give_the_bands_of_memory(seed, tmp_path, monkeypatch):
    rng = random.Random(seed)
    monkeypatch.setattr(band_files, "KNOWN_FILES", 2)
    sizes = [rng.randrange(12) for _ in range(5)]
    signed = np.array([[rng.randrange(2) for _ in range(14)] for _ in range(sum(sizes))], np.uint32).reshape(-1, 14)
    starts = np.cumsum([0, *sizes])
    files = [tmp_path / f"{number}.bands" for number in range(5)]
    for file, first, last in zip(files, starts[:-1], starts[1:], strict=True):
        write_bands(signed[first:last], (4, 3), file)
    for rows, found in ((4, BandFiles(files, starts, 0, 3)), (3, BandFiles(files, starts, 3, 4))):
        known = BandsInMemory(signed, rows)
        assert found.count == known.count, "two values of 14 are in no band of four or three"
        assert all((found.keys(band) == known.keys(band)).all() for band in range(known.count))
        pairs = [(one, other) for one in range(len(signed)) for other in range(len(signed))]
        shared = [known.share(*pair) for pair in pairs]
        assert [found.share(*pair) for pair in pairs] == shared and 0 < sum(shared) < len(pairs)
