"""The chain of records from an artifact down to the packages it was made from.

Every artifact folder holds RECORD.json, which names its parents by asset, partition, fingerprint and content. Following
them needs one function that finds a record; `store_lookup` reads them where the store keeps them.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.markdown import literal
from data_cleaning.sources.addresses import shown
from data_cleaning.store_layout import RECORD, UNPARTITIONED, place

ADDRESSES = ("uri", "revision")  # fields of a source that may hold user, password or token

Licenses = tuple[tuple[str, str, str], ...]  # (name of a source, its snapshot, its licence as the table states it now)
Lookup = Callable[[str, str | None], Path]  # (asset key with "/", partition or None) → folder of the artifact


class LineageError(ValueError):
    """A record in the chain is missing, or no longer the one its child was made from."""


@dataclass(frozen=True)
class Artifact:
    folder: Path
    record: dict

    @property
    def name(self) -> str:
        """For example laptop/rlhf_v1/policy: also the folder below the store."""
        return name_of(self.record)


@dataclass(frozen=True)
class Lineage:
    artifacts: tuple[Artifact, ...]  # parents before children
    replaced: tuple[str, ...]  # sentences: which artifact was made from a parent that is no longer there
    licenses: Licenses = ()  # today's; of a source that is not among them, the one it had when it was fetched

    def find(self, asset: str) -> list[Artifact]:
        """Every artifact of the chain with this asset key, whatever its partition."""
        return [artifact for artifact in self.artifacts if artifact.record["asset"] == asset]


def name_of(record: dict) -> str:
    return f"{record['partition'] or UNPARTITIONED}/{record['asset']}"


def read(folder: Path) -> Artifact:
    """The artifact in `folder`. Raises LineageError where it has no record, which means it was never finished."""
    path = folder / RECORD
    if not path.is_file():
        raise LineageError(f"{path} is missing: materialize that asset first")
    return Artifact(folder, json.loads(path.read_text(encoding="utf-8")))


def store_of(artifact: Artifact) -> Path:
    """The store that an artifact lies in, from its own folder and name."""
    parts = Path(artifact.name).parts
    if artifact.folder.absolute().parts[-len(parts) :] != parts:
        raise LineageError(f"{artifact.folder} is not the place of {artifact.name} in a store")
    return artifact.folder.absolute().parents[len(parts) - 1]


def store_lookup(store: Path) -> Lookup:
    return lambda asset, partition: place(store, asset, partition)


def walk(roots: Iterable[Artifact], lookup: Lookup, licenses: Licenses = ()) -> Lineage:
    """The roots and everything they were made from, each once, parents before children; `licenses`: see Lineage.

    Raises LineageError where a parent has no record. A parent that was materialized again with another content since
    its child was made is followed all the same and named in `replaced`: the caller decides whether that matters.
    """
    found: dict[str, Artifact] = {}
    replaced: list[str] = []
    roots = list(roots)
    stack: list[tuple[Artifact, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        artifact, expanded = stack.pop()
        if expanded:
            found.setdefault(artifact.name, artifact)
            continue
        if artifact.name in found:
            continue
        stack.append((artifact, True))
        for role, parent in sorted(artifact.record["parents"].items(), reverse=True):
            there = read(lookup(parent["asset"], parent["partition"]))
            if there.record["content"] != parent["content"]:
                replaced.append(
                    f"{artifact.name} was made from {there.name} ({role}) with content {parent['content'][:12]}, "
                    f"the store now holds {there.record['content'][:12]}"
                )
            if there.name not in found:
                stack.append((there, False))
    return Lineage(tuple(found.values()), tuple(dict.fromkeys(replaced)), licenses)


def sources(lineage: Lineage) -> list[dict]:
    """Every source of the chain: name, uri, sha256, license, use and all else its table states, and `artifact`.

    Addresses come without what may be secret. The licence is today's where the lineage knows it.
    """
    today = {(name, snapshot): license_name for name, snapshot, license_name in lineage.licenses}
    return [
        without_secrets({
            **source,
            "license": today.get((source["name"], source["snapshot"]), source["license"]),
            "artifact": artifact.name,
        })
        for artifact in lineage.artifacts
        for source in artifact.record["recipe"].get("sources", ())
    ]  # fmt: skip


def without_secrets(value: object) -> object:
    """The same json with the addresses of sources as people may see them."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if isinstance(value, dict):
        return {
            name: shown(item) if name in ADDRESSES and isinstance(item, str) else without_secrets(item)
            for name, item in value.items()
        }
    return value


def as_json(lineage: Lineage, files: dict[str, dict]) -> dict:
    """LINEAGE.json. `files`: path in the bundle → {bytes, sha256, from: name of the artifact it was made from}."""
    return {
        "files": files,
        "artifacts": {artifact.name: without_secrets(artifact.record) for artifact in lineage.artifacts},
        "sources": sources(lineage),
    }


def as_markdown(lineage: Lineage, files: dict[str, dict]) -> str:
    """LINEAGE.md: the files, the artifacts they came from in the order they were made, and the sources at the root."""
    lines = ["# Lineage", "", "From the files of this bundle down to the packages they were made from.", ""]
    lines += ["## Files", "", "| File | Bytes | SHA-256 | From |", "|---|---:|---|---|"]
    lines += [
        f"| {literal(name)} | {entry['bytes']:,} | `{entry['sha256'][:16]}` | {literal(entry['from'])} |"
        for name, entry in files.items()
    ]
    lines += ["", "## Artifacts", "", "Parents come before what was made from them.", ""]
    lines += ["| Artifact | Made from | Content | Fingerprint | Commit | Time |", "|---|---|---|---|---|---:|"]
    for artifact in lineage.artifacts:
        record = artifact.record
        parents = ", ".join(dict.fromkeys(name_of(parent) for parent in record["parents"].values())) or "its sources"
        lines.append(
            f"| {literal(artifact.name)} | {literal(parents)} | `{record['content'][:12]}` | `{record['fingerprint'][:12]}` "
            f"| {commit_of(record)} | {record['seconds']:,.0f} s |"
        )
    lines += [
        "",
        "## Sources",
        "",
        "| Source | Use | Licence | SHA-256 | From |",
        "|---|---|---|---|---|",
    ]
    for source in sources(lineage):
        lines.append(
            f"| {source['name']} | {source['use']} | {literal(source['license'] or '') or '**none stated**'} "
            f"| `{source['sha256'][:16]}` | {literal(source['uri'])} |"
        )
    return "\n".join(lines) + "\n"


def commit_of(record: dict) -> str:
    """Short commit, marked where the tree differed from it."""
    git = record["git"]
    if not git["commit"]:
        return "no commit"
    return git["commit"][:10] + (" + changes" if git["dirty"] else "")
