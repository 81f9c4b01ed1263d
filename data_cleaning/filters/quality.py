"""Quality rules of Gopher, C4 and FineWeb with the thresholds of a document's profile.

The paper names no filters (section 2.1 says only "more robust cleaning"), so these are the published ones of comparable
corpora. Toxic text is not filtered (4.1). C4's line rules remove lines first; the document rules judge the text that
remains. If a document breaks several rules, its reason is the first in the order of RULES. A long document is judged by
parts, because repetition grows with length: it goes if most of its parts go.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.documents import add_up, shard_paths, split_shard, text_bytes, write_shard
from data_cleaning.filters.text_measures import LINE_END, SHORT_LINE, Measures, numbers
from data_cleaning.filters.words import flat, split_flat
from data_cleaning.recipes import QualityProfile, QualityRecipe
from data_cleaning.shards import map_shards

REMOVED_LINE_SCHEMA = pa.schema(
    [("id", pa.string()), ("line", pa.int32()), ("text", pa.string()), ("reason", pa.string())]
)
PART_CHARACTERS = 40_000
HEAVY_LOSS = 0.2  # share of a source's documents
Verdict = tuple[str, np.ndarray, np.ndarray]  # reason, value [D], breaks the rule [D]


def gopher_quality(measures: Measures, profile: QualityProfile) -> Iterator[Verdict]:
    """Length, word shape, symbols, bullets, ellipses, stop words (Rae et al. 2021, Table A1)."""
    words = measures.word_count
    yield "too_few_words", words, words < profile.min_words
    yield "too_many_words", words, words > profile.max_words
    low, high = profile.mean_word_length
    length = measures.mean_word_length
    yield "word_length", length, (length < low) | (length > high)
    yield above("symbols", measures.symbol_word_ratio, profile.max_symbol_word_ratio)
    yield above("bullet_lines", measures.lines.matching(r"^[•‣*\-–]"), profile.max_bullet_lines)
    yield above("ellipsis_lines", measures.lines.matching(r"(?:\.\.\.|…)$"), profile.max_ellipsis_lines)
    yield below("non_alphabetic_words", measures.alphabetic_words, profile.min_alphabetic_words)
    if profile.min_stop_words:
        yield below("stop_words", measures.stop_words, profile.min_stop_words)


def gopher_repetition(measures: Measures, profile: QualityProfile) -> Iterator[Verdict]:
    """Repeated lines, paragraphs and word n-grams (Rae et al. 2021, Table A1)."""
    lines, paragraphs = measures.lines, measures.paragraphs
    if profile.max_duplicate_lines is not None:
        yield above("duplicate_lines", lines.share_of(lines.repeated), profile.max_duplicate_lines)
    if profile.max_duplicate_paragraphs is not None:
        yield above("duplicate_paragraphs", paragraphs.share_of(paragraphs.repeated), profile.max_duplicate_paragraphs)
    for reason, pieces, limit in (
        ("duplicate_line_characters", lines, profile.max_duplicate_line_characters),
        ("duplicate_paragraph_characters", paragraphs, profile.max_duplicate_paragraph_characters),
    ):
        if limit is not None:
            repeated = np.bincount(
                owners_of(pieces.offsets), pieces.lengths * pieces.repeated, len(measures.characters)
            )
            yield above(reason, repeated / np.maximum(measures.characters, 1), limit)
    for n, limit in profile.max_top_ngram:
        yield above(f"top_{n}_gram", measures.top_ngram(n), limit)
    for n, limit in profile.max_duplicate_ngrams:
        yield above(f"duplicate_{n}_grams", measures.duplicate_ngrams(n), limit)


def c4(measures: Measures, profile: QualityProfile) -> Iterator[Verdict]:
    """Phrases typical of pages without prose, and the number of sentences (Raffel et al. 2020, 2.2)."""
    if profile.drop_phrases:
        yield above("phrase", measures.phrases(profile.drop_phrases), 0)
    if profile.min_sentences is not None:
        yield below("too_few_sentences", measures.sentences, profile.min_sentences)


def fineweb(measures: Measures, profile: QualityProfile) -> Iterator[Verdict]:
    """Lists and menus: lines without end punctuation, short lines, many lines (Penedo et al. 2024, 3.6).

    FineWeb's third rule, characters in duplicate lines, is Gopher's with a lower threshold.
    """
    lines = measures.lines
    if profile.min_punctuated_lines is not None:
        yield below("unpunctuated_lines", lines.matching(LINE_END), profile.min_punctuated_lines)
    if profile.max_short_lines is not None:
        yield above("short_lines", lines.share_of(lines.lengths <= SHORT_LINE), profile.max_short_lines)
    if profile.max_newline_ratio is not None:
        yield above("newlines", measures.newline_ratio, profile.max_newline_ratio)


RULES: tuple[Callable[[Measures, QualityProfile], Iterator[Verdict]], ...] = (
    gopher_quality,
    gopher_repetition,
    c4,
    fineweb,
)


def above(reason: str, values: np.ndarray, limit: float) -> Verdict:
    return reason, values, values > limit


def below(reason: str, values: np.ndarray, limit: float) -> Verdict:
    return reason, values, values < limit


def owners_of(offsets: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def judge(measures: Measures, profile: QualityProfile) -> tuple[list[str | None], list[float | None]]:
    """Returns the reason to drop each document (None: it stays) and the measured value of that rule."""
    reasons = np.full(len(measures.texts), None, dtype=object)
    values = np.full(len(measures.texts), None, dtype=object)
    for rule in RULES:
        for reason, measured, broken in rule(measures, profile):
            now = broken & (reasons == None)  # noqa: E711 (element by element)
            reasons[now], values[now] = reason, measured[now].astype(float)
    return reasons.tolist(), values.tolist()


def judge_by_parts(
    texts: pa.Array, languages: pa.Array, profile: QualityProfile
) -> tuple[list[str | None], list[float | None]]:
    """Returns what `judge` does, for texts of any length."""
    parts = [in_parts(text) for text in texts.to_pylist()]
    spoken = flat(languages)
    reasons, values = [None] * len(parts), [None] * len(parts)
    short = [row for row, pieces in enumerate(parts) if len(pieces) == 1]
    if short:
        measures = Measures(pa.array([parts[row][0] for row in short], pa.string()), spoken.take(pa.array(short)))
        for row, reason, value in zip(short, *judge(measures, profile), strict=True):
            reasons[row], values[row] = reason, value
    for row in set(range(len(parts))) - set(short):
        reasons[row], values[row] = _judge_long(parts[row], spoken[row].as_py(), profile)
    return reasons, values


def _judge_long(parts: Sequence[str], language: str, profile: QualityProfile) -> tuple[str | None, float | None]:
    """Returns the reason that most parts of a text share and the mean of their values, if more than half are bad.

    The number of words is that of the whole text.
    """
    measures = Measures(pa.array(parts, pa.string()), pa.array([language] * len(parts), pa.string()))
    words = int(measures.word_count.sum())
    if words > profile.max_words:
        return "too_many_words", float(words)
    reasons, values = judge(measures, profile)
    bad = [reason for reason in reasons if reason]
    if 2 * len(bad) <= len(parts):
        return None, None
    ((most, _),) = Counter(bad).most_common(1)
    return most, float(np.mean([value for reason, value in zip(reasons, values, strict=True) if reason == most]))


def in_parts(text: str) -> list[str]:
    """Returns parts of about PART_CHARACTERS that end at line ends.

    A text of up to one and a half times that length is one part, and so is a single line of any length.
    """
    parts, start = [], 0
    while len(text) - start > 1.5 * PART_CHARACTERS:
        end = text.find("\n", start + PART_CHARACTERS)
        if end < 0 or len(text) - end < 0.5 * PART_CHARACTERS:
            break
        parts.append(text[start:end])
        start = end + 1
    return [*parts, text[start:]]


def clean_lines(texts: pa.Array, profile: QualityProfile) -> tuple[pa.Array, pa.Table]:
    """C4's line rules: removes short lines and lines of menus and notices; keeps blank lines (paragraph ends).

    Returns the texts and the removed lines: row (index of the text), line, text, reason.
    """
    texts = flat(texts)
    lines, offsets = split_flat(pc.split_pattern(texts, "\n"))
    reasons = np.full(len(lines), None, dtype=object)
    if profile.min_words_per_line is not None:
        words = numbers(pc.count_substring_regex(lines, r"\S+"))
        reasons[(words > 0) & (words < profile.min_words_per_line)] = "short_line"
    for phrase in profile.drop_line_phrases:
        found = pc.match_substring(lines, phrase, ignore_case=True).to_numpy(zero_copy_only=False)
        reasons[found] = f"phrase: {phrase}"
    gone = reasons != None  # noqa: E711
    rows = owners_of(offsets)
    removed = pa.table(
        {
            "row": rows[gone],
            "line": pa.array((np.arange(len(lines)) - offsets[rows])[gone], pa.int32()),
            "text": lines.filter(pa.array(gone)),
            "reason": pa.array(reasons[gone].tolist(), pa.string()),
        }
    )
    if not gone.any():
        return texts, removed
    before = np.concatenate([[0], np.cumsum(~gone)])[offsets]
    left = pa.ListArray.from_arrays(pa.array(before, pa.int32()), lines.filter(pa.array(~gone)))
    joined = pc.replace_substring_regex(pc.utf8_trim_whitespace(pc.binary_join(left, "\n")), r"\n{3,}", "\n\n")
    touched = np.zeros(len(texts), bool)
    touched[rows[gone]] = True
    return pc.if_else(pa.array(touched), joined, texts), removed


def filter_shard(recipe: QualityRecipe, shard: Path, out: Path) -> dict:
    """Judges one shard by the profile of each document; a dropped document keeps its original text."""
    table = pq.read_table(shard)
    profiles = {profile.name: profile for profile in recipe.profiles}
    names = np.array(table["profile"].to_pylist(), dtype=object)
    unknown = sorted(set(names) - set(profiles))
    if unknown:
        known = sorted(profiles)
        raise ValueError(f"{shard.name} asks for the quality profiles {unknown}, the recipe has {known}: add or rename")
    texts = np.array(table["text"].to_pylist(), dtype=object)
    cleaned, reasons, values = (
        texts.copy(),
        np.full(len(names), None, dtype=object),
        np.full(len(names), None, dtype=object),
    )
    removed_lines = []
    for name in sorted(set(names)):
        rows = np.flatnonzero(names == name)
        part = table.take(pa.array(rows))
        new, removed = clean_lines(part["text"], profiles[name])
        reasons[rows], values[rows] = judge_by_parts(new, part["lang"], profiles[name])
        stays = np.array([reason is None for reason in reasons[rows]], bool)
        removed = removed.filter(pa.array(stays[removed["row"].to_numpy()]))  # a dropped document keeps its lines
        if removed.num_rows:
            ids = part["id"].take(removed["row"])
            removed_lines.append(removed.drop_columns("row").add_column(0, "id", ids).cast(REMOVED_LINE_SCHEMA))
        cleaned[rows] = new.to_pylist()
    figures = {"lines_removed": sum(lines.num_rows for lines in removed_lines)}
    if removed_lines:
        write_shard(pa.concat_tables(removed_lines), out / "removed_lines" / shard.name)
    stay = reasons == None  # noqa: E711
    column = table.schema.get_field_index("text")
    after = table.set_column(column, table.schema.field(column), pa.array(np.where(stay, cleaned, texts), pa.string()))
    figures |= split_shard(after, reasons.tolist(), values.tolist(), [None] * len(reasons), out, shard.name)
    return figures | {"bytes_in": text_bytes(table)}


def run(config: QualityRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes documents/, dropped/ with reason and value, removed_lines/ (id, line, text, reason) of kept documents."""
    figures = map_shards(functools.partial(filter_shard, config), shard_paths(inputs["language"]), out, log)
    (out / "documents").mkdir(exist_ok=True)
    (out / "dropped").mkdir(exist_ok=True)
    losses = heavy_losses(out)
    for loss in losses:
        log.info(
            f"{loss['source']}: {loss['lost']:.0%} of {loss['documents']:,} documents break the quality rules, most "
            f"{loss['rule']} ({loss['by_rule']:,}). If they are good, choose another profile in the table of sources"
        )
    return {"lines_removed": 0} | add_up(figures) | {"heavy_losses": losses}


def heavy_losses(out: Path) -> list[dict]:
    """Returns the sources that lost more than HEAVY_LOSS of their documents, with the rule that took most of them."""
    kept, dropped = Counter(), {}
    for shard in shard_paths(out):
        kept.update(pq.read_table(shard, columns=["source"])["source"].to_pylist())
    for shard in shard_paths(out, "dropped"):
        rows = pq.read_table(shard, columns=["source", "reason"])
        for source, reason in zip(rows["source"].to_pylist(), rows["reason"].to_pylist(), strict=True):
            dropped.setdefault(source, Counter())[reason] += 1
    found = []
    for source, reasons in sorted(dropped.items()):
        gone, whole = reasons.total(), reasons.total() + kept[source]
        if gone > HEAVY_LOSS * whole:
            ((rule, most),) = reasons.most_common(1)
            found.append({"source": source, "documents": whole, "lost": gone / whole, "rule": rule, "by_rule": most})
    return found
