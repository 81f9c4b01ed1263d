"""The layout of a store (STORE/PARTITION/ASSET), shared by its writers and readers."""

from pathlib import Path

from data_cleaning.paths import path_from

CHECKOUT = Path(__file__).resolve().parent.parent
RECORD = "RECORD.json"  # written last: an artifact without one was never finished
UNPARTITIONED = "shared"  # the folder of artifacts that belong to no scale and no snapshot


def store() -> Path:
    """Returns the artifact store: CRIA_STORE, or `store` in the checkout. Raises ValueError if CRIA_STORE cannot be expanded."""
    return path_from("CRIA_STORE", CHECKOUT / "store")


def place(store: Path, asset: str, partition: str | None) -> Path:
    """Returns the folder of an artifact (`asset`: its key with "/"), for example store/laptop/rlhf_v1/policy."""
    return store / (partition or UNPARTITIONED) / asset
