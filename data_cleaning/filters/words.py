"""Words and word n-grams of a whole shard as arrays: no Python loop runs over words.

White space separates words, so texts in scripts without it (Chinese, Thai, …) count as few long words.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

NOT_WORD = r"[^\pL\pN\pM]+"
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Words:
    """The words of D documents: `codes[offsets[d]:offsets[d + 1]]` index `vocabulary` (its entries are distinct)."""

    codes: np.ndarray  # int32 [words]
    offsets: np.ndarray  # int64 [D + 1]
    vocabulary: pa.Array  # string

    @property
    def counts(self) -> np.ndarray:
        """Words of each document, int64 [D]."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """The document of each word, int64 [words]."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.counts)


def flat(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Returns a column as one contiguous array."""
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def normalised(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Returns texts in NFKC and lower case, with one blank for each run that is neither letter, mark nor digit."""
    plain = pc.utf8_lower(pc.utf8_normalize(flat(texts), form="NFKC"))
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, NOT_WORD, " "))


def split_words(texts: pa.Array | pa.ChunkedArray) -> Words:
    """Returns the words of each text as written; an empty text has none."""
    pieces, offsets = split_flat(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(flat(texts))))
    filled = pc.greater(pc.binary_length(pieces), 0).to_numpy(zero_copy_only=False)  # "" splits into one empty piece
    if not filled.all():
        before = np.concatenate([[0], np.cumsum(filled)])
        pieces, offsets = pieces.filter(pa.array(filled)), before[offsets]
    encoded = pieces.dictionary_encode()
    return Words(encoded.indices.to_numpy(), offsets, encoded.dictionary)


def split_flat(lists: pa.ListArray) -> tuple[pa.Array, np.ndarray]:
    """Returns the values of a list array and the offsets [lists + 1] into them, both from zero."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return lists.flatten(), offsets - offsets[0]


def sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns the sum of each document's values (flat, offsets [D + 1]). Empty documents give 0; unsigned sums wrap."""
    running = np.cumsum(values)
    total = np.zeros(len(running) + 1, running.dtype)
    total[1:] = running
    return total[offsets[1:]] - total[offsets[:-1]]


def word_hashes(words: Words) -> np.ndarray:
    """Returns the 64-bit xxHash of each word of the flat list, uint64 [words]; hashes each distinct word once."""
    hashed = (xxhash.xxh3_64_intdigest(word) for word in words.vocabulary.cast(pa.binary()).to_pylist())
    table = np.fromiter(hashed, dtype=np.uint64, count=len(words.vocabulary))
    return table[words.codes] if len(table) else np.zeros(0, np.uint64)


def ngram_hashes(hashes: np.ndarray, n: int) -> np.ndarray:
    """Returns a 64-bit hash of the n words from each position on, uint64 [max(words - n + 1, 0)].

    Ignores document ends. Odd multipliers distinguish positions; mixing makes every bit depend on every word.
    """
    length = max(len(hashes) - n + 1, 0)
    total = np.zeros(length, np.uint64)
    for place in range(n):
        total += hashes[place : place + length] * _multiplier(place)
    return mix(total)


def ngram_starts(offsets: np.ndarray, n: int) -> np.ndarray:
    """Returns True where the next n words lie in one document, bool [max(words - n + 1, 0)]."""
    length = max(int(offsets[-1]) - n + 1, 0)
    ends = np.repeat(offsets[1:], np.diff(offsets))[:length]
    return np.arange(length) + n <= ends


def mix(values: np.ndarray) -> np.ndarray:
    """The MurmurHash3 finaliser on uint64: a bijection after which every bit depends on every bit."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def _multiplier(place: int) -> np.uint64:
    return np.uint64(((place * 2 + 1) * _GOLDEN & _MASK) | 1)
