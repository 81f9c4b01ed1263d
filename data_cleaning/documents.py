"""The schema of corpus documents, and how shards are read and written; a killed write leaves no partial shard.

An artifact of a corpus stage contains `documents/*.parquet` (kept) and `dropped/*.parquet` (dropped, with reasons). A
shard keeps its name through all stages that judge documents one by one.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.files import replacing

DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # "<source>:<identity>", the same in every run (reading/identity.py)
        ("source", pa.string()),
        ("text", pa.string()),
        ("title", pa.string()),  # "" where the source has none
        ("profile", pa.string()),
        ("meta", pa.string()),  # json
    ]
)
LANGUAGE_FIELDS = [pa.field("lang", pa.string()), pa.field("lang_score", pa.float32())]
DROPPED_FIELDS = [pa.field("reason", pa.string()), pa.field("value", pa.float64()), pa.field("detail", pa.string())]
LABELLED_SCHEMA = pa.schema([*DOCUMENT_SCHEMA, *LANGUAGE_FIELDS])  # from the language stage on
DROPPED_SCHEMA = pa.schema([*LABELLED_SCHEMA, *DROPPED_FIELDS])


def shard_paths(folder: Path, part: str = "documents") -> list[Path]:
    """Returns the shards of an artifact in the order of their names; `part` is "documents" or "dropped".

    Raises FileNotFoundError if the artifact has no such part; a part without shards gives an empty list.
    """
    if not (folder / part).is_dir():
        raise FileNotFoundError(f"{folder} holds no {part}/: was the stage that makes it materialized?")
    return sorted((folder / part).glob("*.parquet"))


def read_documents(folder: Path, part: str = "documents", columns: Sequence[str] | None = None) -> pa.Table:
    """Returns all rows of an artifact's part, memory-mapped, in the order of shard names; no shards: an empty table."""
    tables = [pq.read_table(path, columns=list(columns) if columns else None) for path in shard_paths(folder, part)]
    if tables:
        return pa.concat_tables(tables)
    empty = (LABELLED_SCHEMA if part == "documents" else DROPPED_SCHEMA).empty_table()
    return empty.select(list(columns)) if columns else empty


def write_shard(table: pa.Table, path: Path) -> None:
    """Writes one parquet shard (zstd) under a temporary name, then renames it: a shard is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        pq.write_table(table, part, compression="zstd", compression_level=3)


def split_shard(
    table: pa.Table,
    reasons: Sequence[str | None],
    values: Sequence[float | None],
    details: Sequence[str | None],
    out: Path,
    name: str,
) -> dict:
    """Writes a judged shard: rows whose reason is None go to `documents/NAME`, the others to `dropped/NAME`.

    `dropped/` is written first, so `documents/NAME` exists only if both are complete. Empty dropped shards are not
    written. Returns documents_in, documents_out, bytes_in, bytes_out (UTF-8 bytes of text) and dropped_<reason>.
    """
    (out / "dropped").mkdir(parents=True, exist_ok=True)
    keep = pa.array([reason is None for reason in reasons], pa.bool_())
    kept = table.filter(keep)
    if kept.num_rows < table.num_rows:
        verdicts = (pa.array(reasons, pa.string()), pa.array(values, pa.float64()), pa.array(details, pa.string()))
        judged = table
        for field, column in zip(DROPPED_FIELDS, verdicts, strict=True):
            judged = judged.append_column(field, column)
        write_shard(judged.filter(pc.invert(keep)), out / "dropped" / name)
    write_shard(kept, out / "documents" / name)
    figures = {
        "documents_in": table.num_rows,
        "documents_out": kept.num_rows,
        "bytes_in": text_bytes(table),
        "bytes_out": text_bytes(kept),
    }
    for reason in reasons:
        if reason is not None:
            figures[f"dropped_{reason}"] = figures.get(f"dropped_{reason}", 0) + 1
    return figures


def text_bytes(table: pa.Table) -> int:
    """Returns the number of UTF-8 bytes in the text column."""
    return pc.sum(pc.binary_length(table["text"])).as_py() or 0


def add_up(figures: Iterable[dict]) -> dict:
    """Sums flat dicts of counts key by key: a stage's metrics from those of its shards."""
    total: dict = {"documents_in": 0, "documents_out": 0, "bytes_in": 0, "bytes_out": 0}
    for one in figures:
        for key, value in one.items():
            total[key] = total.get(key, 0) + value
    return total
