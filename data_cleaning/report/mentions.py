"""Finds listed terms of one or more words in all texts of a shard at once, by the hashes of word n-grams."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data_cleaning.filters.words import Words, ngram_hashes, ngram_starts, split_words, word_hashes


class Terms:
    """Terms in normalised form (filters/words.py), each found wherever its words follow each other in a text."""

    def __init__(self, terms: Sequence[str]) -> None:
        """Raises ValueError for a term without words or one that stands twice: its occurrences could not be told apart."""
        words = split_words(pa.array(list(terms), pa.string()))
        if not words.counts.all() or len(set(terms)) < len(terms):
            raise ValueError("terms are distinct and have one word or more")
        hashes, starts = word_hashes(words), words.offsets[:-1]
        self._by_length: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
        for n in np.unique(words.counts).tolist():
            rows = np.flatnonzero(words.counts == n)
            keys = ngram_hashes(hashes, n)[starts[rows]]
            order = np.argsort(keys)
            # n, hashes of first words, and sorted n-gram hashes with their terms
            self._by_length.append((n, np.unique(hashes[starts[rows]]), keys[order], rows[order]))

    def found(self, words: Words) -> tuple[np.ndarray, np.ndarray]:
        """Returns (text, term) of every occurrence: the number of the text, and the place of the term in the list."""
        size = len(words.vocabulary)
        table = word_hashes(Words(np.arange(size), np.array([0, size]), words.vocabulary))
        hashes, owners = table[words.codes], words.owners
        texts, terms = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for n, firsts, keys, rows in self._by_length:
            begins = np.isin(table, firsts)[words.codes][: max(len(hashes) - n + 1, 0)]
            places = np.flatnonzero(begins & ngram_starts(words.offsets, n))  # few words begin a term
            wanted = ngram_hashes(hashes, n)[places]
            slots = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            met = keys[slots] == wanted
            texts.append(owners[places[met]])
            terms.append(rows[slots[met]])
        return np.concatenate(texts), np.concatenate(terms)
