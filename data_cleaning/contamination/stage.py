"""Contamination: drops documents that contain a benchmark sample and measures what stays in the corpus (paper A.6).

As in the paper, each sample is fully verbalised (passage, question, options, answer) and a match is longer than 10
positions. A matching span may differ in four positions, but not in its first 10 and not at its end. Positions are
words, not tokens: the corpus precedes the tokenizer. A document is dropped if it contains `max_contaminated` of one
sample's words.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.contamination.benchmark_samples import SampleIndex, index_samples, load_index, read_samples
from data_cleaning.documents import add_up, shard_paths, split_shard, write_shard
from data_cleaning.files import write_json
from data_cleaning.filters.words import Words, ngram_hashes, ngram_starts, normalised, split_words, word_hashes
from data_cleaning.recipes import ContaminationRecipe
from data_cleaning.shards import map_shards

REASON = "contaminated"
SPAN_LENGTHS = (11, 20, 30, 40, 50)  # least span lengths at which the paper measures (A.6); 11 is "longer than 10"
CLEAN, DIRTY = 0.2, 0.8  # a sample is clean below the first and dirty from the second on (A.6)
SPAN_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("sample", pa.int32()),
        ("start", pa.int32()),
        ("length", pa.int32()),
        ("dropped", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Span:
    """`length` words of a sample, from `start` on, that a document contains too."""

    document: int
    sample: int
    start: int
    length: int


def match_length(first: np.ndarray, second: np.ndarray, exact: int, skips: int) -> int:
    """Returns the length of the common prefix of two word sequences, with up to `skips` mismatches after `exact` words.

    The prefix ends with a matching word. Returns 0 if the first `exact` words differ.
    """
    length = min(len(first), len(second))
    differ = first[:length] != second[:length]
    if length < exact or differ[:exact].any():
        return 0
    beyond = np.flatnonzero(np.cumsum(differ) > skips)
    end = int(beyond[0]) if len(beyond) else length
    return int(np.flatnonzero(~differ[:end])[-1]) + 1


def find_spans(words: Words, index: SampleIndex, recipe: ContaminationRecipe) -> Iterator[Span]:
    """Yields shared spans of at least `ngram_words` words; spans of one document, sample and diagonal do not nest."""
    seed = recipe.ngram_words - 1
    hashes = word_hashes(words)
    places = np.flatnonzero(ngram_starts(words.offsets, seed))
    hits, low, high = index.search(ngram_hashes(hashes, seed)[places])
    documents = np.searchsorted(words.offsets, places[hits], "right") - 1
    reached: dict[tuple[int, int, int], int] = {}  # where the last span on a diagonal of document and sample ends
    ranges = zip(hits.tolist(), documents.tolist(), low.tolist(), high.tolist(), strict=True)
    for hit, document, first, last in ranges:
        here = int(places[hit])
        for there in index.places[first:last].tolist():
            sample = int(np.searchsorted(index.offsets, there, "right")) - 1
            diagonal = (document, sample, here - there)
            if reached.get(diagonal, -1) > here:
                continue
            rest = hashes[here : words.offsets[document + 1]], index.hashes[there : index.offsets[sample + 1]]
            length = match_length(*rest, seed, recipe.skip_budget)
            reached[diagonal] = here + max(length, 1)
            if length >= recipe.ngram_words:
                yield Span(document, sample, there - int(index.offsets[sample]), length)


def covered(spans: list[tuple[int, int]], words: int) -> np.ndarray:
    """Returns bool [words]: True at each word of a sample that lies in one of the (start, length) spans."""
    inside = np.zeros(words, bool)
    for start, length in spans:
        inside[start : start + length] = True
    return inside


def filter_shard(recipe: ContaminationRecipe, index_path: Path, shard: Path, out: Path) -> dict:
    index = _cached_index(index_path)
    table = pq.read_table(shard)
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    trained_on = pc.binary_join_element_wise(table["title"], table["text"], "\n")
    for span in find_spans(split_words(normalised(trained_on)), index, recipe):
        pairs.setdefault((span.document, span.sample), []).append((span.start, span.length))
    worst: dict[int, tuple[float, str]] = {}
    for (document, sample), spans in pairs.items():
        share = float(covered(spans, int(index.counts[sample])).mean())
        if share > worst.get(document, (0.0, ""))[0]:
            worst[document] = (share, str(index.names[sample]))
    gone = {row: found for row, found in worst.items() if found[0] >= recipe.max_contaminated}
    ids = table["id"].to_pylist()
    rows = [
        (ids[row], sample, *span, row in gone)
        for (row, sample), spans in sorted(pairs.items())
        for span in sorted(spans)
    ]
    columns = list(zip(*rows, strict=True)) or [[] for _ in SPAN_SCHEMA]
    write_shard(pa.table([*map(list, columns)], schema=SPAN_SCHEMA), out / "spans" / shard.name)
    found = [gone.get(row, (None, None)) for row in range(table.num_rows)]
    reasons = [REASON if row in gone else None for row in range(table.num_rows)]
    return split_shard(table, reasons, [share for share, _ in found], [name for _, name in found], out, shard.name)


@functools.lru_cache(maxsize=1)
def _cached_index(path: Path) -> SampleIndex:
    return load_index(path)


def sample_shares(index: SampleIndex, spans: pa.Table) -> dict[int, np.ndarray]:
    """Returns, by minimum span length (SPAN_LENGTHS), the share of each sample's words in any document, float64 [S]."""
    starts = index.offsets[:-1][spans["sample"].to_numpy()] + spans["start"].to_numpy()
    lengths = spans["length"].to_numpy()
    shares = {}
    for least in SPAN_LENGTHS:
        steps = np.zeros(int(index.offsets[-1]) + 1, np.int64)
        long = lengths >= least
        np.add.at(steps, starts[long], 1)
        np.subtract.at(steps, starts[long] + lengths[long], 1)
        inside = np.concatenate([[0], np.cumsum(np.cumsum(steps)[:-1] > 0)])
        shares[least] = (inside[index.offsets[1:]] - inside[index.offsets[:-1]]) / np.maximum(index.counts, 1)
    return shares


