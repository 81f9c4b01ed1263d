"""The row counts and columns of an artifact's tables, for Dagster's catalogue."""

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

# The table that the next stage reads, by name; an artifact may keep others beside it (what was dropped, what was set apart).
MAIN = ("documents", "train", "rl", "pairs", "samples", "answers", "accuracy", "prompts", "requests", "scored",
        "questions")  # fmt: skip


def _files(folder: Path) -> dict[str, list[Path]]:
    """Returns name → files of an artifact's tables: a Parquet file, or a folder of shards."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        found.setdefault(path.relative_to(folder).parts[0].removesuffix(".parquet"), []).append(path)
    return found


def _schema(path: Path) -> dg.TableSchema:
    fields: pa.Schema = pq.read_schema(path)
    return dg.TableSchema([
        dg.TableColumn(field.name, str(field.type), constraints=dg.TableColumnConstraints(nullable=field.nullable))
        for field in fields
    ])  # fmt: skip


def metadata(folder: Path) -> dict[str, object]:
    """Returns row count and columns of the artifact's main table, and row counts of the others; empty without tables."""
    files = _files(folder)
    rows = {name: sum(pq.read_metadata(path).num_rows for path in paths) for name, paths in files.items()}
    main = next((name for name in MAIN if name in files), None)
    shown: dict[str, object] = {f"rows: {name}": count for name, count in rows.items() if name != main}
    if main is not None:
        shown["table"] = main
        shown["dagster/row_count"] = rows[main]
        shown["dagster/column_schema"] = _schema(files[main][0])
    return shown
