"""Which documents a later delivery replaces or retracts; decided from what was delivered, before any filter.

A new version that a filter drops therefore still replaces the old one. So does one in quarantine, unless it could not
be read as far as its id (a line that is too long or is no JSON). A delivery in full retracts what it does not hold.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from data_cleaning.documents import shard_paths
from data_cleaning.json_lines import read_rows
from data_cleaning.reading.identity import identity_of


def delivered(documents: Path) -> Iterator[str]:
    """Yields `<source>:<identity>` of each record that a `documents` artifact holds, or put in quarantine with an id.

    Reads the ids of one shard at a time, and no text.
    """
    for shard in shard_paths(documents):
        yield from map(identity_of, pq.read_table(shard, columns=["id"])["id"].to_pylist())
    for _, entry in read_rows(documents / "quarantine.jsonl"):
        if entry["id"]:
            yield entry["id"]


def last_deliveries(snapshots: Sequence[Path]) -> dict[str, int]:
    """Returns the number of the last snapshot that delivered an identity; leaves out those that only the first did.

    `snapshots`: `documents` artifacts, the oldest first. The first is not read: it replaces nothing.
    """
    later = enumerate(snapshots[1:], start=1)
    return {identity: number for number, documents in later for identity in delivered(documents)}


def superseding(ids: Sequence[str], snapshots: np.ndarray, last: dict[str, int]) -> np.ndarray:
    """Returns the number of the snapshot whose delivery replaces each document, -1 for none, int [documents].

    `snapshots`: the number of the snapshot that each document is of. Documents of one identity and one snapshot stay
    together.
    """
    newest = np.array([last.get(identity_of(name), -1) for name in ids], int)
    return np.where(newest > snapshots, newest, -1)


def retracting(
    sources: Sequence[str], snapshots: np.ndarray, superseded: np.ndarray, full: dict[str, int]
) -> np.ndarray:
    """Returns the number of the snapshot whose full delivery retracts each document, -1 for none, int [documents].

    `full`: source → the number of its last delivery in full. `superseded` (bool) documents are not retracted: their
    identity was delivered again.
    """
    newest = np.array([full.get(source, -1) for source in sources], int)
    return np.where((newest > snapshots) & ~superseded, newest, -1)
