"""Metadata of a materialization in the Dagster UI: the record in readable form."""

import base64
import re
from pathlib import Path

import dagster as dg

from data_cleaning.markdown import literal
from orchestration.records import RECORD

DATA_VERSION = "dagster/data_version"  # the tag in which Dagster keeps it
MAX_TEXT = 40_000  # characters of a Markdown file shown in the UI
# An image of a file beside the text. The UI does not have that file and shows the plots separately.
RELATIVE_IMAGE = re.compile(r"!\[[^\]]*\]\((?!https?:|data:)[^)]*\)")


def _picture(path: Path) -> dg.MetadataValue:
    data = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{data})")


def _parents(record: dict) -> dg.MetadataValue:
    lines = ["| role | parent | partition | fingerprint | content |", "|---|---|---|---|---|"]
    for role, parent in record["parents"].items():
        lines.append(
            f"| {literal(role)} | {parent['asset']} | {literal(parent['partition'] or '')} | `{parent['fingerprint'][:12]}` "
            f"| `{parent['content'][:12]}` |"
        )
    return dg.MetadataValue.md("\n".join(lines))


def _metric(value) -> dg.MetadataValue:
    if isinstance(value, bool) or value is None:
        return dg.MetadataValue.text(str(value))
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, str):
        return dg.MetadataValue.text(value)
    return dg.MetadataValue.json(value)


def _texts(folder: Path) -> dict[str, dg.MetadataValue]:
    """Returns the Markdown files, each text once: a bundle's README is its model card."""
    names = {path.read_text(encoding="utf-8"): path.stem.lower() for path in sorted(folder.glob("*.md"), reverse=True)}
    found = {}
    for text, name in reversed(names.items()):
        text = RELATIVE_IMAGE.sub("", text)
        found[name] = dg.MetadataValue.md(text[:MAX_TEXT] + ("\n\n…" if len(text) > MAX_TEXT else ""))
    return found


def shown_content(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> str | None:
    """Returns the data version that the UI shows for an asset: the content of its latest materialization, or None."""
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
    for record in instance.fetch_materializations(wanted, limit=1).records:
        return (record.asset_materialization.tags or {}).get(DATA_VERSION)
    return None


def of(folder: Path, record: dict, reused: bool, known: bool = False) -> dict[str, dg.MetadataValue]:
    """Returns the metadata of one materialization, from its record and the plots and report beside it.

    If they are `known`, returns only the artifact's path: the event log keeps every event for ever, three times.
    """
    where = {
        "reused": dg.MetadataValue.bool(reused),
        "content": dg.MetadataValue.text(record["content"]),
        "fingerprint": dg.MetadataValue.text(record["fingerprint"]),
        "folder": dg.MetadataValue.path(str(folder)),
        "record": dg.MetadataValue.path(str(folder / RECORD)),
    }
    if known:
        return where
    size = sum(entry["bytes"] for entry in record["manifest"].values())
    shown = {f"plot: {path.stem}": _picture(path) for path in sorted(folder.glob("plots/*.png"))}
    shown.update(_texts(folder))
    shown.update({name: _metric(value) for name, value in record["metrics"].items()})
    git = record["git"]
    return {
        **where,
        **shown,
        "recipe": dg.MetadataValue.json(record["recipe"]),
        "parents": _parents(record),
        "git commit": dg.MetadataValue.text(f"{git['commit']}{' + uncommitted changes' if git['dirty'] else ''}"),
        "seconds": dg.MetadataValue.float(float(record["seconds"])),
        "energy": dg.MetadataValue.json(record["energy"]),
        "libraries": dg.MetadataValue.json(record["libraries"]),
        "host": dg.MetadataValue.json(record["host"]),
        "bytes": dg.MetadataValue.int(size),
    }
