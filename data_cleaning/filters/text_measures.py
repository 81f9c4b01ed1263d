"""The measures that the quality rules use, computed for all documents of a shard at once.

Shares of characters count a word with the blank that follows it. Sources: Gopher (Rae et al. 2021, A.1.1), C4 (Raffel et al.
2020, 2.2), FineWeb (Penedo et al. 2024, 3.6).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_cleaning.filters.words import Words, flat, mix, ngram_hashes, ngram_starts, split_flat, split_words, sums

# The first list is Gopher's; the others are equally frequent function words of their language.
STOP_WORDS = {
    "en": ("the", "be", "to", "of", "and", "that", "have", "with"),
    "fr": ("le", "la", "les", "de", "des", "et", "un", "une", "est", "que", "en", "du"),
    "es": ("el", "la", "los", "de", "del", "y", "un", "una", "es", "que", "en", "se"),
    "de": ("der", "die", "das", "und", "ist", "ein", "eine", "von", "zu", "mit", "den", "nicht"),
}
SENTENCE_END = r"""[.!?…。！？؟।](?:[\])"'”’]|\s?»)*(?:\s|$)"""
LINE_END = r"""[.!?…。！？؟।"'”’»]$"""
SHORT_LINE = 30  # characters (FineWeb)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns part / whole, and 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def numbers(values: pa.Array) -> np.ndarray:
    """Returns an arrow column of numbers or booleans as int64."""
    return values.cast(pa.int64()).to_numpy(zero_copy_only=False)


def repeats(keys: np.ndarray) -> np.ndarray:
    """Returns True at each key that occurs earlier in the array."""
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return ~first


@dataclass(frozen=True)
class Pieces:
    """The non-empty lines or paragraphs of D documents, trimmed."""

    texts: pa.Array
    offsets: np.ndarray  # [D + 1]

    @cached_property
    def counts(self) -> np.ndarray:
        return np.diff(self.offsets)

    @cached_property
    def lengths(self) -> np.ndarray:
        return numbers(pc.utf8_length(self.texts))

    @cached_property
    def repeated(self) -> np.ndarray:
        """True at each piece that occurs earlier in its document."""
        codes = self.texts.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        return repeats(owners * max(len(self.texts), 1) + codes)

    def share_of(self, marked: np.ndarray) -> np.ndarray:
        """Returns the share of each document's pieces that are marked."""
        return share(sums(marked, self.offsets), self.counts)

    def matching(self, pattern: str) -> np.ndarray:
        """Returns the share of each document's pieces that match the pattern."""
        return self.share_of(pc.match_substring_regex(self.texts, pattern).to_numpy(zero_copy_only=False))


def pieces(texts: pa.Array, separator: str) -> Pieces:
    """Splits each text at a regular expression, trims the pieces and leaves out empty ones."""
    parts, offsets = split_flat(pc.split_pattern_regex(texts, separator))
    parts = pc.utf8_trim_whitespace(parts)
    filled = pc.greater(pc.binary_length(parts), 0)
    before = np.concatenate([[0], np.cumsum(filled.to_numpy(zero_copy_only=False))])
    return Pieces(parts.filter(filled), before[offsets])


