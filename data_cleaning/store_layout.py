"""The layout of a store (STORE/PARTITION/ASSET), shared by its writers and readers."""

from pathlib import Path

RECORD = "RECORD.json"  # written last: an artifact without one was never finished
HEARTBEAT = "_scratch/heartbeat"  # of a work folder: touched while a stage works without a word
UNPARTITIONED = "shared"  # the folder of artifacts that belong to no scale and no snapshot


def place(store: Path, asset: str, partition: str | None) -> Path:
    """Returns the folder of an artifact (`asset`: its key with "/"), for example store/laptop/rlhf_v1/policy."""
    return store / (partition or UNPARTITIONED) / asset
