"""JSON Lines files of small rows; only "\\n" ends a row. reading/json_stream.py reads corpus files of any size."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yields (line number from 1, value) of every line that is not blank.

    Unpacks a file with the suffix .gz. Strings may contain U+2028, U+2029, U+0085 and control characters, at which
    str.splitlines would split. Raises ValueError with file and line for a line that is not JSON.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line, strict=False)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path} line {number} is no JSON: {error}") from error
