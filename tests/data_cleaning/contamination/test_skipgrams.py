"""Spans against a literal search over every pair of positions."""

import numpy as np
import pytest

from data_cleaning.contamination import skipgrams


def joined(sequences: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    flat = [value for sequence in sequences for value in sequence]
    return np.array(flat, np.uint64), np.cumsum([0, *map(len, sequences)])


def literal(document: list[int], sample: list[int], exact: int, skips: int) -> dict[tuple[int, int], int]:
    """(start in the document, start in the sample) → length of the longest span that begins there."""
    found = {}
    for i in range(len(document)):
        for j in range(len(sample)):
            last = differing = 0
            for k in range(min(len(document) - i, len(sample) - j)):
                if document[i + k] == sample[j + k]:
                    last = k + 1
                elif k < exact:
                    last = 0
                    break
                elif (differing := differing + 1) > skips:
                    break
            if last > exact:
                found[i, j] = last
    return found


def random_text(generator, length: int, symbols: int) -> list[int]:
    return generator.integers(0, symbols, length).tolist()


@pytest.mark.parametrize("seed", range(40))
def test_the_spans_cover_what_a_literal_search_covers_at_every_length(seed, monkeypatch):
    """Few different values, so that spans overlap, repeat, and begin again inside others; pairs come in small batches."""
    monkeypatch.setattr(skipgrams, "PAIRS", 1 + seed * 3)
    generator = np.random.default_rng(seed)
    exact, skips, symbols = int(generator.integers(1, 5)), int(generator.integers(0, 4)), int(generator.integers(2, 6))
    samples = [random_text(generator, int(generator.integers(0, 30)), symbols) for _ in range(4)]
    documents = [random_text(generator, int(generator.integers(0, 50)), symbols) for _ in range(3)]
    documents.append([*samples[0], *random_text(generator, 3, symbols), *samples[1]])
    index = skipgrams.index_ngrams(*joined(samples), exact)
    found = skipgrams.find_spans(*joined(documents), index, exact, skips)
    for least in range(exact + 1, 20):
        for d, document in enumerate(documents):
            for s, sample in enumerate(samples):
                of = (found.document == d) & (found.sample == s) & (found.length >= least)
                here = skipgrams.covered(len(sample), found.start[of], found.length[of])
                wanted = np.zeros(len(sample), bool)
                for (_, start), length in literal(document, sample, exact, skips).items():
                    if length >= least:
                        wanted[start : start + length] = True
                assert here.tolist() == wanted.tolist(), (least, d, s)


def test_two_ngrams_of_one_hash_are_no_match(monkeypatch):
    monkeypatch.setattr(skipgrams, "ngram_hashes", lambda values, n: np.zeros(max(len(values) - n + 1, 0), np.uint64))
    index = skipgrams.index_ngrams(*joined([list(range(20))]), 3)
    found = skipgrams.find_spans(*joined([[50, 5, 6, 7, 8, 60, 61, 62]]), index, 3, 0)
    assert found.start.tolist() == [5] and found.length.tolist() == [4]


def test_nothing_to_match_gives_no_span():
    for samples, documents in (([], [[1, 2, 3]]), ([[1, 2, 3]], []), ([[1], []], [[1, 2], []])):
        index = skipgrams.index_ngrams(*joined(samples), 2)
        found = skipgrams.find_spans(*joined(documents), index, 2, 4)
        assert all(len(column) == 0 for column in found)


def test_shares_of_sequences():
    index = skipgrams.index_ngrams(*joined([[1, 2, 3, 4], [], [5, 6]]), 2)
    inside = skipgrams.covered(6, np.array([0, 1, 4]), np.array([2, 2, 2]))
    assert inside.tolist() == [True, True, True, False, True, True]
    assert skipgrams.sequence_shares(inside, index).tolist() == [0.75, 0.0, 1.0]
