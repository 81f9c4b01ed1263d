"""Parquet files of dialogues: one type for messages, one way to write rows."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_cleaning.files import replacing

# `weight` is 0 on an answer that is context only (modeling/core/dialog.py), else null.
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int8())]))


def write_rows(rows: Sequence[dict], schema: pa.Schema, path: Path) -> None:
    """Write the schema's columns of the rows to a parquet file, atomically."""
    table = pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema)
    with replacing(path) as part:
        pq.write_table(table, part, compression="zstd")
