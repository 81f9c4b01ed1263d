"""Splits a source file: what binds each top-level name, what runs at import, and what each part refers to.

Comments, docstrings and formatting leave no trace in a part, and its text is the same under every supported Python
(`ast.dump` is not: Python 3.12 gave functions another field, 3.13 leaves out empty ones).
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass

Chain = tuple[str, ...]  # ("archives", "unpack") for archives.unpack: a name and the attributes asked of it
UNIMPORTANT = {"ctx", "kind", "type_comment"}  # fields that follow from the others, or that Python itself ignores


@dataclass(frozen=True)
class Part:
    """A top-level statement, or one name of an import."""

    text: str
    uses: frozenset[Chain] = frozenset()
    imports: tuple[tuple[str, Chain], ...] = ()  # names bound by imports inside it → what they stand for, absolute
    modules: frozenset[str] = frozenset()  # what importing may run, absolute; some may be no modules but names of one


@dataclass(frozen=True)
class Source:
    parts: dict[str, tuple[Part, ...]]  # top-level name → what binds it
    imports: dict[str, tuple[Chain, ...]]  # those of the names that imports bind → what they stand for
    effects: tuple[Part, ...]  # what runs on import and does not just define names


@functools.cache
def parse(text: str, package: str) -> Source:
    """Returns the parts of a file's text. `package` is the start of its relative imports. Raises SyntaxError."""
    parts: dict[str, tuple[Part, ...]] = {}
    imports: dict[str, tuple[Chain, ...]] = {}
    effects = []
    for statement in _without_texts(ast.parse(text)).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for part in _imported(statement, package):
                for name, target in part.imports:
                    parts[name] = (*parts.get(name, ()), part)
                    imports[name] = (*imports.get(name, ()), target)
        elif names := _names(statement):
            for name in names:
                parts[name] = (*parts.get(name, ()), _part(statement, package))
        elif not _only_for_types(statement):
            effects.append(_part(statement, package))
    return Source(parts, imports, tuple(effects))


def _names(statement: ast.stmt) -> list[str]:
    """Returns the names that a statement defines; none if it does anything else."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            targets = [target]
        case ast.Assign(targets=targets):
            pass
        case _:
            return []
    flat = [item for target in targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [item.id for item in flat] if all(isinstance(item, ast.Name) for item in flat) else []


def _only_for_types(statement: ast.stmt) -> bool:
    """Returns whether the statement is an `if TYPE_CHECKING:`, whose body never runs."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    return "TYPE_CHECKING" in (getattr(statement.test, "id", None), getattr(statement.test, "attr", None))


def _part(statement: ast.stmt, package: str) -> Part:
    inside = [node for node in ast.walk(statement) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = [part for node in inside for part in _imported(node, package)]
    return Part(
        _text(statement),
        frozenset(_uses(statement)),
        tuple(bound for part in imported for bound in part.imports),
        frozenset(module for part in imported for module in part.modules),
    )


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[Part]:
    """Returns a part for each name of an import; `from x import *` binds "*" to x."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            chain = tuple(alias.name.split("."))
            name, target = (alias.asname, chain) if alias.asname else (chain[0], chain[:1])
            yield Part(f"import {alias.name} as {name}", imports=((name, target),), modules=_with_packages(chain))
        return
    above = package.split(".")
    module = (*(above[: len(above) - node.level + 1] if node.level else ()), *(node.module or "").split("."))
    module = tuple(filter(None, module))
    for alias in node.names:
        name = alias.asname or alias.name
        target = module if name == "*" else (*module, alias.name)
        text = f"from {'.'.join(module)} import {alias.name} as {name}"
        yield Part(text, imports=((name, target),), modules=_with_packages(target))


def _with_packages(chain: Chain) -> frozenset[str]:
    return frozenset(".".join(chain[:length]) for length in range(1, len(chain) + 1))


def _uses(node: ast.AST) -> Iterator[Chain]:
    """Returns every name that a statement reads, with the attributes that it reads directly from it."""
    chain: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        chain.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield (inner.id, *reversed(chain))
    else:
        for child in ast.iter_child_nodes(inner):
            yield from _uses(child)


def _without_texts(tree: ast.Module) -> ast.Module:
    """Returns the tree without statements that are only a string, such as docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_text(statement)] or [ast.Pass()]
    return tree


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _text(value: object) -> str:
    """Returns a syntax tree as text, in a form that is the same under every supported Python."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, ast.Constant):
        return ascii(value.value)
    if isinstance(value, ast.JoinedStr):
        value = ast.JoinedStr(_joined(value.values))
    if isinstance(value, ast.AST):
        fields = sorted((name, item) for name, item in ast.iter_fields(value) if name not in UNIMPORTANT)
        given = [f"{name}={_text(item)}" for name, item in fields if item is not None and item != []]
        return f"{type(value).__name__}({','.join(given)})"
    return ascii(value)


def _joined(pieces: list[ast.expr]) -> list[ast.expr]:
    """Returns the pieces of an f-string with neighbouring texts joined: versions of Python cut them differently."""
    joined: list[ast.expr] = []
    for piece in pieces:
        if isinstance(piece, ast.Constant) and joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(joined[-1].value + piece.value)
        elif not isinstance(piece, ast.Constant) or piece.value:
            joined.append(piece)
    return joined
