"""A hash of the code that makes an artifact: the module's AST without docstrings, and of all it imports from the project.

Comments, formatting and docstrings do not change it; a change in a helper does. Recipe modules are left out: their values
are in the fingerprint already, and a new field elsewhere must not invalidate every artifact.
"""

import ast
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from orchestration.store import CHECKOUT

PACKAGES = ("data_cleaning", "modeling", "release")
Summary = tuple[str, frozenset[str]]  # of a file: the stripped AST as text, the project modules it imports


def _file(module: str) -> Path | None:
    path = CHECKOUT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _strip_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
            and isinstance(node.body[0].value.value, str)
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] in PACKAGES and not name.endswith("recipes")}


def _summary_now(path: Path) -> Summary:
    tree = _strip_docstrings(ast.parse(path.read_text(encoding="utf-8")))
    return ast.dump(tree), frozenset(_imports(tree))


_summary = functools.cache(_summary_now)  # many stages share most of their files


def _modules_of(module: str, summary: Callable[[Path], Summary]) -> list[str]:
    """The module and every project module it imports, directly or not, sorted."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _file(name)
        if name in seen or path is None or name.endswith("recipes"):
            continue
        seen.add(name)
        todo.extend(summary(path)[1])
    return sorted(seen)


def _version(module: str, summary: Callable[[Path], Summary]) -> str:
    if _file(module) is None:
        raise FileNotFoundError(f"no module {module} in {CHECKOUT}")
    digest = hashlib.sha256()
    for name in _modules_of(module, summary):
        digest.update(name.encode() + b"\0" + summary(_file(name))[0].encode() + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def code_version(module: str) -> str:
    """Hash of what `module` runs, 16 hex digits: that of the moment when this process first asked.

    Raises FileNotFoundError for a module that is not in the checkout.
    """
    return _version(module, _summary)


def code_version_now(module: str) -> str:
    """The same of the source as it lies there now.

    Modules are imported as stages begin: what a process runs is known where this still equals `code_version` at the end.
    """
    return _version(module, functools.cache(_summary_now))
