"""Real documents that every installation has: texts of Python's manual and the licences of the installed packages.

The licences are near-duplicates of each other by nature (one text, another holder), the manual's topics are prose with code.
"""

import functools
import importlib.metadata
from pathlib import Path
from pydoc_data import topics

import pyarrow as pa

from data_cleaning.documents import LABELLED_SCHEMA, write_shard

LINE_SEPARATORS = "\u2028 \u2029 \x85 \x0b \x0c \x1c \x1d \x1e"  # str.splitlines cuts at each, JSON Lines at none


@functools.cache
def manual() -> list[str]:
    """Topics of Python's language reference, some 80 texts of 10 to 50,000 characters."""
    return [text for _, text in sorted(topics.topics.items())]


@functools.cache
def licences() -> list[str]:
    """The different licence files of the installed packages."""
    found: set[str] = set()
    for package in importlib.metadata.distributions():
        for file in package.files or []:
            if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE")) and file.suffix != ".py":
                path = Path(str(file.locate()))
                if path.is_file() and path.stat().st_size < 40_000:
                    found.add(path.read_text(encoding="utf-8", errors="replace"))
    return sorted(found)


def table(
    texts: list[str], source: str = "manual", profile: str = "web", lang: str = "en", meta: str = "{}"
) -> pa.Table:
    """Documents as the language stage leaves them; ids are `<source>:<number>`."""
    rows = [
        {
            "id": f"{source}:{number}",
            "source": source,
            "text": text,
            "title": "",
            "profile": profile,
            "meta": meta,
            "lang": lang,
            "lang_score": 1.0,
        }
        for number, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=LABELLED_SCHEMA)


def artifact(folder: Path, **shards: pa.Table) -> Path:
    """A parent artifact with the given shards."""
    (folder / "documents").mkdir(parents=True)
    for name, rows in shards.items():
        write_shard(rows, folder / "documents" / f"{name}.parquet")
    return folder


def mixture_inputs(**snapshots: Path) -> dict[str, Path]:
    """The inputs of the mixture from artifacts of documents of which no filter dropped any, by `s2026_12` for 2026-12."""
    inputs = {}
    for name, folder in snapshots.items():
        snapshot = name.removeprefix("s").replace("_", "-")
        (folder / "quarantine.jsonl").touch()
        inputs |= {f"corpus/{snapshot}": folder, f"delivered/{snapshot}": folder}
    return inputs


def contents(folder: Path) -> dict[str, bytes]:
    """All files of an artifact but the scratch, by their path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "_scratch" not in path.parts
    }
