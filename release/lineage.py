"""The chain of records from an artifact down to the packages it was made from.

Every artifact folder holds RECORD.json, which names its parents by asset, partition, fingerprint and content. Following
them needs one function that finds a record; `store_lookup` reads them where the store keeps them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.markdown import literal
from data_cleaning.sources.addresses import shown

RECORD = "RECORD.json"
SOURCES = "sources.json"
ADDRESSES = ("uri", "revision")  # fields of a source that may hold user, password or token
UNPARTITIONED = "shared"  # the folder of artifacts that belong to no scale and no snapshot

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


def hash_file(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store_of(artifact: Artifact) -> Path:
    """The store that an artifact lies in, from its own folder and name."""
    parts = Path(artifact.name).parts
    if artifact.folder.absolute().parts[-len(parts) :] != parts:
        raise LineageError(f"{artifact.folder} is not the place of {artifact.name} in a store")
    return artifact.folder.absolute().parents[len(parts) - 1]


def store_lookup(store: Path) -> Lookup:
    def lookup(asset: str, partition: str | None) -> Path:
        return store / (partition or UNPARTITIONED) / asset

    return lookup


def walk(roots: Iterable[Artifact], lookup: Lookup) -> Lineage:
    """The roots and everything they were made from, each once, parents before children.

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
    return Lineage(tuple(found.values()), tuple(dict.fromkeys(replaced)))


def sources(lineage: Lineage) -> list[dict]:
    """Every source of the chain, as fetched: name, uri, sha256, license, revision, bytes, files, use, and `artifact`.

    Addresses come without what may be secret.
    """
    listed = []
    for artifact in lineage.artifacts:
        path = artifact.folder / SOURCES
        if path.is_file():
            for source in json.loads(path.read_text(encoding="utf-8")):
                listed.append(_without_secrets({**source, "artifact": artifact.name}))
    return listed


def _without_secrets(value: object) -> object:
    """The same json with the addresses of sources as people may see them: a record's recipe holds those they are fetched from."""
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if isinstance(value, dict):
        return {
            name: shown(item) if name in ADDRESSES and isinstance(item, str) else _without_secrets(item)
            for name, item in value.items()
        }
    return value


def as_json(lineage: Lineage, files: dict[str, dict]) -> dict:
    """LINEAGE.json. `files`: path in the bundle → {bytes, sha256, from: name of the artifact it was made from}."""
    return {
        "files": files,
        "artifacts": {artifact.name: _without_secrets(artifact.record) for artifact in lineage.artifacts},
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
        "| Source | Use | Licence | Revision | SHA-256 | From |",
        "|---|---|---|---|---|---|",
    ]
    for source in sources(lineage):
        lines.append(
            f"| {source['name']} | {source['use']} | {literal(source['license'] or '') or '**none stated**'} "
            f"| {literal(source['revision'] or '–')} | `{source['sha256'][:16]}` | {literal(source['uri'])} |"
        )
    return "\n".join(lines) + "\n"


def commit_of(record: dict) -> str:
    """Short commit, marked where the tree differed from it."""
    git = record["git"]
    if not git["commit"]:
        return "no commit"
    return git["commit"][:10] + (" + changes" if git["dirty"] else "")
