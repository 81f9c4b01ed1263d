"""Benchmark samples as text: read from jsonl files, fully verbalised, and indexed by their word n-grams."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_cleaning.contamination.skipgrams import NgramIndex, index_ngrams
from data_cleaning.filters.words import Words, normalised, split_words, word_hashes
from data_cleaning.json_lines import read_rows
from data_cleaning.reading.normalise import remove_invisible

_OPTION = re.compile(r"^\s*\(?[A-J][.)]\s*", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """A fully verbalised sample: `text` is passage, question, options and answer; `background` is its passage alone."""

    benchmark: str
    number: int  # line in its file, from 0
    background: str
    text: str  # background, question, options, answer


def verbalise(row: dict) -> tuple[str, str]:
    """Returns (passage, question with options and right answers) of a row with `question` and optional other fields.

    Leaves out option letters and an answer that repeats an option. Raises KeyError if the row has no question.
    """
    options = _OPTION.sub("", row.get("options") or "")
    answers = row.get("answer") or ""
    answers = [answers] if isinstance(answers, str) else [str(answer) for answer in answers]
    answers = [_OPTION.sub("", answer) for answer in answers]
    said = [row["question"], options, *(answer for answer in answers if answer.strip() not in options)]
    return row.get("passage") or "", "\n".join(part for part in said if part)


def read_samples(folder: Path) -> Iterator[Sample]:
    """Yields all samples under `raw/<source>/`; a benchmark's name is its source, plus the file if there are several.

    Raises ValueError with file and line if a line is not a sample.
    """
    for source in sorted(path for path in (folder / "raw").iterdir() if path.is_dir()):
        files = sorted(source.rglob("*.jsonl"))
        for file in files:
            name = source.name if len(files) == 1 else f"{source.name}/{file.relative_to(source).with_suffix('')}"
            for line, row in read_rows(file):
                try:
                    if not isinstance(row, dict):
                        raise TypeError(f"a {type(row).__name__}")
                    background, question = verbalise(row)
                except (KeyError, TypeError) as error:
                    where = f"{file} line {line} is not a benchmark sample ({error})"
                    raise ValueError(f"{where}: it must be a JSON object with a question") from error
                yield Sample(name, line - 1, background, f"{background}\n{question}".strip())


@dataclass(frozen=True)
class SampleIndex(NgramIndex):
    """The n-grams of S samples' words, and what the samples are."""

    names: np.ndarray  # str, "benchmark:number" [S]
    benchmarks: np.ndarray  # str [S]
    background: np.ndarray  # number of passage words in each sample [S]


def index_samples(samples: list[Sample], n: int) -> SampleIndex:
    """Indexes every word n-gram; a sample shorter than n words has none and never matches."""
    words = _words(sample.text for sample in samples)
    background = _words(sample.background for sample in samples)
    index = index_ngrams(word_hashes(words), words.offsets, n)
    return SampleIndex(
        **vars(index),
        names=np.array([f"{sample.benchmark}:{sample.number}" for sample in samples], dtype=np.str_),
        benchmarks=np.array([sample.benchmark for sample in samples], dtype=np.str_),
        background=background.counts,
    )


def _words(texts: Iterable[str]) -> Words:
    """Returns the words to match: documents hold no invisible characters either (reading/normalise.py)."""
    return split_words(normalised(pa.array([remove_invisible(text)[0] for text in texts], pa.string())))
