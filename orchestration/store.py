"""The places of artifacts: a path is a pure function of (store, partition, asset key). Nothing is ever searched for."""

from pathlib import Path

from data_cleaning.paths import CHECKOUT, store
from data_cleaning.store_layout import UNPARTITIONED, place

__all__ = ["CHECKOUT", "SCRATCH", "artifact", "gates_file", "store", "work"]

SCRATCH = "_scratch"  # of a work folder: what a stage needs to continue, and nobody afterwards


def artifact(key: str, partition: str | None) -> Path:
    """Returns the folder of a published artifact, for example store/laptop/rlhf_v1/policy."""
    return place(store(), key, partition)


def gates_file(key: str, partition: str | None) -> Path:
    """Returns the file of the gates' verdicts. It lies beside the artifact, because a manifest seals the artifact itself."""
    path = artifact(key, partition)
    return path.with_name(f"{path.name}.gates.json")


def work(key: str, partition: str | None, identity: str) -> Path:
    """Returns the folder in which a stage builds. It survives a kill, so the same work continues there."""
    return store() / ".work" / (partition or UNPARTITIONED) / key.replace("/", "--") / identity[:16]
