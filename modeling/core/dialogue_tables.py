"""Parquet files of dialogues: one type for messages, two ways to write rows, at once and in a stream."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_cleaning.files import replacing

# `weight` is 0 on an answer that is context only (modeling/core/dialog.py), else null.
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int8())]))

ROW_GROUP = 32_768  # rows of a stream that are in memory at once, in Arrow's columns


def write_rows(rows: Sequence[dict], schema: pa.Schema, path: Path) -> None:
    """Write the schema's columns of the rows to a parquet file, atomically."""
    table = _table(rows, schema)
    with replacing(path) as part:
        pq.write_table(table, part, compression="zstd")


@contextmanager
def writing(schema: pa.Schema, path: Path) -> Iterator[Callable[[Sequence[dict]], None]]:
    """Yields a function that adds rows to a parquet file, in row groups of ROW_GROUP; the file appears at the end.

    Up to ROW_GROUP rows the file is the one that `write_rows` writes.
    """
    held: list[pa.Table] = []
    rows_held = 0

    def write(count: int) -> None:
        nonlocal rows_held
        table = pa.concat_tables(held)
        writer.write_table(table.slice(0, count).combine_chunks(), count)
        held[:] = [table.slice(count)]
        rows_held -= count

    def add(rows: Sequence[dict]) -> None:
        nonlocal rows_held
        held.append(_table(rows, schema))
        rows_held += len(rows)
        while rows_held >= ROW_GROUP:
            write(ROW_GROUP)

    with replacing(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        yield add
        if rows_held:
            write(rows_held)


def _table(rows: Sequence[dict], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema)
