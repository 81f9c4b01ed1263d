"""Where artifacts lie: a path is a pure function of (store, partition, asset key). Nothing is ever searched for."""

from pathlib import Path

from data_cleaning.paths import path_from
from data_cleaning.store_layout import UNPARTITIONED, place

CHECKOUT = Path(__file__).resolve().parent.parent
SCRATCH = "_scratch"  # of a work folder: what a stage needs to continue, and nobody afterwards


def store() -> Path:
    """The artifact store: CRIA_STORE, or `store` in the checkout. Raises ValueError where CRIA_STORE cannot be expanded."""
    return path_from("CRIA_STORE", CHECKOUT / "store")


def artifact(key: str, partition: str | None) -> Path:
    """The folder of a published artifact, for example store/laptop/rlhf_v1/policy."""
    return place(store(), key, partition)


def gates_file(key: str, partition: str | None) -> Path:
    """What the gates said of the artifact; beside it, because the artifact itself is sealed by its manifest."""
    path = artifact(key, partition)
    return path.with_name(f"{path.name}.gates.json")


def work(key: str, partition: str | None, identity: str) -> Path:
    """Where a stage builds before it is published; it survives a kill, so the same work continues there."""
    return store() / ".work" / (partition or UNPARTITIONED) / key.replace("/", "--") / identity[:16]
