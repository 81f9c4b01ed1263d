"""Modules of the models' wings import in one direction."""

import ast
import graphlib

from tests.conftest import ROOT


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_no_module_imports_one_that_imports_it():
    """Functions' own imports count too."""
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in (ROOT / "modeling").rglob("*.py")}
    graph = {name: imported(ast.parse(path.read_text("utf-8"))) & paths.keys() - {name} for name, path in paths.items()}
    assert sum(map(len, graph.values())) > 100
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
