"""Reader of the CSV files of judged answers, shared by the safety sources and the independent judge."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

LONGEST_FIELD = 10_000_000  # characters


def read(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file that may begin with comment lines."""
    csv.field_size_limit(LONGEST_FIELD)  # of the whole process: a reader of the corpus may have lowered it since
    with path.open(newline="", encoding="utf-8", errors="replace") as lines:
        yield from csv.DictReader(itertools.dropwhile(lambda line: line.startswith("#"), lines))
