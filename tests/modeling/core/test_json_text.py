"""Everything the models' wings write as JSON is JSON."""

import ast
import json
import math

import pytest

from modeling.core import json_text, reporting, resumable_generation
from tests.conftest import ROOT


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1.0, {"loss": math.nan}]])
def test_what_is_no_json_is_not_written(value, tmp_path):
    for write in (
        lambda: json_text.dumps(value),
        lambda: json_text.lines([value]),
        lambda: reporting.write_json(tmp_path / "figures.json", value),
        lambda: resumable_generation.kept(tmp_path / "kept.json", lambda: [value]),
    ):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write()
    assert not list(tmp_path.glob("*.json"))


def test_figures_over_nothing_are_null():
    figures = {"accuracy": math.nan, "by_degree": [{"value": math.nan, "trials": 0}], "name": "nan"}
    nothing = {"accuracy": None, "by_degree": [{"value": None, "trials": 0}], "name": "nan"}
    assert json_text.without_nan(figures) == nothing
    assert json_text.dumps(json_text.without_nan({"worst": math.nan})) == '{"worst": null}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text.dumps(json_text.without_nan({"worst": math.inf}))


def test_lines_are_a_row_each():
    rows = [{"b": 1, "a": "x\u2028y"}, {"a": 2}]
    assert [json.loads(line) for line in json_text.lines(rows).split("\n")[:-1]] == rows


def test_no_wing_of_modeling_writes_json_by_another_way():
    for path in (ROOT / "modeling").rglob("*.py"):
        calls = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call)
        }
        assert path.name == "json_text.py" or not calls & {"json.dump", "json.dumps"}, path
