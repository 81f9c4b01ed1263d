"""Which documents the report may quote: none that a person retracted (data_cleaning/retractions.py), and no copy of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.retractions import Retraction, scanned


@dataclass(frozen=True)
class Retracted:
    retractions: tuple[Retraction, ...]
    digests: frozenset[str] = frozenset()  # of the words of the documents that they meet, hexadecimal


def digests_in(retractions: Sequence[Retraction], artifacts: Sequence[Path], name: str) -> dict:
    """Returns the digests of the retracted documents that any of the artifacts keeps in a shard."""
    digests: set[str] = set()
    for shard in (artifact / "documents" / name for artifact in artifacts):
        if shard.is_file():
            found = scanned(retractions, pq.read_table(shard, columns=["id", "meta", "text"]), cleaned=True)
            met = pc.greater(pc.list_value_length(found["retractions"]), 0)
            digests.update(digest.hex() for digest in found.filter(met)["digest"].to_pylist())
    return {"digests": sorted(digests)}


def quotable(table: pa.Table, retracted: Retracted) -> pa.Table:
    """Returns the rows of a table (with id, meta and text) that may be quoted."""
    if not retracted.retractions:
        return table
    found = scanned(retracted.retractions, table, cleaned=True)
    met = pc.greater(pc.list_value_length(found["retractions"]), 0).to_numpy(zero_copy_only=False)
    copies = np.array([digest.hex() in retracted.digests for digest in found["digest"].to_pylist()], bool)
    return table.filter(pa.array(~(met | copies)))
