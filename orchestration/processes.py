"""Records which process executes a run, so that the next run and its own workers can check whether it is alive.

After a restart, another process may have the same id. The id is therefore kept with the boot id and the process's start
tick.
"""

import contextlib
import os
import platform
import queue
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

HOST_TAG, PROCESS_TAG = "cria/host", "cria/process"
LAUNCHED_BY = "CRIA_LAUNCHED_BY"
LOOK_AGAIN_S = 1.0


def identity(pid: int | str) -> str | None:
    """Returns `boot/pid/start` of a process of this host; None if no process has this id."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = status.rpartition(")")[2].split()  # the program's name stands before it and may hold anything
    state, start = fields[0], fields[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")[:8]
    return None if state in "ZX" else f"{boot}/{pid}/{start}"


def tags_of_this_process(run_id: str) -> dict[str, str]:
    """Returns the tags of a run that this process executes. A re-execution inherits tags, so they name the run."""
    return {HOST_TAG: platform.node(), PROCESS_TAG: f"{run_id[:8]}/{identity(os.getpid())}"}


def is_alive(run_id: str, tags: Mapping[str, str]) -> bool | None:
    """Returns whether the process of a run is alive; assumes so for another host's. None: it has no process yet."""
    tagged, _, process = tags.get(PROCESS_TAG, "").partition("/")
    if tagged != run_id[:8]:
        return None
    return tags[HOST_TAG] != platform.node() or identity(process.split("/")[1]) == process


def environment_of_a_worker() -> dict[str, str]:
    """Returns the environment of a process that must end with this one."""
    return {**os.environ, LAUNCHED_BY: identity(os.getpid())}


def end_with_the_launcher() -> None:
    """Ends this process once the one that launched it is gone. Does nothing if a person started it.

    Otherwise, the workers of a killed run would train on, beside the run that continues it.
    """
    launcher = os.environ.get(LAUNCHED_BY)
    if not launcher:
        return

    def watch() -> None:
        while identity(launcher.split("/")[1]) == launcher:
            time.sleep(LOOK_AGAIN_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def lines_of(process: subprocess.Popen) -> queue.Queue[str | None]:
    """Returns the queue that gets each line of a process's output as it comes, and None at the end of its output."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def kill_with_children(pid: int) -> None:
    """Kills a process of this host and everything that it started. The parent goes first: it could start others."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
