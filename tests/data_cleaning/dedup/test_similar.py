"""The exact similarity index against all pairs, and the reader of sets within its memory."""

import random

import numpy as np
import pytest

from data_cleaning.dedup import sets as stored
from data_cleaning.dedup import similar
from data_cleaning.dedup.minhash import Shingles, jaccard
from data_cleaning.dedup.similar import Similar


def families(rng: random.Random, count: int) -> list[np.ndarray]:
    """Sets of 1 to 60 hashes: subsets, supersets and edits of each other, templates with own parts, and strangers."""
    found = []
    while len(found) < count:
        core = [rng.randrange(2**64) for _ in range(rng.randrange(1, 50))]
        for _ in range(rng.randrange(1, 10)):
            kept = core[: rng.randrange(1, len(core) + 1)]
            own = [rng.randrange(2**64) for _ in range(rng.choice([0, 1, 3, 10]))]
            found.append(np.unique(np.array(kept + own, np.uint64)))
    return found[:count]


@pytest.mark.parametrize("least", [0.1, 0.5, 0.7, 1.0])
def test_the_index_finds_what_all_pairs_show(least, monkeypatch):
    rng = random.Random(int(10 * least))
    every, alike = families(rng, 120), 0
    for few, shingles in ((0, 10**6), (3, 50), (200, 10**6)):
        monkeypatch.setattr(similar, "FEW", few)
        monkeypatch.setattr(similar, "PASS_SHINGLES", shingles)
        index = Similar(every.__getitem__, least, range(len(every)))
        for document, values in enumerate(every):
            exact = [(place, jaccard(every[place], values)) for place in range(document)]
            expected = [(place, value) for place, value in exact if value >= least]
            assert list(index.alike(document)) == expected
            alike += len(expected)
            index.add(document)
    assert alike >= 3  # at least one pair in each pass


def test_shared_shingles_are_counted_in_several_passes_as_in_one(monkeypatch):
    every = families(random.Random(2), 60)
    whole = similar.shared_shingles(every.__getitem__, range(60))
    monkeypatch.setattr(similar, "PASS_SHINGLES", 70)
    for one, other in zip(whole, similar.shared_shingles(every.__getitem__, range(60)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(whole[0]) > 100 and whole[1].min() == 2


def test_sets_are_read_from_their_files_within_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "CACHE_BYTES", 2000)
    monkeypatch.setattr(stored, "KNOWN_SHARDS", 1)
    every, paths, counts = families(random.Random(3), 50), [], [0]
    for number, part in enumerate((every[:20], [], every[20:])):
        offsets = np.cumsum([0, *map(len, part)])
        values = np.concatenate([np.empty(0, np.uint64), *(one[::-1] for one in part)])
        paths.append(tmp_path / f"{number}.sets")
        stored.write_sets(Shingles(values, offsets), paths[-1])
        counts.append(counts[-1] + len(part))
    reader = stored.SetReader(paths, np.array(counts))
    for document in random.Random(4).choices(range(50), k=300):
        np.testing.assert_array_equal(reader(document), every[document])
        assert reader.held == sum(one.nbytes for one in reader.sets.values()) <= 2000 and len(reader.shards) == 1
