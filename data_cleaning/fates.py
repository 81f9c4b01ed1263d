"""The fate of each document of a mixture: trained on, held out, unused, or dropped for a reason.

The hash of a document's id decides its selection. A document is held out if its hash lies below a threshold, so new
documents move no old one. Near-duplicates of documents of earlier snapshots, and of held-out documents, are dropped.
What a person retracted is neither trained on nor held out. Near-duplicates that were dropped for its sake stay away.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_cleaning.dedup import apart
from data_cleaning.dedup.bands import Bands
from data_cleaning.deliveries import last_deliveries, retracting, superseding
from data_cleaning.recipes import MixtureRecipe

TRAIN, HELDOUT, UNUSED, SUPERSEDED, RETRACTED, DUPLICATE, COPY = range(7)  # a document's fate
REASONS = {  # of those that are dropped
    SUPERSEDED: "superseded",
    RETRACTED: "retracted",
    DUPLICATE: "duplicate_of_earlier_snapshot",
    COPY: "copy_of_heldout",
}


@dataclass(frozen=True)
class Delivery:
    """One shard of one snapshot."""

    snapshot: str
    shard: Path

    @property
    def name(self) -> str:
        return f"{self.snapshot}-{self.shard.stem}"


def id_rank(identifier: str, salt: str = "") -> bytes:
    """Returns the sort key by which documents are selected: blake2b of salt and id."""
    return hashlib.blake2b(f"{salt}{identifier}".encode(), digest_size=16).digest()


def rank_unit(identifier: str) -> float:
    """Returns the sort key as a number in [0, 1)."""
    return int.from_bytes(id_rank(identifier)[:8], "big") / 2**64


def decide(
    recipe: MixtureRecipe,
    inputs: dict[str, Path],
    names: Sequence[str],
    deliveries: Sequence[Delivery],
    parts: Sequence[pa.Table],
    scan: pa.Table,
    by_person: dict[int, str],
    bands: tuple[Bands, Bands],
    load: apart.Load,
    log,
) -> pa.Table:
    """Returns the fate of each document of the scan, with the `value` and `detail` of those that are dropped.

    by_person: row → detail of each document that a person retracted. bands: those of the recipe, and fine ones
    (apart.FINE_ROWS). load: loads the shingle set of a row. Memory: the columns of the scan, and one band at a time.
    """
    ids, sources = scan["id"].to_pylist(), scan["source"].to_pylist()
    counts = [part.num_rows for part in parts]
    numbers = np.repeat([names.index(one.snapshot) for one in deliveries], counts)
    superseded = superseding(ids, numbers, last_deliveries([inputs[f"delivered/{name}"] for name in names]))
    full = sorted((names.index(snapshot), source) for source, snapshot in recipe.full_deliveries)
    retracted = retracting(sources, numbers, superseded >= 0, {source: number for number, source in full})
    fates = np.select([superseded >= 0, retracted >= 0], [SUPERSEDED, RETRACTED], TRAIN)
    values: list[float | None] = [None] * len(ids)
    details = [names[number] if number >= 0 else None for number in np.maximum(superseded, retracted).tolist()]

    def drop(found: apart.Found, fate: int) -> None:
        for row, (kept, similarity) in found.items():
            fates[row], values[row], details[row] = fate, similarity, ids[kept]

    if len(names) > 1:
        sizes = scan["bytes"].to_numpy()
        drop(apart.across_snapshots(bands[0], numbers, sizes, ids, fates == TRAIN, load, recipe.dedup), DUPLICATE)
    outdated, digests = fates, scan["digest"].to_pylist()
    fates = choose(ids, sources, digests, outdated, recipe)
    once_held = np.array([row for row in by_person if fates[row] == HELDOUT], int)
    if by_person:
        for row, detail in by_person.items():
            outdated[row], values[row], details[row] = RETRACTED, None, detail
        fates = choose(ids, sources, digests, outdated, recipe)
    held, train = np.flatnonzero(fates == HELDOUT), np.flatnonzero(fates == TRAIN)
    drop(apart.copies_of(np.concatenate([held, once_held]), train, bands[1], load, recipe.dedup), COPY)
    log.info(", ".join(f"{reason}: {int((fates == fate).sum()):,}" for fate, reason in REASONS.items()))
    return pa.table({"fate": fates, "value": pa.array(values, pa.float64()), "detail": pa.array(details, pa.string())})


def choose(
    ids: Sequence[str], sources: Sequence[str], digests: Sequence[bytes], outdated: np.ndarray, recipe: MixtureRecipe
) -> np.ndarray:
    """Returns the fate of each document, int8 [documents]: as in `outdated` where that is not TRAIN, else its choice.

    Holds out the documents whose hash of the id lies in the first `heldout_share` of all values. A source of two
    documents and more in which there is none holds out the one with the smallest hash. Documents that share an id share
    a fate. Drops a training document that has the same words as a held-out one.
    """
    fates = outdated.astype(np.int8)
    rows_by_id: dict[str, dict[str, list[int]]] = {}
    for row in np.flatnonzero(fates == TRAIN).tolist():
        rows_by_id.setdefault(sources[row], {}).setdefault(ids[row], []).append(row)
    epochs = dict(recipe.epochs)
    for source, rows in rows_by_id.items():
        ranked = sorted(rows, key=id_rank)
        held = sum(rank_unit(name) < recipe.heldout_share for name in ranked) or int(len(ranked) > 1)
        train = sorted(ranked[held:], key=lambda name: id_rank(name, f"{recipe.seed}:"))
        limit = recipe.max_documents_per_source or len(train)
        parts = [(HELDOUT, ranked[:held]), (TRAIN, train[:limit]), (UNUSED, train[limit:])]
        if epochs.get(source, recipe.default_epochs) <= 0:
            parts = [(UNUSED, ranked)]
        for fate, names in parts:
            fates[[row for name in names for row in rows[name]]] = fate
    held_words = {digests[row] for row in np.flatnonzero(fates == HELDOUT)}
    for row in np.flatnonzero(fates == TRAIN):
        if digests[row] in held_words:
            fates[row] = COPY
    return fates
