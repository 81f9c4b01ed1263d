"""A hash of the code that makes an artifact: of the definitions that a function reaches, and no others.

From `run` of a stage the names are followed through the project's modules: functions, classes, constants, also what is
imported inside a function, by a relative import, or out of a module of recipes. What a module does when it is imported
counts wherever it is imported. So a new reader, or a field of another stage's recipe, leaves an artifact as it is, and a
mended helper makes anew what uses it.

What is looked up by text alone (`getattr`, `importlib`, a registry that a decorator fills) is not seen: stages call nothing
that way. A module that can be started (`if __name__ == "__main__"`) counts with all that it then runs.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestration import syntax
from orchestration.store import CHECKOUT

ON_IMPORT, ALL = "(on import)", "(all)"  # in the place of a definition's name
Definition = tuple[str, str]  # module, name
Read = Callable[[str], syntax.Source | None]


def _file(module: str) -> Path | None:
    path = CHECKOUT.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _read(module: str) -> syntax.Source | None:
    """The parts of a module as it lies there now; None where the project has none of that name."""
    path = _file(module)
    if path is None:
        return None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return syntax.parse(path.read_text(encoding="utf-8"), package)


def definitions_now(module: str, name: str = "run") -> dict[str, dict[str, str]]:
    """Module → definition → digest (16 hex digits) of all that `name` of `module` reaches, as it lies there now.

    Raises FileNotFoundError for a module that is not in the checkout.
    """
    read = functools.cache(_read)
    if read(module) is None:
        raise FileNotFoundError(f"no module {module} in {CHECKOUT}")
    reached: set[Definition] = set()
    todo = [(module, name)]
    while todo:
        definition = todo.pop()
        if definition not in reached:
            reached.add(definition)
            todo += _needed(definition, read)
    digests: dict[str, dict[str, str]] = {}
    for place, wanted in sorted(reached):
        if parts := _parts(read(place), wanted):
            text = "\n".join(part.text for part in parts)
            digests.setdefault(place, {})[wanted] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return digests


def _parts(source: syntax.Source, name: str) -> tuple[syntax.Part, ...]:
    return source.effects if name == ON_IMPORT else source.parts.get(name, ())


def _needed(definition: Definition, read: Read) -> Iterator[Definition]:
    """What a definition needs directly."""
    module, name = definition
    source = read(module)
    yield module, ON_IMPORT
    runs = list(_parts(source, name))
    for part in runs:
        for head, *rest in part.uses:
            for target in (target for bound, target in part.imports if bound == head):
                yield from _meant((*target, *rest), read)
            if head in source.parts:
                yield from _meant((*module.split("."), head, *rest), read)
    if name == ALL:
        yield from ((module, other) for other in source.parts)
    if name == ON_IMPORT:
        runs += [part for other in source.imports for part in source.parts[other]]
        yield from _meant((*module.split("."), "*"), read) if "*" in source.imports else ()
    for other in {other for part in runs for other in part.modules}:
        if read(other) is not None:
            yield other, ON_IMPORT


def _meant(chain: syntax.Chain, read: Read) -> Iterator[Definition]:
    """The definitions that an absolute name means: none of another project's, ALL of a module that is handed on as a value."""
    for length in range(1, len(chain) + 1):
        module = ".".join(chain[:length])
        source = read(module)
        if source is None:
            return
        if length == len(chain):
            yield module, ALL
            return
        asked = chain[length]
        if asked in source.parts:
            yield module, asked
            for target in source.imports.get(asked, ()):
                yield from _meant((*target, *chain[length + 1 :]), read)
            return
        if read(f"{module}.{asked}") is None:
            yield module, ALL
            return


@functools.cache
def definitions(module: str, name: str = "run") -> dict[str, dict[str, str]]:
    """`definitions_now` of the moment when this process first asked."""
    return definitions_now(module, name)


def code_version(module: str, name: str = "run") -> str:
    """Hash of what `name` of `module` runs, 16 hex digits: that of the moment when this process first asked."""
    return _version(definitions(module, name))


def code_version_now(module: str, name: str = "run") -> str:
    """The same of the source as it lies there now.

    Modules are imported as stages begin: what a process runs is known where this still equals `code_version` at the end.
    """
    return _version(definitions_now(module, name))


def _version(digests: dict[str, dict[str, str]]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]
