"""How many tokens of benchmark questions lie in spans that the training tokens contain too (paper A.6).

The shards of training tokens are streamed in pieces past an index of the questions
(data_cleaning/contamination/skipgrams.py says why this equals the paper's suffix arrays). A shard leaves one number per
place of the questions, so memory does not grow with the corpus. A span lies in one training document.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_cleaning.contamination.skipgrams import NgramIndex, covered, find_spans, index_ngrams, sequence_shares
from data_cleaning.files import replacing
from data_cleaning.shards import map_shards
from modeling.core.recipes import ContaminationTestRecipe

PIECE = 1 << 20  # tokens searched at once, which bounds the memory; it does not affect the result


def shares(
    config: ContaminationTestRecipe,
    questions: Sequence[Sequence[int]],
    shards: Sequence[Path],
    separators: Sequence[int],
    out: Path,
    log,
) -> dict[int, np.ndarray]:
    """Returns, by least span length, the share of each question's tokens that are contaminated, float64 [questions].

    `shards` are .npy files of token ids, `separators` the ids that stand between documents. Finished shards leave their
    result under `out/_scratch`, and a second call continues there.
    """
    scratch = out / "_scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    values = np.fromiter((token for question in questions for token in question), np.uint64)
    index = index_ngrams(values, np.cumsum([0, *map(len, questions)]), config.exact_tokens)
    index.save(scratch / "index.npz")
    search = functools.partial(search_shard, config, scratch / "index.npz", tuple(separators))
    map_shards(search, shards, out, log, step="searched")
    longest = np.zeros(len(values), np.int64)
    for shard in shards:
        with np.load(_result(out, shard), allow_pickle=False) as found:
            np.maximum.at(longest, found["places"], found["lengths"])
    by_length = {}
    for least in config.least_lengths:
        starts = np.flatnonzero(longest >= max(least, config.exact_tokens + 1))
        by_length[least] = sequence_shares(covered(len(values), starts, longest[starts]), index)
    return by_length


def search_shard(
    config: ContaminationTestRecipe, index_path: Path, separators: tuple[int, ...], shard: Path, out: Path
) -> dict:
    """Writes the places of the questions where a span begins, and the length of its longest one. Returns counts."""
    index = NgramIndex.load(index_path)
    tokens = np.load(shard, mmap_mode="r", allow_pickle=False)
    longest = np.zeros(len(index.values), np.int64)
    for piece in pieces(tokens, int(index.counts.max(initial=0))):
        spans = find_spans(piece, document_offsets(piece, separators), index, config.exact_tokens, config.skip_budget)
        np.maximum.at(longest, index.offsets[spans.sample] + spans.start, spans.length)
    places = np.flatnonzero(longest)
    path = _result(out, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, places=places, lengths=longest[places])
    return {"tokens": len(tokens), "places": len(places)}


def pieces(tokens: np.ndarray, longest: int) -> Iterator[np.ndarray]:
    """Yields the tokens in uint64 pieces; each goes on for `longest` tokens into the next, so that no span is cut."""
    for begin in range(0, len(tokens), PIECE):
        yield tokens[begin : begin + PIECE + longest].astype(np.uint64)


def document_offsets(tokens: np.ndarray, separators: Sequence[int]) -> np.ndarray:
    """Returns where documents begin and end, int64; a separator is a document of its own, which no question contains."""
    between = np.flatnonzero(np.isin(tokens, np.array(separators, np.uint64)))
    return np.unique(np.concatenate([[0], between, between + 1, [len(tokens)]]))


def _result(out: Path, shard: Path) -> Path:
    return out / "_scratch" / "found" / f"{shard.stem}.npz"
