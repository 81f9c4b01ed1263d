"""JSON as its standard has it, which every reader accepts: a NaN in it is an error where it is written, not where it is read."""

import json
import math
from collections.abc import Iterable
from typing import Any


def dumps(content: Any, **layout: Any) -> str:
    """`json.dumps`, but ValueError for NaN and infinity. A figure over nothing is null: see `without_nan`."""
    return json.dumps(content, allow_nan=False, **layout)


def lines(rows: Iterable[Any]) -> str:
    """JSON Lines: a row a line, keys sorted."""
    return "".join(dumps(row, sort_keys=True) + "\n" for row in rows)


def without_nan(content: Any) -> Any:
    """The same with None for NaN, which here stands for a figure over nothing (an accuracy over no pairs)."""
    if isinstance(content, dict):
        return {name: without_nan(part) for name, part in content.items()}
    if isinstance(content, list):
        return [without_nan(part) for part in content]
    return None if isinstance(content, float) and math.isnan(content) else content
