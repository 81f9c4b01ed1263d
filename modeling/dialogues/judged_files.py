"""CSV files of judged answers as rows: what the safety sources and the independent judge both read, and read alike."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

csv.field_size_limit(10_000_000)


def read(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV that may open with comment lines."""
    with path.open(newline="", encoding="utf-8", errors="replace") as lines:
        yield from csv.DictReader(itertools.dropwhile(lambda line: line.startswith("#"), lines))
