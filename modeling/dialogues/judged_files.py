"""Reader of the CSV files of judged answers, shared by the safety sources and the independent judge."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

csv.field_size_limit(10_000_000)


def read(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file that may begin with comment lines."""
    with path.open(newline="", encoding="utf-8", errors="replace") as lines:
        yield from csv.DictReader(itertools.dropwhile(lambda line: line.startswith("#"), lines))
