"""RECORD.json says what an artifact is, what it was made from, by which code, where, and at what cost.

`fingerprint` says what it was made of (orchestration/identity.py); `content` says what came out (hash of the manifest). A
record with the wanted fingerprint whose manifest verifies is reused. A published record never changes: fields without
identity hold the values of the time when the artifact was made.
"""

import dataclasses
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from data_cleaning.store_layout import RECORD
from modeling.core.carbon import kg_co2e
from orchestration import identity as identities
from orchestration.manifest import manifest_of
from orchestration.store import CHECKOUT
from release.lineage import without_secrets

# What the bytes of artifacts depend on beside the code: told in the record and by `make why`, no part of the identity.
LIBRARIES = ("torch", "transformers", "trl", "accelerate", "tokenizers", "safetensors", "numpy", "pyarrow", "datasketch",
             "xxhash", "fasttext-community", "resiliparse", "fastwarc", "pyppmd", "lm-eval", "datasets", "matplotlib",
             "scikit-learn", "phonenumbers", "gguf", "pyyaml", "dagster")  # fmt: skip
WATTS_PER_CPU_CORE = 10.0
WATTS_PER_GPU = 400.0
COMMIT = "CRIA_COMMIT"  # git_state of the launcher, for a worker whose code came without its history


def as_json(recipe: Any) -> Any:
    """Returns a recipe as JSON values: tuples become lists, and addresses lose what may be secret."""
    return without_secrets(json.loads(json.dumps(dataclasses.asdict(recipe))))


def read(folder: Path) -> dict | None:
    """Returns the record of a published artifact; None if there is none."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def named(parents: dict[str, dict]) -> dict[str, dict]:
    """Returns what a record says of its parents."""
    return {
        role: {name: record[name] for name in ("asset", "partition", "fingerprint", "content")}
        for role, record in parents.items()
    }


def same_parents(record: dict, parents: dict[str, dict | None]) -> bool:
    """Returns whether the record was made from exactly the bytes of these parents (None: a parent that is missing)."""
    now = {role: parent and parent["content"] for role, parent in parents.items()}
    return {role: parent["content"] for role, parent in record["parents"].items()} == now


def seed_of(recipe: Any) -> int | None:
    return getattr(recipe, "seed", None)


@functools.cache
def git_state() -> dict[str, Any]:
    """Returns the commit, and whether tracked files differ from it; both are None outside a git checkout."""
    if stated := os.environ.get(COMMIT):
        return json.loads(stated)

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
    """Returns the name of the GPU if this process has loaded torch (to import it here would cost seconds)."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None


def gpu_count() -> int:
    """Returns the number of GPUs that work on this process's stage: one for each process of torchrun; 0 on a CPU."""
    return int(os.environ.get("WORLD_SIZE", "1")) if _accelerator() else 0


def energy(seconds: float, gpus: int = 0) -> dict[str, Any]:
    """Energy and CO2e as in the paper's Table 2: power of all devices x hours x PUE 1.1 x 0.385 kg/kWh.

    CRIA_WATTS overrides the power; without it a CPU core counts as 10 W and a GPU as 400 W, which is an assumption.
    """
    stated = os.environ.get("CRIA_WATTS")
    assumed = WATTS_PER_GPU * gpus or WATTS_PER_CPU_CORE * len(os.sched_getaffinity(0))
    watts = float(stated) if stated else assumed
    kwh = watts * seconds / 3.6e6
    return {"watts": watts, "kwh": kwh, "kg_co2e": kg_co2e(kwh),
            "assumption": "CRIA_WATTS" if stated else "10 W a CPU core, 400 W a GPU"}  # fmt: skip


def program() -> str:
    """Returns what this process runs: a module or a script, without arguments (Dagster passes a database password there)."""
    spec = sys.modules["__main__"].__spec__  # None for a script
    return spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).name


def build(key: str, partition: str | None, recipe: Any, identity: dict[str, str], code: dict[str, dict[str, str]],
          parents: dict[str, dict], folder: Path, metrics: dict, seconds: float) -> dict:  # fmt: skip
    """Returns the record of the finished artifact in `folder`; `seconds` is the time of all attempts together.

    `identity`: hashes of recipe, code and parents; `code`: module → definition → digest; `parents`: role → record.
    """
    manifest = manifest_of(folder)
    return {
        "asset": key,
        "partition": partition,
        "recipe": as_json(recipe),
        "seed": seed_of(recipe),
        "fingerprint": identities.fingerprint(key, partition, identity),
        "identity": identity,
        "content": identities.digest({name: entry["sha256"] for name, entry in manifest.items()}),
        "parents": named(parents),
        "git": git_state(),
        "libraries": libraries(),
        "host": host(),
        "command": program(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "energy": energy(seconds, gpu_count()),
        "metrics": metrics,
        "code": code,
        "manifest": manifest,
    }