def summary(
    index: SampleIndex, recipe: ContaminationRecipe, spans: pa.Table, before: np.ndarray, after: np.ndarray
) -> dict[str, dict]:
    """Returns, per benchmark, its samples, the matches before and after dropping, and the percentage of words found.

    `beyond_the_passage` counts samples (before dropping) with a span that reaches into question, options or answer.
    """
    numbers = spans["sample"].to_numpy()
    ends = spans["start"].to_numpy() + spans["length"].to_numpy()
    beyond = np.zeros(len(index.names), bool)
    beyond[numbers[ends > index.background[numbers]]] = True
    table = {}
    for name in sorted(set(index.benchmarks.tolist())):
        of = index.benchmarks == name
        words = index.counts[of]

        def counts(share: np.ndarray, of: np.ndarray = of, words: np.ndarray = words) -> dict:
            return {
                "contaminated_samples": int((share[of] > 0).sum()),
                "not_clean_samples": int((share[of] >= CLEAN).sum()),
                "dirty_samples": int((share[of] >= DIRTY).sum()),
                "contaminated_words_percent": round(100 * float((share[of] * words).sum() / max(words.sum(), 1)), 3),
            }

        table[name] = {
            "samples": int(of.sum()),
            "words": int(words.sum()),
            "too_short_to_match": int((words < recipe.ngram_words).sum()),
            "beyond_the_passage": int((beyond & of).sum()),
            "before": counts(before),
            "after": counts(after),
        }
    return table


def run(config: ContaminationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes documents/, dropped/ (value = share of the sample, detail = benchmark:number), spans/ and two reports.

    `contamination.json` has counts per benchmark before and after. `samples.parquet` has each sample's words and the
    share of them left in the corpus at each minimum span length (share_11 … share_50), which the Z test of A.6 needs.
    Raises ValueError if there is no benchmark.
    """
    samples = list(read_samples(inputs["benchmarks"]))
    if not samples:
        raise ValueError(
            f"{inputs['benchmarks']} holds no benchmark: name sources with use = 'benchmarks' in sources.toml"
        )
    scratch = out / "_scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    index = index_samples(samples, config.ngram_words - 1)
    index.save(scratch / "index.npz")
    log.info(
        f"{len(samples):,} samples of {len(set(index.benchmarks.tolist()))} benchmarks, {index.offsets[-1]:,} words"
    )
    for folder in ("documents", "dropped", "spans"):
        (out / folder).mkdir(exist_ok=True)
    work = functools.partial(filter_shard, config, scratch / "index.npz")
    figures = map_shards(work, shard_paths(inputs["deduplicated"]), out, log)
    spans = pa.concat_tables([SPAN_SCHEMA.empty_table(), *map(pq.read_table, shard_paths(out, "spans"))])
    left = spans.filter(pc.invert(spans["dropped"]))
    before, after = sample_shares(index, spans), sample_shares(index, left)
    table = summary(index, config, spans, before[SPAN_LENGTHS[0]], after[SPAN_LENGTHS[0]])
    report = {"ngram_words": config.ngram_words, "skip_budget": config.skip_budget, "benchmarks": table}
    write_json(out / "contamination.json", report)
    columns = {
        "benchmark": index.benchmarks.tolist(),
        "sample": [sample.number for sample in samples],
        "words": index.counts,
    }
    columns |= {"share_before": before[SPAN_LENGTHS[0]]} | {f"share_{least}": share for least, share in after.items()}
    write_shard(pa.table(columns), out / "samples.parquet")
    totals = {
        "samples": len(samples),
        "contaminated_samples_before": int((before[SPAN_LENGTHS[0]] > 0).sum()),
        "contaminated_samples_after": int((after[SPAN_LENGTHS[0]] > 0).sum()),
        "dirty_samples_after": int((after[SPAN_LENGTHS[0]] >= DIRTY).sum()),
    }
    return totals | {f"dropped_{REASON}": 0} | add_up(figures)