class Measures:
    """Measures of D texts, each an array [D]; computed on first use, so an unused measure costs nothing."""

    def __init__(self, texts: pa.Array | pa.ChunkedArray, languages: pa.Array | pa.ChunkedArray) -> None:
        self.texts = pc.utf8_trim_whitespace(flat(texts))
        self.languages = np.array(flat(languages).to_pylist(), dtype=object)

    @cached_property
    def characters(self) -> np.ndarray:
        return numbers(pc.utf8_length(self.texts))

    @cached_property
    def words(self) -> Words:
        return split_words(self.texts)

    @cached_property
    def lines(self) -> Pieces:
        return pieces(self.texts, r"\n")

    @cached_property
    def paragraphs(self) -> Pieces:
        return pieces(self.texts, r"\n\s*\n")

    @cached_property
    def _has_letter_or_digit(self) -> np.ndarray:
        return self._of_words(pc.match_substring_regex(self.words.vocabulary, r"[\pL\pN]"))

    @cached_property
    def word_count(self) -> np.ndarray:
        """Number of words that contain a letter or a digit."""
        return sums(self._has_letter_or_digit, self.words.offsets)

    @cached_property
    def mean_word_length(self) -> np.ndarray:
        lengths = self._of_words(pc.utf8_length(self.words.vocabulary)) * self._has_letter_or_digit
        return share(sums(lengths, self.words.offsets), self.word_count)

    @cached_property
    def alphabetic_words(self) -> np.ndarray:
        """Share of words with at least one letter."""
        letters = self._of_words(pc.match_substring_regex(self.words.vocabulary, r"\pL"))
        return share(sums(letters, self.words.offsets), self.words.counts)

    @cached_property
    def symbol_word_ratio(self) -> np.ndarray:
        """Hash signs per word or ellipses per word, whichever is larger."""
        hashes = numbers(pc.count_substring(self.texts, "#"))
        ellipses = numbers(pc.count_substring_regex(self.texts, r"\.\.\.|…"))
        return share(np.maximum(hashes, ellipses), self.words.counts)

    @cached_property
    def stop_words(self) -> np.ndarray:
        """Number of distinct stop words of the document's language; infinite for a language without a list."""
        plain = pc.utf8_lower(pc.replace_substring_regex(self.words.vocabulary, r"[^\pL\pM]+", ""))
        found = np.full(len(self.texts), np.inf)
        for language, listed in STOP_WORDS.items():
            of_language = self.languages == language
            if of_language.any():
                seen = np.zeros(len(self.texts))
                for word in listed:
                    seen += sums(self._of_words(pc.equal(plain, word)), self.words.offsets) > 0
                found[of_language] = seen[of_language]
        return found

    @cached_property
    def newline_ratio(self) -> np.ndarray:
        """Line breaks per word (FineWeb)."""
        return share(numbers(pc.count_substring(self.texts, "\n")), self.words.counts)

    @cached_property
    def sentences(self) -> np.ndarray:
        """Number of terminal punctuation marks before white space or the end; an abbreviation counts too."""
        return numbers(pc.count_substring_regex(self.texts, SENTENCE_END))

    def phrases(self, listed: tuple[str, ...]) -> np.ndarray:
        """Returns how often any of the phrases occurs in each text, ignoring case."""
        total = np.zeros(len(self.texts), np.int64)
        for phrase in listed:
            total += numbers(pc.count_substring(self.texts, phrase, ignore_case=True))
        return total

    @cached_property
    def _ngrams(self) -> "NgramMeasures":
        return NgramMeasures(self.words, self.characters)

    def top_ngram(self, n: int) -> np.ndarray:
        """Returns the share of characters in the most frequent word n-gram (0 if none occurs twice)."""
        return self._ngrams.top(n)

    def duplicate_ngrams(self, n: int) -> np.ndarray:
        """Returns the share of characters in repeats of earlier word n-grams of a document, counting overlaps once."""
        return self._ngrams.duplicated(n)

    def _of_words(self, by_vocabulary: pa.Array) -> np.ndarray:
        return numbers(by_vocabulary)[self.words.codes]


class NgramMeasures:
    """Repeated word n-grams by increasing n: each begins with a repeated (n-1)-gram, so few candidates need sorting."""

    def __init__(self, words: Words, characters: np.ndarray) -> None:
        plain = pc.utf8_lower(pc.replace_substring_regex(words.vocabulary, r"[^\pL\pN\pM]+", "")).dictionary_encode()
        codes = plain.indices.to_numpy(zero_copy_only=False).astype(np.uint64)[words.codes]
        self.characters, self.offsets, self.owners = characters, words.offsets, words.owners
        self.word_hashes = mix(codes + np.uint64(1)) if len(codes) else codes
        self.document_hashes = mix(np.arange(1, len(characters) + 1, dtype=np.uint64))
        lengths = numbers(pc.utf8_length(words.vocabulary))[words.codes] + 1
        self.reach = np.concatenate([[0], np.cumsum(lengths)])  # characters before each word
        self.found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def repeated(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns positions (ascending) of n-grams that occur at least twice in their document, and their classes."""
        if n not in self.found:
            starts = ngram_starts(self.offsets, n)
            if n > 2:
                candidates = self.repeated(n - 1)[0]
                candidates = candidates[candidates < len(starts)]
                candidates = candidates[starts[candidates]]
            else:
                candidates = np.flatnonzero(starts)
            keys = ngram_hashes(self.word_hashes, n)[candidates] ^ self.document_hashes[self.owners[candidates]]
            kinds, counts = np.unique(keys, return_inverse=True, return_counts=True)[1:]
            several = counts[kinds] > 1
            self.found[n] = candidates[several], kinds[several]
        return self.found[n]

    def top(self, n: int) -> np.ndarray:
        positions, kinds = self.repeated(n)
        best = np.zeros(len(self.characters), np.int64)
        if len(positions):
            counts = np.bincount(kinds)[kinds]
            lengths = np.minimum(self.reach[positions + n] - self.reach[positions], (1 << 20) - 1)
            np.maximum.at(best, self.owners[positions], (counts << 20) | lengths)  # the most frequent, then the longest
        return np.minimum(share((best >> 20) * (best & ((1 << 20) - 1)), self.characters), 1.0)

    def duplicated(self, n: int) -> np.ndarray:
        positions, kinds = self.repeated(n)
        later = positions[repeats(kinds)]
        steps = np.zeros(int(self.offsets[-1]) + 1, np.int64)
        steps[later] += 1
        np.subtract.at(steps, later + n, 1)
        covered = np.cumsum(steps)[:-1] > 0
        return np.minimum(share(sums(np.diff(self.reach) * covered, self.offsets), self.characters), 1.0)
