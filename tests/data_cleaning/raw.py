"""Small artifacts for the tests of the first stages."""

import functools
import json
from pathlib import Path

import pytest

from data_cleaning.recipes import Source, SourcesRecipe
from data_cleaning.sources import fetch, table
from data_cleaning.sources.errors import Unreachable

CHECKOUT = Path(__file__).resolve().parents[2]


class Quiet:
    def info(self, text: str) -> None:
        pass

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        pass


def source(name: str, uri: str, **fields) -> Source:
    values = table.DEFAULTS | {"name": name, "uri": uri, "license": "MIT", "reader": "auto"} | fields
    return Source(**values)


def sources_artifact(folder: Path, files: dict[str, bytes], reader: str = "auto", **fields) -> Path:
    """A `sources` artifact with one corpus source "own" that holds these files."""
    for name, data in files.items():
        path = folder / "raw" / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    entry = {"name": "own", "files": sorted(files), "use": "corpus", "reader": reader, "limit": 0}
    entry |= {"profile": "web"} | fields
    (folder / "sources.json").write_text(json.dumps([entry]))
    return folder


@functools.lru_cache(maxsize=1)
def real_sources(folder: Path) -> Path:
    """The `sources` artifact of tests/sources.toml, without limits; skips where neither cache nor network has it."""
    chosen = table.load_sources(CHECKOUT / "tests" / "sources.toml")
    chosen = tuple(s for s in chosen if s.use in ("corpus", "language_model"))
    try:
        fetch.run(SourcesRecipe(chosen), {}, folder, Quiet())
    except Unreachable as error:
        pytest.skip(str(error))
    return folder
