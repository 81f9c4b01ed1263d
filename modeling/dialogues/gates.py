"""The gate of the prompts."""

import itertools
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.verdict import Verdict


def prompts_apart(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """RL, validation and test prompts share no id and no question, and none of the three parts is empty."""
    parts = {name: pq.read_table(artifact / f"{name}.parquet").to_pylist() for name in ("rl", "validation", "test")}
    figures = {name: len(rows) for name, rows in parts.items()}
    if not all(parts.values()):
        missing = " and ".join(name for name, rows in parts.items() if not rows)
        return False, f"there are no prompts for {missing}", figures
    known = {name: {key for r in rows for key in (r["id"], r["question"])} for name, rows in parts.items()}
    shared = [a & b for a, b in itertools.combinations(known.values(), 2)]
    return not any(shared), f"{len(set().union(*shared))} ids or questions are in two parts", figures
