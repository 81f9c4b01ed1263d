"""Checks before any work, from the command line and from the UI: sources, memory and devices, disk."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil

from data_cleaning import ray_shards, retractions
from data_cleaning.sources import fetch
from modeling.core.recipes import AdoptRecipe
from modeling.planning.sizes import parameters
from orchestration import execution, k8s_manifest, ray_workers, records, scales
from orchestration.devices import gpu_bytes
from orchestration.launchers import BY_SCALE, stated_launcher
from orchestration.sources import SourceError, snapshots, sources
from orchestration.stage import PLANNED, SCALE, SNAPSHOT, Stage
from orchestration.store import store

# Measured where a scale ran: all that its graph leaves on the disk, and the most memory that a stage of it held.
DISK_BYTES = {"tiny": 1e9, "scratch": 4e9, "laptop": 12e9}
MEMORY_BYTES = {"laptop": 7e9}
CORPUS_DISK_BYTES = 1e9
# Estimated for the others, a parameter: float32 weights, gradients and two moments while training; on the disk nineteen
# models of float32 and two checkpoints of weights and moments.
TRAINING_BYTES = 16
KEPT_BYTES = 19 * 4 + 2 * 12


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size < 1e11 else f"{size / 1e9:,.0f} GB"


def check_sources() -> None:
    """Raises StageError if the table of sources or the list of retractions is unusable; the message says what to mend."""
    try:
        sources()
        retractions.listed()
    except SourceError as error:
        raise execution.StageError(str(error)) from error


def check_variables(scale: str, stages: Iterable[Stage]) -> None:
    """Raises FetchError if a source still has to be fetched and its address names a variable that is not set."""
    for made in stages:
        if made.module == fetch.__name__:
            for partition in _partitions(made, scale):
                planned = execution.plan(made, partition)
                if not _is_made(planned):
                    fetch.check_variables(planned.recipe)


def check_fit(scale: str) -> None:
    """Raises StageError if the models of a scale do not fit this machine, or the Ray cluster that is to train them.

    Does not look if CRIA_ALLOW_SCALE names the scale.
    """
    if scale in os.environ.get("CRIA_ALLOW_SCALE", "").replace(" ", "").split(","):
        return
    model = scales.scale(scale).base.model
    if isinstance(model, AdoptRecipe):
        needed, what = MEMORY_BYTES.get(scale, 0.0), "its models take"
    else:
        count = parameters(model)
        needed, what = TRAINING_BYTES * count, f"to train {count / 1e9:,.1f} billion parameters takes"
    on_gpus = scale in BY_SCALE  # only these have a launcher of their own
    launcher = stated_launcher(scale)
    if launcher == "k8s":
        asked = k8s_manifest.stated_resources()  # of what size its GPUs are, only Kubernetes knows
        where, gpus = "a stage's pod", float("inf") if k8s_manifest.gpus(asked) else 0.0
        ram = k8s_manifest.memory_bytes(asked)
    elif launcher == "ray":
        where, (gpus, ram) = "the Ray cluster", ray_workers.capacity(os.environ[ray_shards.ADDRESS])
    else:
        where, gpus, ram = "this machine", gpu_bytes(), psutil.virtual_memory().total
    there = gpus if on_gpus else ram
    if not there or there < needed:
        kind = "GPU memory" if on_gpus else "memory"
        found = f"{where} has {_gigabytes(there)}" if there else f"{where} has no GPU"
        raise execution.StageError(
            f"scale {scale} does not fit {where}: {what} {_gigabytes(needed)} of {kind}, and {found}. "
            f"Choose a smaller scale, or set CRIA_ALLOW_SCALE={scale} to start it all the same"
        )


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _disk_bytes(axis: str | None, partition: str | None) -> float:
    if axis == PLANNED:
        return 0.0  # some kB, next to nothing
    if axis != SCALE:
        return CORPUS_DISK_BYTES
    if partition in DISK_BYTES:
        return DISK_BYTES[partition]
    model = scales.scale(partition).base.model
    return CORPUS_DISK_BYTES + (0 if isinstance(model, AdoptRecipe) else KEPT_BYTES * parameters(model))


def check_disk(axis: str | None, partition: str | None) -> None:
    """Raises StageError if the store's disk has no room for the rest of a partition."""
    folder = store()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    made = (folder / partition, folder / ".work" / partition) if partition else ()
    wanted = _disk_bytes(axis, partition) - sum(map(_bytes_in, made))
    if free < wanted:
        what = f"scale {partition}" if axis == SCALE else "the corpus"
        raise execution.StageError(
            f"{folder} has {_gigabytes(free)} free and {what} needs about {_gigabytes(wanted)} more: "
            "free some space, or set CRIA_STORE to a folder on another disk"
        )


def finished(scale: str, stages: Iterable[Stage]) -> bool:
    """Returns whether all artifacts of a scale are up to date; it reads records, not the bytes themselves."""
    for made in stages:
        for partition in _partitions(made, scale):
            try:
                planned = execution.plan(made, partition)
            except (execution.StageError, SourceError):  # the run itself will say it
                return False
            if not _is_made(planned):
                return False
    return True


def _partitions(made: Stage, scale: str) -> list[str | None]:
    return {SCALE: [scale], SNAPSHOT: snapshots(), None: [None]}[made.axis]


def _is_made(planned: execution.Plan) -> bool:
    record = records.read(planned.final)
    return record is not None and execution.matches(planned, record)
