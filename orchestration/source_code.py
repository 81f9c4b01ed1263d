"""A hash of the code that makes an artifact: of the definitions that a function reaches, and no others.

The search starts at `run` of a stage and follows names through the project's modules: functions, classes and constants,
including imports inside a function, relative imports and modules of recipes. Code that a module runs when it is
imported counts wherever the module is imported. So a new reader, or a new field of another stage's recipe, changes no
artifact, and a mended helper makes its users' artifacts again.

The search does not see names that are looked up as text (`getattr`, `importlib`, a registry that a decorator fills):
stages call nothing that way. A module that can be started (`if __name__ == "__main__"`) counts with all that it then runs.
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
    """Returns the parts of a module's present file; None if the project has no module of that name."""
    path = _file(module)
    if path is None:
        return None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return syntax.parse(path.read_text(encoding="utf-8"), package)


def definitions_now(module: str, name: str = "run") -> dict[str, dict[str, str]]:
    """Returns module → definition → digest (16 hex digits) of all that `name` of `module` reaches in the present files.

    Raises FileNotFoundError if the checkout does not have the module.
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
    """Returns the definitions that a definition needs directly."""
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
    """Returns the definitions that an absolute name means: none of other projects, all of a module that is used as a value."""
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
    """Returns `definitions_now` as of this process's first call."""
    return definitions_now(module, name)


def code_version(module: str, name: str = "run") -> str:
    """Returns the hash (16 hex digits) of the code that `name` of `module` runs, as of this process's first call."""
    return _version(definitions(module, name))


def code_version_now(module: str, name: str = "run") -> str:
    """Returns the same hash for the present source files.

    A process imports modules as stages begin, so it knows what it ran only if this equals `code_version` at the end.
    """
    return _version(definitions_now(module, name))


def _version(digests: dict[str, dict[str, str]]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]
