"""Near-duplicates of earlier snapshots and of held-out documents, against all pairs of all buckets."""

import dataclasses
import random

import numpy as np
import pytest

from data_cleaning.dedup import apart, similar
from data_cleaning.dedup.bands import BandsInMemory
from data_cleaning.dedup.minhash import Shingles, signatures
from data_cleaning.recipes import DedupRecipe
from tests.data_cleaning.dedup import apart_oracle
from tests.data_cleaning.dedup.test_similar import families

WIDE = DedupRecipe(shingle_words=5, bands=6, rows=2, min_jaccard=0.5, notices=(), ranks=(), seed=1)


def signed(every: list[np.ndarray], recipe: DedupRecipe) -> np.ndarray:
    sets = Shingles(np.concatenate(every), np.cumsum([0, *map(len, every)]))
    return signatures(sets, recipe.bands * recipe.rows, recipe.seed)


def both(values: np.ndarray, recipe: DedupRecipe) -> tuple[BandsInMemory, BandsInMemory]:
    return BandsInMemory(values, recipe.rows), BandsInMemory(values, apart.FINE_ROWS)


@pytest.mark.parametrize("seed", range(6))
def test_all_pairs_of_all_buckets_give_the_same(seed, monkeypatch):
    rng = random.Random(seed)
    monkeypatch.setattr(similar, "FEW", rng.choice([0, 2, 8]))
    recipe = dataclasses.replace(WIDE, min_jaccard=rng.choice([0.3, 0.5, 0.8]), rows=rng.choice([1, 2, 4]))
    every = families(rng, 250)
    rng.shuffle(every)
    values = signed(every, recipe)
    load_all = lambda rows: {row: every[row] for row in rows}  # noqa: E731
    snapshots = np.array([rng.randrange(3) for _ in every])
    sizes = np.array([rng.randrange(5) for _ in every])
    present = np.array([rng.random() < 0.9 for _ in every])
    ids = [f"id{rng.randrange(200)}" for _ in every]
    given = snapshots, sizes, ids, present
    coarse, fine = both(values, recipe)
    found = apart.across_snapshots(coarse, *given, every.__getitem__, recipe)
    assert found == apart_oracle.across_snapshots(values, *given, load_all, recipe) and len(found) > 3
    numbers = rng.sample(range(250), 220)
    kept, others = np.array(numbers[:60]), np.array(numbers[60:])
    found = apart.copies_of(kept, others, fine, every.__getitem__, recipe)
    assert found == apart_oracle.copies_of(kept, others, values, load_all, recipe) and len(found) > 3


def test_pages_of_a_template_are_compared_with_few_held_out_ones():
    """Every training page is a candidate of every held-out page; their similarity is 0.6."""
    rng = random.Random(1)
    shared = [rng.randrange(2**64) for _ in range(300)]
    every = [np.unique(np.array(shared + [rng.randrange(2**64) for _ in range(100)], np.uint64)) for _ in range(300)]
    every.append(np.concatenate([every[0][:-1], np.array([2**64 - 1], np.uint64)]))
    loaded: list[int] = []

    def load(document: int) -> np.ndarray:
        loaded.append(document)
        return every[document]

    recipe = dataclasses.replace(WIDE, bands=14, rows=8, min_jaccard=0.7)
    found = apart.copies_of(np.arange(100), np.arange(100, 301), both(signed(every, recipe), recipe)[1], load, recipe)
    assert {document: kept for document, (kept, _) in found.items()} == {300: 0}
    assert len(loaded) < 5 * 301, "100 × 201 pairs are candidates"


def test_nothing_to_compare():
    none, fine = np.empty(0, int), both(signed([np.array([5], np.uint64)], WIDE), WIDE)[1]
    assert apart.copies_of(none, np.arange(1), fine, list.__getitem__, WIDE) == {}
    assert apart.copies_of(np.arange(1), none, fine, list.__getitem__, WIDE) == {}
