"""Explicit toxicity of documents: each line is scored by rated terms, and a document has the mean of its lines.

The paper scores lines with a HateBERT that was fine-tuned on ToxiGen (4.1, Figure 13). The default sources have no such
model, and linear classifiers fitted on the labelled lines that there are mark style: human chat and scripture come out as
toxic. So a line has the score of its most severe term in a public list that people rated: 0 for the mildest rating, 1 for
the severest. This finds insults, slurs and obscenity, in any context, and no hatred in plain words. `agreement` measures
both on labelled lines. Nothing is filtered.
"""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_cleaning.filters.text_measures import pieces
from data_cleaning.filters.words import flat, normalised, split_words, sums
from data_cleaning.json_lines import read_rows
from data_cleaning.report.mentions import Terms

TERMS, PEOPLE, MACHINE = "profanity", "toxigen", "toxic-comments"  # names of sources with use = "toxicity"
MILDEST, SEVEREST = 1.0, 3.0  # of the list's ratings
FULL = 1000  # a score of 1: scores are whole thousandths, so that no sum depends on the order of its parts
BINS = 10
TOXIC = 0.5  # the paper counts documents from here on
BANDS = ((0.9, 1.01), (0.8, 0.9), (0.5, 0.8))  # of the other classifier's score
SEPARATORS = str.maketrans(dict.fromkeys("-'’", " "))


@dataclass(frozen=True)
class Rated:
    """Terms in normalised form and the score of each, in thousandths."""

    terms: tuple[str, ...]
    scores: tuple[int, ...]


def read_terms(sources: Path) -> Rated | None:
    """Returns the rated terms of a `toxicity` artifact, or None if its sources hold none.

    Leaves out terms whose letters are replaced by signs ("@ss"): without the signs they are other words.
    """
    files = _files(sources, TERMS)
    if not files:
        return None
    found: dict[str, int] = {}
    with files[0].open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], float(row["severity_rating"])) for row in csv.DictReader(file)]
    plain = normalised(pa.array([text for text, _ in rows], pa.string())).to_pylist()
    for term, (text, rating) in zip(plain, rows, strict=True):
        score = round(FULL * (min(max(rating, MILDEST), SEVEREST) - MILDEST) / (SEVEREST - MILDEST))
        if score and term == " ".join(text.lower().translate(SEPARATORS).split()):
            found[term] = max(found.get(term, 0), score)
    return Rated(tuple(sorted(found)), tuple(found[term] for term in sorted(found)))


def _files(sources: Path, name: str) -> list[Path]:
    listed = json.loads((sources / "sources.json").read_text(encoding="utf-8"))
    return [sources / "raw" / name / file for source in listed if source["name"] == name for file in source["files"]]


def line_scores(rated: Rated, lines: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, dict[str, int]]:
    """Returns the score of each line's most severe term in thousandths, int64 [lines], and the lines with each term."""
    best = np.zeros(len(lines), np.int64)
    of, which = Terms(rated.terms).found(split_words(normalised(lines)))
    np.maximum.at(best, of, np.array(rated.scores, np.int64)[which])
    pairs = np.unique(np.stack([which, of]), axis=1)[0] if len(of) else which
    counts = np.bincount(pairs, minlength=len(rated.terms))
    return best, {rated.terms[term]: int(counts[term]) for term in np.flatnonzero(counts).tolist()}


def count(rated: Rated, texts: pa.Array | pa.ChunkedArray) -> dict:
    """Returns "documents", "lines", "lines_marked" (score above 0), "terms", "histogram" and "toxic" (mean ≥ TOXIC).

    "terms" has the number of lines with each term that occurs.
    The histogram counts documents with a mean of exactly 0, then those of each tenth up to 1.
    """
    lines = pieces(flat(texts), r"\n")
    scores, terms = line_scores(rated, lines.texts)
    total, full = sums(scores, lines.offsets), FULL * np.maximum(lines.counts, 1)
    place = np.where(total > 0, 1 + np.minimum(total * BINS // full, BINS - 1), 0)
    return {
        "documents": len(lines.counts),
        "lines": len(scores),
        "lines_marked": int((scores > 0).sum()),
        "terms": terms,
        "histogram": np.bincount(place, minlength=BINS + 1).tolist(),
        "toxic": int((2 * total >= full).sum()),
    }


def agreement(rated: Rated, sources: Path) -> list[dict]:
    """Returns how the scores fit labelled lines: "lines", and the shares with a score above 0 and of TOXIC or more.

    The rows of ToxiGen's lines that people called toxic and harmless have the area under the ROC curve too ("auc").
    """
    rows = []
    for file in _files(sources, PEOPLE):
        labelled = json.loads(file.read_text(encoding="utf-8"))
        scores = line_scores(rated, pa.array([line["text"] for line in labelled], pa.string()))[0]
        toxic = np.array([line["is_toxic"] for line in labelled], bool)
        area = auc(scores[toxic], scores[~toxic])
        rows.append(_row("ToxiGen, toxic to people", scores[toxic], area))
        rows.append(_row("ToxiGen, harmless to people", scores[~toxic], area))
    for file in _files(sources, MACHINE):
        comments = [row for _, row in read_rows(file)]
        scores = line_scores(rated, pa.array([row["text"] for row in comments], pa.string()))[0]
        other = np.array([row["toxicity"] for row in comments])
        for low, high in BANDS:
            name = f"comments, Perspective {low:.1f}–{min(high, 1):.1f}"
            rows.append(_row(name, scores[(other >= low) & (other < high)], None))
    return rows


def _row(name: str, scores: np.ndarray, area: float | None) -> dict:
    number = max(len(scores), 1)
    return {
        "set": name,
        "lines": len(scores),
        "above_0": round(float((scores > 0).sum() / number), 4),
        "toxic": round(float((scores >= TOXIC * FULL).sum() / number), 4),
        "auc": area,
    }


def auc(high: np.ndarray, low: np.ndarray) -> float | None:
    """Returns the share of pairs in which `high` scores above `low`, ties as half; None without pairs."""
    if not len(high) or not len(low):
        return None
    above = np.sign(high[:, None] - low[None, :])
    return round(float((above + 1).mean() / 2), 4)


def merged(parts: list[dict[str, dict]], rated: Rated, sources: Path) -> dict:
    """Returns the counts of all shards in all and by source, and how far the scores agree with labelled lines."""
    by_source: dict[str, list[dict]] = {}
    for part in parts:
        for source, found in part.items():
            by_source.setdefault(source, []).append(found)
    return {
        "all": add([found for part in parts for found in part.values()]),
        "by_source": {source: add(by_source[source]) for source in sorted(by_source)},
        "agreement": agreement(rated, sources),
    }


def add(found: list[dict]) -> dict:
    """Returns the sum of several `count`s."""
    terms: Counter[str] = Counter()
    for one in found:
        terms.update(one["terms"])
    sizes = {name: sum(one[name] for one in found) for name in ("documents", "lines", "lines_marked", "toxic")}
    histogram = np.sum([one["histogram"] for one in found] or [[0] * (BINS + 1)], axis=0).tolist()
    return sizes | {"histogram": histogram, "terms": dict(sorted(terms.items(), key=lambda item: (-item[1], item[0])))}
