"""One worker of a stage on a node of a Ray cluster. Its actor holds its GPU, starts its process and reads its output."""

import contextlib
import queue
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.ray_shards import refuse_other, refuse_unseen
from orchestration import devices
from orchestration.processes import environment_of_a_worker, kill_with_children, lines_of

LOOK_AGAIN_S = 1.0


@dataclass(frozen=True)
class Seat:
    """Where a worker is: its node, the node's address and a free port of it.

    `gpus` and `locks` are empty on a CPU, else hold the GPU that Ray gave it: as CUDA_VISIBLE_DEVICES and as
    `devices.held` name it.
    """

    node: str
    address: str
    gpus: tuple[str, ...]
    locks: tuple[str, ...]
    port: int


class Member:
    """The actor. If it dies, its process ends within a second (orchestration/processes.py)."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self._said: queue.Queue[str | None] = queue.Queue()
        self._process: subprocess.Popen | None = None

    def info(self, text: str) -> None:
        """The log of `devices.held`."""
        self._said.put(text)

    def seat(self, packages: dict[str, str | None], probe: Path) -> Seat:
        """Returns where this worker is. ValueError: other packages; RuntimeError: it does not see the folder `probe`."""
        import ray

        refuse_other(packages)
        refuse_unseen(probe)
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        context = ray.get_runtime_context()
        gpus = tuple(context.get_accelerator_ids().get("GPU", ()))
        locks = tuple(devices.visible_gpus()) if gpus else ()
        return Seat(context.get_node_id(), ray.util.get_node_ip_address(), gpus, locks, port)

    def hold(self, locks: Sequence[str], holder: str) -> None:
        """Takes this worker's GPU for `holder`; waits while a run of this machine that does not use Ray holds it."""
        self._held.enter_context(devices.held(list(locks), holder, self))

    def start(self, arguments: list[str], variables: dict[str, str]) -> None:
        """Starts this node's Python with `arguments`, in the folder of the code that Ray sent."""
        self._process = subprocess.Popen(
            [sys.executable, *arguments], env={**environment_of_a_worker(), **variables}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        self._said = lines_of(self._process)

    def heard(self) -> tuple[list[str], int | None]:
        """Returns the lines since the last call, waiting a moment for one, and the exit code if the process has ended."""
        lines: list[str] = []
        with contextlib.suppress(queue.Empty):
            lines.append(self._said.get(timeout=LOOK_AGAIN_S))
            while True:
                lines.append(self._said.get_nowait())
        if lines and lines[-1] is None:
            return lines[:-1], self._process.wait()
        # What it started itself may keep its output open.
        return lines, None if lines or self._process is None else self._process.poll()

    def end(self) -> None:
        """Ends the process and all that it started."""
        if self._process is not None:
            kill_with_children(self._process.pid)
            self._process.wait()
