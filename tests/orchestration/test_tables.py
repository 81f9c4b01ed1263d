"""What the catalogue says of an artifact's tables is what lies in its files."""

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration import tables


def write(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_rows_of_all_shards_and_the_columns_of_the_table_that_goes_on(tmp_path):
    write(tmp_path / "documents" / "a-0.parquet", id=["1", "2"], score=[0.5, 1.0])
    write(tmp_path / "documents" / "b-0.parquet", id=["3"], score=[0.1])
    write(tmp_path / "dropped" / "a-0.parquet", id=["4"], reason=["short"])
    (tmp_path / "report.md").write_text("no table")
    shown = tables.metadata(tmp_path)
    assert shown["table"] == "documents" and shown["dagster/row_count"] == 3 and shown["rows: dropped"] == 1
    columns = shown["dagster/column_schema"].columns
    assert [(column.name, column.type) for column in columns] == [("id", "string"), ("score", "double")]


def test_a_file_is_a_table_too(tmp_path):
    write(tmp_path / "pairs.parquet", chosen=["a", "b"])
    assert tables.metadata(tmp_path)["dagster/row_count"] == 2


def test_a_model_has_no_table(tmp_path):
    (tmp_path / "model.safetensors").touch()
    assert tables.metadata(tmp_path) == {}
