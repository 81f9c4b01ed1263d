"""Samples just above and just below each threshold of the steps: the documents whose measured values are closest to it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_cleaning.contamination.stage import limits
from data_cleaning.filters.quality import PART_CHARACTERS, RULES
from data_cleaning.filters.text_measures import Measures
from data_cleaning.recipes import QualityProfile, ReportRecipe
from data_cleaning.report.counts import order, sample

LEAST, MOST, BELOW = "least", "most", "below"  # what a kept value is: at least, at most, or below the limit
BEYOND = {LEAST: np.less, MOST: np.greater, BELOW: np.greater_equal}
WHOLE_TEXT = 1.5 * PART_CHARACTERS  # longer texts are judged by parts: their value is a mean of some of these


@dataclass(frozen=True, order=True)
class Threshold:
    reason: str
    profile: str  # "" where all profiles share the threshold
    bound: str
    limit: float


def quality_limits(profile: QualityProfile) -> dict[str, tuple[float | None, float | None]]:
    """Returns reason → (least, most) that a kept document of this profile may have; filters/quality.py names the rules.

    "phrase" is left out: every kept document has none.
    """
    limits = {
        "too_few_words": (profile.min_words, None),
        "too_many_words": (None, profile.max_words),
        "word_length": profile.mean_word_length,
        "symbols": (None, profile.max_symbol_word_ratio),
        "bullet_lines": (None, profile.max_bullet_lines),
        "ellipsis_lines": (None, profile.max_ellipsis_lines),
        "non_alphabetic_words": (profile.min_alphabetic_words, None),
        "stop_words": (profile.min_stop_words or None, None),
        "duplicate_lines": (None, profile.max_duplicate_lines),
        "duplicate_paragraphs": (None, profile.max_duplicate_paragraphs),
        "duplicate_line_characters": (None, profile.max_duplicate_line_characters),
        "duplicate_paragraph_characters": (None, profile.max_duplicate_paragraph_characters),
        **{f"top_{n}_gram": (None, most) for n, most in profile.max_top_ngram},
        **{f"duplicate_{n}_grams": (None, most) for n, most in profile.max_duplicate_ngrams},
        "too_few_sentences": (profile.min_sentences, None),
        "unpunctuated_lines": (profile.min_punctuated_lines, None),
        "short_lines": (None, profile.max_short_lines),
        "newlines": (None, profile.max_newline_ratio),
    }
    return {reason: bounds for reason, bounds in limits.items() if bounds != (None, None)}


def of_reason(recipe: ReportRecipe, reason: str, profile: str) -> list[Threshold]:
    """Returns the thresholds by which a document of this profile may be dropped for a reason; some reasons have none."""
    shared = {
        "unsure_language": (LEAST, recipe.language.threshold),
        "near_duplicate": (BELOW, recipe.dedup.min_jaccard),
        **{reason: (BELOW, limit) for reason, limit in limits(recipe.contamination).items()},
    }
    if reason in shared:
        return [Threshold(reason, "", *shared[reason])]
    profiles = {one.name: one for one in recipe.quality.profiles}
    least, most = quality_limits(profiles[profile]).get(reason, (None, None)) if profile in profiles else (None, None)
    found = [Threshold(reason, profile, LEAST, least)] if least is not None else []
    return found + ([Threshold(reason, profile, MOST, most)] if most is not None else [])


def closest_dropped(recipe: ReportRecipe, table: pa.Table) -> list[list]:
    """Returns [threshold, entries] of the dropped documents of a shard that are closest to each threshold."""
    reasons, profiles = (np.array(table[name].to_pylist(), object) for name in ("reason", "profile"))
    values = np.array(table["value"].to_pylist(), float)  # None becomes NaN
    found = []
    for reason, profile in sorted(set(zip(reasons.tolist(), profiles.tolist(), strict=True))):
        for threshold in of_reason(recipe, reason, profile):
            of = (reasons == reason) & (profiles == profile)
            rows = np.flatnonzero(of & BEYOND[threshold.bound](values, threshold.limit))
            found.append([threshold, _closest(table, rows, values[rows], threshold.limit, recipe.samples_per_side)])
    return found


def closest_kept(recipe: ReportRecipe, table: pa.Table, wanted: Iterable[Threshold], share: float) -> list[list]:
    """Returns [threshold, entries] of the kept documents of a quality shard; measures a `share` of them, by their ids."""
    wanted = sorted(wanted)
    lengths = np.array([len(text) for text in table["text"].to_pylist()])
    ranks = np.array([order(name) for name in table["id"].to_pylist()], np.uint64)
    chosen = (lengths <= WHOLE_TEXT) & (ranks <= np.uint64(min(share, 1.0) * (2**64 - 1)) if share < 1 else True)
    profiles = np.array(table["profile"].to_pylist(), object)
    found = []
    for profile in recipe.quality.profiles:
        asked = [threshold for threshold in wanted if threshold.profile == profile.name]
        rows = np.flatnonzero(chosen & (profiles == profile.name))
        if not asked or not len(rows):
            continue
        part = table.take(pa.array(rows))
        measured = dict(measures_of(part, profile))
        for threshold in asked:
            values, every = measured[threshold.reason].astype(float), np.arange(len(rows))
            found.append([threshold, _closest(part, every, values, threshold.limit, recipe.samples_per_side)])
    return found


def measures_of(table: pa.Table, profile: QualityProfile) -> Iterator[tuple[str, np.ndarray]]:
    """Yields each quality rule's reason and the values that it measures, [documents]."""
    measures = Measures(table["text"], table["lang"])
    for rule in RULES:
        for reason, values, _ in rule(measures, profile):
            yield reason, values


def closest_values(table: pa.Table, values: np.ndarray, threshold: Threshold, count: int) -> list[list]:
    """Returns [[threshold, entries]] of the documents of a table with known values (NaN: none)."""
    rows = np.flatnonzero(~np.isnan(values))
    return [[threshold, _closest(table, rows, values[rows], threshold.limit, count)]]


def _closest(table: pa.Table, rows: np.ndarray, values: np.ndarray, limit: float, count: int) -> list[list]:
    """Returns [distance, order, sample] of the `count` rows whose values are closest to the limit."""
    if not len(rows) or not count:
        return []
    distances = np.abs(values - limit)
    last = np.partition(distances, min(count, len(rows)) - 1)[min(count, len(rows)) - 1]
    near = np.flatnonzero(distances <= last)  # of equal distances, all: their hashes decide
    ids = table["id"].take(pa.array(rows[near])).to_pylist()
    ranked = sorted((float(distances[place]), order(name), name, place) for place, name in zip(near, ids, strict=True))
    return [
        [distance, rank, sample(table, int(rows[place])) | {"value": float(values[place])}]
        for distance, rank, _, place in ranked[:count]
    ]


def merged(parts: Iterable[list[list]], count: int) -> dict[Threshold, list[dict]]:
    """Returns threshold → its `count` closest samples of all shards, the closest first."""
    found: dict[Threshold, list] = {}
    for part in parts:
        for threshold, entries in part:
            known = threshold if isinstance(threshold, Threshold) else Threshold(*threshold)
            found.setdefault(known, []).extend(entries)
    return {
        threshold: [
            shown for *_, shown in sorted(entries, key=lambda entry: (entry[0], entry[1], entry[2]["id"]))[:count]
        ]
        for threshold, entries in sorted(found.items())
    }
