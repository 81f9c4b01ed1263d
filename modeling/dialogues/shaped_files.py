"""Rows of the JSON, JSON Lines and parquet files of the `dialogues` artifact, for modeling/dialogues/shapes.py."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.json_lines import read_rows
from data_cleaning.reading.json_stream import json_items
from data_cleaning.reading.raw_records import Bad
from modeling.dialogues import shapes
from modeling.dialogues.dialogue_sources import files

LARGEST_ROW = 64 << 20
SUFFIXES = (".json", ".jsonl", ".jsonl.gz", ".parquet")


def used_as(dialogues: Path, *uses: str) -> Iterator[tuple[Path, str]]:
    """Yield (file, source) of every file with one of SUFFIXES that sources.json says to be of one of the uses."""
    listed = dialogues / "sources.json"
    names = (
        {entry["name"] for entry in json.loads(listed.read_text()) if entry["use"] in uses} if listed.exists() else {}
    )
    for path, source in files(dialogues, "*.*"):
        if source in names and path.name.endswith(SUFFIXES):
            yield path, source


def rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (place in the file, row). A JSON file is a list of rows, or an object of rows or of lists of rows.

    A JSON file that is cut off yields the rows before the cut. Raises ValueError with the file for one without a row.
    """
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            yield from ((f"row {number}", row) for number, row in enumerate(batch.to_pylist(), 1))
    elif path.suffix == ".json":
        found = 0
        with open(path, "rb") as file:
            for item in json_items(file, LARGEST_ROW):
                if isinstance(item, Bad):
                    if not found:
                        raise ValueError(f"{path}: {item.error}")
                    return
                found += 1
                _, key, value = item
                inside = value if isinstance(key, str) and isinstance(value, list) else [value]
                yield from ((f"row {key!r}" if isinstance(key, str) else f"row {key + 1}", row) for row in inside)
    else:
        yield from ((f"line {number}", row) for number, row in read_rows(path))


def read(path: Path, place: str, row: Any) -> shapes.Dialogue | shapes.Preference | shapes.Rated:
    """`shapes.read` of a row; its ValueError names the file and the place too."""
    try:
        return shapes.read(row)
    except shapes.Unusable:
        raise
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, {place}: {error}") from error
