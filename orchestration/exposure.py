"""Which models and releases were trained on retracted documents, by the records of the store and of the releases.

The train/ of a mixture says what it trains on. Of a mixture that is no longer in the store, its record says which
retractions it left out and which corpora it read: what was made from it was perhaps trained on a document of those.
"""

import collections
import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assets import STAGES
from data_cleaning.documents import shard_paths
from data_cleaning.retractions import Retraction, Scan, join, scanned
from data_cleaning.snapshots import snapshot_order
from orchestration import records, scales
from orchestration.promote import releases
from orchestration.sources import snapshots
from orchestration.stage import SCALE
from orchestration.store import artifact
from release.bundle import LINEAGE
from release.lineage import name_of
from release.promotion import BUNDLE, names

MIXTURE, CLEANED, DELIVERED = "mixture", "decontaminated", "documents"
WEIGHTS = ".safetensors"
NO, PERHAPS, YES = range(3)


@dataclass(frozen=True)
class Exposure:
    """What one retraction meets. Models and releases have a name such as laptop/chat_model, and YES or PERHAPS."""

    documents: dict[tuple[str, str], int]  # (source, snapshot) → documents of the cleaned corpus
    models: dict[str, int]
    releases: dict[str, int]


@dataclass(frozen=True)
class Store:
    """What the store and its releases hold now."""

    artifacts: dict[str, dict[str, dict]]  # scale → key → record, parents before children
    cleaned: dict[str, str]  # snapshot → content of its cleaned corpus
    documents: list[collections.Counter]  # of each retraction: (source, snapshot) → documents
    trained: dict[str, collections.Counter]  # scale → retraction → documents that its mixture trains on
    released: dict[str, list[dict] | None]  # release → records of its mixtures; None: it has no lineage


def exposures(retractions: Sequence[Retraction]) -> list[Exposure]:
    """Returns what each retraction meets. Reads all corpora and mixtures in the store. Raises SourceError."""
    store = _read_store(retractions)
    found = []
    for number, one in enumerate(retractions):
        models: dict[str, int] = {}
        for made in store.artifacts.values():
            models |= _models(made, one, number, store)
        released = {name: _of_release(mixtures, one, number, store) for name, mixtures in store.released.items()}
        found.append(Exposure(dict(store.documents[number]), models, {n: said for n, said in released.items() if said}))
    return found


def _read_store(retractions: Sequence[Retraction]) -> Store:
    keys = [key for key, stage in STAGES.items() if stage.axis == SCALE]
    artifacts = {scale: _recorded({key: artifact(key, scale) for key in keys}) for scale in scales.SCALES}
    mixtures = {scale: made[MIXTURE] for scale, made in artifacts.items() if MIXTURE in made}
    read = {snapshot for record in mixtures.values() for snapshot in _corpora_of(record)}
    every = sorted({*snapshots(), *read}, key=snapshot_order)
    cleaned = _recorded({name: artifact(CLEANED, name) for name in every})
    clean, delivered = Scan(), Scan()
    for name in cleaned:
        for table in _tables(artifact(CLEANED, name), "documents"):
            clean.add(name, scanned(retractions, table, True))
        if records.read(artifact(DELIVERED, name)) and any(one.kind != "text" for one in retractions):
            for table in _tables(artifact(DELIVERED, name), "documents"):
                delivered.add(name, scanned(retractions, table, False))
    copies = join(clean, delivered)
    documents: list[collections.Counter] = [collections.Counter() for _ in retractions]
    for (snapshot, identifier), numbers in zip(clean.names, clean.numbers, strict=True):
        for number in numbers:
            documents[number][identifier.partition(":")[0], snapshot] += 1
    trained = {}
    for scale in mixtures:
        train, trained[scale] = Scan(), collections.Counter()
        for table in _tables(artifact(MIXTURE, scale), "train"):
            train.add(scale, scanned(retractions, table, True))
        for digest, numbers in zip(train.digests, train.numbers, strict=True):
            trained[scale].update(numbers | copies.get(digest, set()))
    contents = {name: record["content"] for name, record in cleaned.items()}
    released = {f"{scale}/{name}": _mixtures(releases(scale) / name) for scale in scales.SCALES
                for name in names(releases(scale))}  # fmt: skip
    return Store(artifacts, contents, documents, trained, released)


def _recorded(folders: dict[str, Path]) -> dict[str, dict]:
    return {name: record for name, folder in folders.items() if (record := records.read(folder))}


def _tables(folder: Path, part: str) -> Iterable[pa.Table]:
    return (pq.read_table(shard, columns=["id", "text", "meta"]) for shard in shard_paths(folder, part))


def _corpora_of(mixture: dict) -> dict[str, str]:
    """Returns snapshot → content of the cleaned corpora that a mixture read."""
    parents = mixture["parents"].values()
    return {parent["partition"]: parent["content"] for parent in parents if parent["asset"] == CLEANED}


def _mixtures(release: Path) -> list[dict] | None:
    path = release / BUNDLE / LINEAGE
    if not path.is_file():
        return None
    return [each for each in json.loads(path.read_bytes())["artifacts"].values() if each["asset"] == MIXTURE]


def _of_mixture(record: dict, one: Retraction, number: int, store: Store) -> int:
    """Returns whether a mixture trains on what a retraction meets, by the mixture's record."""
    scale = record["partition"]
    there = store.artifacts[scale].get(MIXTURE) if scale in store.artifacts else None
    if there and there["content"] == record["content"]:
        return YES if store.trained[scale][number] else NO
    if one.key in record["recipe"].get("retractions", ()):
        return NO
    read = _corpora_of(record)
    gone = any(store.cleaned.get(snapshot) != content for snapshot, content in read.items())
    return PERHAPS if gone or any(snapshot in read for _, snapshot in store.documents[number]) else NO


def _of_release(mixtures: list[dict] | None, one: Retraction, number: int, store: Store) -> int:
    if mixtures is None:
        return PERHAPS
    return max((_of_mixture(record, one, number, store) for record in mixtures), default=NO)


def _models(made: dict[str, dict], one: Retraction, number: int, store: Store) -> dict[str, int]:
    """Returns the artifacts with weights that were trained on what a retraction meets. `made`: records of one scale."""
    said: dict[str, int] = {}
    for key, record in made.items():
        if key == MIXTURE:
            said[key] = _of_mixture(record, one, number, store)
        else:
            parents = [parent for parent in record["parents"].values() if parent["asset"] in _trained_stages()]
            said[key] = max((_of_parent(parent, made, said) for parent in parents), default=NO)
    return {name_of(made[key]): verdict for key, verdict in said.items()
            if verdict and any(name.endswith(WEIGHTS) for name in made[key]["manifest"])}  # fmt: skip


def _of_parent(parent: dict, made: dict[str, dict], said: dict[str, int]) -> int:
    """Returns the verdict on a parent; PERHAPS if the store no longer holds the one that its child was made from."""
    there = made.get(parent["asset"])
    return said.get(parent["asset"], PERHAPS) if there and there["content"] == parent["content"] else PERHAPS


@functools.cache
def _trained_stages() -> frozenset[str]:
    """Returns the mixture and all stages below it."""
    below = {MIXTURE}
    for key, stage in STAGES.items():  # parents come before children
        if any(parent.key in below for _, parent in stage.inputs):
            below.add(key)
    return frozenset(below)
