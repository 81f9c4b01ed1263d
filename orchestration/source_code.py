"""A hash of the code that makes an artifact: the module's AST without docstrings, and of all it imports from the project.

Comments, formatting and docstrings do not change it; a change in a helper does. Recipe modules are left out: their values
are in the fingerprint already, and a new field elsewhere must not invalidate every artifact.
"""

import ast
import functools
import hashlib
from pathlib import Path

from orchestration.store import CHECKOUT

PACKAGES = ("data_cleaning", "modeling", "release")


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


@functools.cache
def _summary(path: Path) -> tuple[str, frozenset[str]]:
    """(the stripped AST as text, project modules it imports)."""
    tree = _strip_docstrings(ast.parse(path.read_text(encoding="utf-8")))
    return ast.dump(tree), frozenset(_imports(tree))


def modules_of(module: str) -> list[str]:
    """The module and every project module it imports, directly or not, sorted."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _file(name)
        if name in seen or path is None or name.endswith("recipes"):
            continue
        seen.add(name)
        todo.extend(_summary(path)[1])
    return sorted(seen)


@functools.cache
def code_version(module: str) -> str:
    """Hash of what `module` runs, 16 hex digits. Raises FileNotFoundError for a module that is not in the checkout."""
    if _file(module) is None:
        raise FileNotFoundError(f"no module {module} in {CHECKOUT}")
    digest = hashlib.sha256()
    for name in modules_of(module):
        digest.update(name.encode() + b"\0" + _summary(_file(name))[0].encode() + b"\0")
    return digest.hexdigest()[:16]
