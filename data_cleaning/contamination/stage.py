"""Contamination: drops documents that contain a benchmark sample and measures what stays in the corpus (paper A.6).

As in the paper, each sample is fully verbalised (passage, question, options, answer) and a match is longer than 10
positions. A matching span may differ in four positions, but not in its first 10 and not at its end. Positions are
words, not tokens: the corpus precedes the tokenizer. The evaluation repeats the search on the tokens that were trained
on (modeling/evaluation/benchmark_contamination.py).

A sample's passage is judged apart from its question, options and answer. Otherwise a verbatim question after a long
passage would be too small a share of the sample, and a short question's first words too large a share. A document is
dropped if it contains `max_question` of one sample's question, options and answer, or `max_passage` of its passage. A
span that goes on from the passage into the question counts in both.
"""

import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.contamination.benchmark_samples import SampleIndex, index_samples, read_samples
from data_cleaning.contamination.skipgrams import CLEAN, DIRTY, covered, find_spans, sequence_shares
from data_cleaning.documents import add_up, shard_paths, split_shard, write_shard
from data_cleaning.files import write_json
from data_cleaning.filters.words import normalised, split_words, word_hashes
from data_cleaning.recipes import ContaminationRecipe
from data_cleaning.shards import map_shards

QUESTION, PASSAGE = "contaminated_question", "contaminated_passage"  # reasons of a dropped document
SPAN_LENGTHS = (11, 20, 30, 40, 50)  # least span lengths at which the paper measures (A.6); 11 is "longer than 10"
SPAN_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("sample", pa.int32()),
        ("start", pa.int32()),
        ("length", pa.int32()),
        ("dropped", pa.bool_()),
    ]
)


def part_shares(spans: list[tuple[int, int]], passage: int, words: int) -> dict[str, float]:
    """Returns reason → the share of a sample's part that the (start, length) spans cover; a part without words has none.

    The sample has `words` words; the first `passage` of them are its passage, the others question, options and answer.
    """
    inside = covered(words, *np.array(spans).T)
    parts = {QUESTION: inside[passage:], PASSAGE: inside[:passage]}
    return {reason: float(part.mean()) for reason, part in parts.items() if len(part)}


def limits(recipe: ContaminationRecipe) -> dict[str, float]:
    """Returns reason → the share of a sample's part from which on a document is dropped, the graver reason first."""
    return {QUESTION: recipe.max_question, PASSAGE: recipe.max_passage}


def filter_shard(recipe: ContaminationRecipe, index_path: Path, shard: Path, out: Path) -> dict:
    index = _cached_index(index_path)
    table = pq.read_table(shard)
    words = split_words(normalised(pc.binary_join_element_wise(table["title"], table["text"], "\n")))
    found = find_spans(word_hashes(words), words.offsets, index, recipe.ngram_words - 1, recipe.skip_budget)
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for document, sample, *span in zip(*(column.tolist() for column in found), strict=True):
        pairs.setdefault((document, sample), []).append(tuple(span))
    gone = verdicts(recipe, index, pairs)
    ids = table["id"].to_pylist()
    rows = [
        (ids[row], sample, *span, row in gone)
        for (row, sample), spans in sorted(pairs.items())
        for span in sorted(spans)
    ]
    columns = list(zip(*rows, strict=True)) or [[] for _ in SPAN_SCHEMA]
    write_shard(pa.table([*map(list, columns)], schema=SPAN_SCHEMA), out / "spans" / shard.name)
    judged = [gone.get(row, (None, None, None)) for row in range(table.num_rows)]
    reasons, values, details = ([verdict[place] for verdict in judged] for place in range(3))
    return split_shard(table, reasons, values, details, out, shard.name)


def verdicts(
    recipe: ContaminationRecipe, index: SampleIndex, pairs: dict[tuple[int, int], list[tuple[int, int]]]
) -> dict[int, tuple[str, float, str]]:
    """Returns document → (reason, share, sample) of those to drop; `pairs`: (document, sample) → spans.

    Names the graver reason if both apply, and the sample of which the document contains the largest share.
    """
    found: dict[int, list[tuple[str, float, str]]] = {}
    for (document, sample), spans in sorted(pairs.items()):
        shares = part_shares(spans, int(index.background[sample]), int(index.counts[sample]))
        for reason, limit in limits(recipe).items():
            if shares.get(reason, 0.0) >= limit:
                found.setdefault(document, []).append((reason, shares[reason], str(index.names[sample])))
    return {row: max(every, key=lambda one: (one[0] == QUESTION, one[1])) for row, every in found.items()}


@functools.lru_cache(maxsize=1)
def _cached_index(path: Path) -> SampleIndex:
    return SampleIndex.load(path)


def sample_shares(index: SampleIndex, spans: pa.Table) -> dict[int, np.ndarray]:
    """Returns, by minimum span length (SPAN_LENGTHS), the share of each sample's words in any document, float64 [S]."""
    starts = index.offsets[:-1][spans["sample"].to_numpy()] + spans["start"].to_numpy()
    lengths = spans["length"].to_numpy()
    return {
        least: sequence_shares(covered(len(index.values), starts[lengths >= least], lengths[lengths >= least]), index)
        for least in SPAN_LENGTHS
    }


def summary(
    index: SampleIndex, recipe: ContaminationRecipe, spans: pa.Table, before: np.ndarray, after: np.ndarray
) -> dict[str, dict]:
    """Returns, per benchmark, its samples, the matches before and after dropping, and the percentage of words found.

    `question_too_short_to_match` counts samples whose question, options and answer match only together with the passage.
    `beyond_the_passage` counts samples (before dropping) with a span that reaches into question, options or answer.
    """
    numbers = spans["sample"].to_numpy()
    ends = spans["start"].to_numpy() + spans["length"].to_numpy()
    beyond = np.zeros(len(index.names), bool)
    beyond[numbers[ends > index.background[numbers]]] = True
    questions = index.counts - index.background
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
            "question_too_short_to_match": int((questions[of] < recipe.ngram_words).sum()),
            "beyond_the_passage": int((beyond & of).sum()),
            "before": counts(before),
            "after": counts(after),
        }
    return table


def run(config: ContaminationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes documents/, dropped/ (value = share of the part, detail = benchmark:number), spans/ and two reports.

    `contamination.json` has counts per benchmark before and after. `samples.parquet` has each sample's words and the
    share of them left in the corpus at each minimum span length (share_11 … share_50).
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
    short = int((index.counts < config.ngram_words).sum())
    log.info(
        f"{len(samples):,} samples of {len(set(index.benchmarks.tolist()))} benchmarks, {index.offsets[-1]:,} words; "
        f"{short:,} samples are too short to match"
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
        "passage_words": index.background,
    }
    columns |= {"share_before": before[SPAN_LENGTHS[0]]} | {f"share_{least}": share for least, share in after.items()}
    write_shard(pa.table(columns), out / "samples.parquet")
    totals = {
        "samples": len(samples),
        "contaminated_samples_before": int((before[SPAN_LENGTHS[0]] > 0).sum()),
        "contaminated_samples_after": int((after[SPAN_LENGTHS[0]] > 0).sum()),
        "dirty_samples_after": int((after[SPAN_LENGTHS[0]] >= DIRTY).sum()),
    }
    return totals | {f"dropped_{reason}": 0 for reason in limits(config)} | add_up(figures)
