"""Only "\\n" ends a row of JSON Lines, whatever else str.splitlines would cut at."""

import gzip
import json

import pytest

from data_cleaning.json_lines import read_rows
from tests.data_cleaning.samples import LINE_SEPARATORS


def test_line_separators_inside_strings_end_no_row(tmp_path):
    rows = [{"text": f"a{LINE_SEPARATORS}b"}, ["c"], {"text": "d"}]
    raw = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "a.jsonl").write_text("\ufeff" + raw.replace("\r\n", "\r\n\r\n", 1), encoding="utf-8", newline="")
    assert list(read_rows(tmp_path / "a.jsonl")) == [(1, rows[0]), (3, rows[1]), (4, rows[2])]


def test_control_characters_may_stand_unescaped(tmp_path):
    (tmp_path / "a.jsonl").write_text(f'"{LINE_SEPARATORS}"', encoding="utf-8")
    assert list(read_rows(tmp_path / "a.jsonl")) == [(1, LINE_SEPARATORS)]


def test_a_broken_row_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": "\u2028"}\n\n{"a"')
    with pytest.raises(ValueError, match=r"a.jsonl line 3 is no JSON"):
        list(read_rows(tmp_path / "a.jsonl"))


def test_a_packed_file_is_unpacked(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n\n[2]\n'))
    assert list(read_rows(tmp_path / "a.jsonl.gz")) == [(1, {"a": 1}), (3, [2])]
