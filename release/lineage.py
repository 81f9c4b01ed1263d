"""The chain of records from an artifact back to the packages it was made from.

Every artifact folder holds RECORD.json, which names its parents by asset, partition, fingerprint and content. A lookup
function finds the folder of a parent; `store_lookup` returns the one for a store.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.markdown import literal
from data_cleaning.sources.addresses import shown
from data_cleaning.store_layout import RECORD, UNPARTITIONED, place

ADDRESSES = ("uri", "revision")  # fields of a source that may hold a user, password or token

Licenses = tuple[tuple[str, str, str], ...]  # (source, snapshot, licence as currently stated)
Lookup = Callable[[str, str | None], Path]  # (asset key with "/", partition or None) → folder of the artifact


class LineageError(ValueError):
    """A record in the chain is missing, or was replaced since its child was made."""


@dataclass(frozen=True)
class Artifact:
    folder: Path
    record: dict

    @property
    def name(self) -> str:
        """The folder below the store, for example laptop/rlhf_v1/policy."""
        return name_of(self.record)


@dataclass(frozen=True)
class Lineage:
    artifacts: tuple[Artifact, ...]  # parents before children
    replaced: tuple[str, ...]  # sentences that name artifacts whose parent was replaced
    licenses: Licenses = ()  # current licences; other sources keep the licence of their fetch

    def find(self, asset: str) -> list[Artifact]:
        """Returns every artifact of the chain with this asset key, for all partitions."""
        return [artifact for artifact in self.artifacts if artifact.record["asset"] == asset]


def name_of(record: dict) -> str:
    return f"{record['partition'] or UNPARTITIONED}/{record['asset']}"


def read(folder: Path) -> Artifact:
    """Returns the artifact in `folder`. Raises LineageError if it has no record, which means it was never finished."""
    path = folder / RECORD
    if not path.is_file():
        raise LineageError(f"{path} is missing: materialize that asset first")
    return Artifact(folder, json.loads(path.read_text(encoding="utf-8")))


def store_of(artifact: Artifact) -> Path:
    """Returns the store of an artifact. Raises LineageError if its folder does not match its name."""
    parts = Path(artifact.name).parts
    if artifact.folder.absolute().parts[-len(parts) :] != parts:
        raise LineageError(f"{artifact.folder} is not the place of {artifact.name} in a store")
    return artifact.folder.absolute().parents[len(parts) - 1]


def store_lookup(store: Path) -> Lookup:
    return lambda asset, partition: place(store, asset, partition)


def walk(roots: Iterable[Artifact], lookup: Lookup, licenses: Licenses = ()) -> Lineage:
    """Returns the roots and all their ancestors, each once, parents before children; `licenses`: see Lineage.

    Raises LineageError if a parent has no record. If a parent was materialized again with other content since its child
    was made, the walk continues and names it in `replaced`: the caller decides whether that matters.
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
    """Returns every source of the chain: name, uri, sha256, license, use, its other fields, and `artifact`.

    Addresses have no credentials. The licence is the current one if the lineage knows it.
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
    """Returns the same JSON with the credentials removed from the addresses of sources."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if isinstance(value, dict):
        return {
            name: shown(item) if name in ADDRESSES and isinstance(item, str) else without_secrets(item)
            for name, item in value.items()
        }
    return value


def as_json(lineage: Lineage, files: dict[str, dict]) -> dict:
    """LINEAGE.json. `files`: path in the bundle → {bytes, sha256, from: name of the source artifact}."""
    return {
        "files": files,
        "artifacts": {artifact.name: without_secrets(artifact.record) for artifact in lineage.artifacts},
        "sources": sources(lineage),
    }


def as_markdown(lineage: Lineage, files: dict[str, dict]) -> str:
    """LINEAGE.md: the files, the artifacts (parents before children), and the sources."""
    lines = ["# Lineage", "", "From the files of this bundle down to the packages they were made from.", ""]
    lines += ["## Files", "", "| File | Bytes | SHA-256 | From |", "|---|---:|---|---|"]
    lines += [
        f"| {literal(name)} | {entry['bytes']:,} | `{entry['sha256'][:16]}` | {literal(entry['from'])} |"
        for name, entry in files.items()
    ]
    lines += ["", "## Artifacts", "", "Parents come before their children.", ""]
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
    """Returns the short commit, marked if the working tree differed from it."""
    git = record["git"]
    if not git["commit"]:
        return "no commit"
    return git["commit"][:10] + (" + changes" if git["dirty"] else "")
