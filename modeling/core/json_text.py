"""Standard JSON, which every reader accepts: NaN raises an error when it is written, not when it is read."""

import json
import math
from collections.abc import Iterable
from typing import Any


def dumps(content: Any, **layout: Any) -> str:
    """`json.dumps` that raises ValueError for NaN and infinity. An undefined figure is null: see `without_nan`."""
    return json.dumps(content, allow_nan=False, **layout)


def lines(rows: Iterable[Any]) -> str:
    """JSON Lines: one row per line, keys sorted."""
    return "".join(dumps(row, sort_keys=True) + "\n" for row in rows)


def without_nan(content: Any) -> Any:
    """A copy with None for NaN, which stands for an undefined figure (an accuracy over no pairs)."""
    if isinstance(content, dict):
        return {name: without_nan(part) for name, part in content.items()}
    if isinstance(content, list):
        return [without_nan(part) for part in content]
    return None if isinstance(content, float) and math.isnan(content) else content
