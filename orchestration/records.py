"""RECORD.json: what an artifact is, what it was made from, by which code, where, and at what cost.

`fingerprint` says what it was made of (recipe, code, parents); `content` says what came out (hash of the manifest). A record
with the wanted fingerprint whose manifest verifies is reused.
"""

import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from orchestration.store import CHECKOUT, SCRATCH
from release.lineage import RECORD

LIBRARIES = ("dagster", "torch", "transformers", "trl", "accelerate", "tokenizers", "datasketch", "fasttext-community",
             "pyarrow", "numpy", "gradio", "lm-eval", "safetensors")  # fmt: skip
PUE = 1.1  # data-centre overhead and grid intensity that reproduce the paper's Table 2
KG_CO2E_PER_KWH = 0.385
WATTS_PER_CPU_CORE = 10.0
WATTS_PER_GPU = 400.0


def as_json(recipe: Any) -> Any:
    """A recipe as JSON values; tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def fingerprint(key: str, partition: str | None, recipe: Any, code: str, parents: dict[str, dict]) -> str:
    """Identity of an artifact before it exists: recipe, code and the fingerprints of its parents."""
    return _hash({
        "asset": key,
        "partition": partition,
        "recipe": as_json(recipe),
        "code": code,
        "parents": {role: record["fingerprint"] for role, record in parents.items()},
    })  # fmt: skip


def work_identity(identity: str, parents: dict[str, dict]) -> str:
    """The fingerprint and the parents' bytes: unfinished work is continued only from exactly what it was begun with."""
    return _hash([identity, {role: record["content"] for role, record in parents.items()}])


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(folder: Path) -> dict[str, dict]:
    """Every file below `folder` except the record and the scratch: relative path → bytes and sha256."""
    left_out = (RECORD, f"{RECORD}.part", SCRATCH)  # a kill may leave half a record
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).parts[0] not in left_out)
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in files
    }


def read(folder: Path) -> dict | None:
    """The record of a published artifact, or None where there is none."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def verify(folder: Path, record: dict) -> str | None:
    """None where every file of the manifest is there with its sha256, else what is wrong."""
    for name, entry in record["manifest"].items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
            return f"{path} has changed since it was recorded"
    return None


def named(parents: dict[str, dict]) -> dict[str, dict]:
    """What a record says of its parents."""
    return {
        role: {name: record[name] for name in ("asset", "partition", "fingerprint", "content")}
        for role, record in parents.items()
    }


def same_parents(record: dict, parents: dict[str, dict | None]) -> bool:
    """Whether the record was made from exactly the bytes of these parents (None: one that is not there)."""
    now = {role: parent and parent["content"] for role, parent in parents.items()}
    return {role: parent["content"] for role, parent in record["parents"].items()} == now


def seed_of(recipe: Any) -> int | None:
    return getattr(recipe, "seed", None)


@functools.cache
def git_state() -> dict[str, Any]:
    """Commit and whether tracked files differ from it; both None outside a git checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    status = git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if status is None else bool(status)}


@functools.cache
def libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), **found}


def host() -> dict[str, Any]:
    return {"system": platform.system(), "machine": platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "accelerator": _accelerator()}  # fmt: skip


def _accelerator() -> str | None:
    """Name of the GPU, only where this process has loaded torch already (importing it here would cost seconds)."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None


def gpu_count() -> int:
    """GPUs that work on this process's stage: one a process of torchrun; 0 on a CPU."""
    return int(os.environ.get("WORLD_SIZE", "1")) if _accelerator() else 0


def energy(seconds: float, gpus: int = 0) -> dict[str, Any]:
    """Energy and CO2e as in the paper's Table 2: power of all devices x hours x PUE 1.1 x 0.385 kg/kWh.

    CRIA_WATTS overrides the power; without it a CPU core counts as 10 W and a GPU as 400 W, which is an assumption.
    """
    stated = os.environ.get("CRIA_WATTS")
    assumed = WATTS_PER_GPU * gpus or WATTS_PER_CPU_CORE * len(os.sched_getaffinity(0))
    watts = float(stated) if stated else assumed
    kwh = watts * seconds / 3.6e6
    return {"watts": watts, "kwh": kwh, "kg_co2e": kwh * PUE * KG_CO2E_PER_KWH,
            "assumption": "CRIA_WATTS" if stated else "10 W a CPU core, 400 W a GPU"}  # fmt: skip


def program() -> str:
    """What this process runs: a module or a script. Its arguments are left out: Dagster passes its database's password there."""
    spec = sys.modules["__main__"].__spec__  # None for a script
    return spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).name


def build(key: str, partition: str | None, recipe: Any, identity: str, code: str, parents: dict[str, dict],
          folder: Path, metrics: dict, seconds: float) -> dict:  # fmt: skip
    """The record of the artifact that lies finished in `folder`; `seconds` are those of all attempts together."""
    manifest = manifest_of(folder)
    return {
        "asset": key,
        "partition": partition,
        "recipe": as_json(recipe),
        "seed": seed_of(recipe),
        "fingerprint": identity,
        "content": _hash({name: entry["sha256"] for name, entry in manifest.items()}),
        "code": code,
        "parents": named(parents),
        "git": git_state(),
        "libraries": libraries(),
        "host": host(),
        "command": program(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "energy": energy(seconds, gpu_count()),
        "metrics": metrics,
        "manifest": manifest,
    }
