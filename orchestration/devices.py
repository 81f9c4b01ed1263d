"""A GPU belongs to one run at a time, whatever store, checkout or pool the runs of this machine use.

A file lock per GPU says so, which the kernel frees when the process ends. The workers of a killed run end within a
second (orchestration/processes.py). Only NVIDIA GPUs are known.
"""

import contextlib
import functools
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestration.pools import LOOK_AGAIN_S, try_lock

GPU_DRIVERS = (Path("/proc/driver/nvidia/gpus"), Path("/dev/kfd"))


@functools.cache
def gpu_bytes() -> float:
    """Returns the memory of all GPUs together, without loading torch: 0 without a GPU, infinite if no tool can tell."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        return sum(float(line) for line in said.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return float("inf") if any(driver.exists() for driver in GPU_DRIVERS) else 0.0


def visible_gpus() -> list[str]:
    """Returns the UUIDs of the GPUs that this process may use, sorted: those of CUDA_VISIBLE_DEVICES, else all."""
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    known = dict(line.split(", ") for line in asked.stdout.splitlines() if line.count(", ") == 1)
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is None:
        return sorted(known.values())
    return sorted({known.get(name, name) for name in stated.replace(" ", "").split(",") if name not in ("", "-1")})


@contextlib.contextmanager
def held(gpus: list[str], holder: str, log: Any) -> Iterator[None]:
    """Holds the GPUs for `holder`. Waits for those that another run holds, and logs once who has them.

    All take GPUs in the same order, so two never wait for each other.
    """
    folder = Path(tempfile.gettempdir()) / "cria-gpus"
    folder.mkdir(parents=True, exist_ok=True)
    _open_to_all(folder, 0o1777)
    with contextlib.ExitStack() as locks:
        for gpu in sorted(gpus):
            file = folder / f"{gpu}.lock"
            if not file.exists():
                file.touch()
            _open_to_all(file, 0o666)
            told = False
            while (lock := try_lock(file, holder)) is None:
                if not told:
                    log.info(
                        f"waits for the GPU {gpu}: {file.read_text(encoding='utf-8') or 'a run has just taken it'}"
                    )
                    told = True
                time.sleep(LOOK_AGAIN_S)
            locks.enter_context(lock)
        yield


def _open_to_all(path: Path, mode: int) -> None:
    """Lets every user of the machine take the lock; what another user made is so already."""
    with contextlib.suppress(PermissionError):
        path.chmod(mode)
