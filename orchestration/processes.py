"""Which process a run runs in, so that another can tell whether it still does.

A process id alone says nothing after a restart, when it may belong to something else: it is kept together with the boot and
with the tick of the clock at which its process began.
"""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

HOST_TAG, PROCESS_TAG = "cria/host", "cria/process"


def identity(pid: int | str) -> str | None:
    """`boot/pid/start` of a process of this host; None where none of this id lives."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = status.rpartition(")")[2].split()  # the program's name stands before it and may hold anything
    state, start = fields[0], fields[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")[:8]
    return None if state in "ZX" else f"{boot}/{pid}/{start}"


def tags_of_this_process(run_id: str) -> dict[str, str]:
    """What a run that this process executes is tagged with. A re-execution inherits tags: the run is named in them."""
    return {HOST_TAG: platform.node(), PROCESS_TAG: f"{run_id[:8]}/{identity(os.getpid())}"}


def is_alive(run_id: str, tags: Mapping[str, str]) -> bool | None:
    """Whether the process of a run lives, as far as this host can tell; another host's is taken to. None: it has none yet."""
    tagged, _, process = tags.get(PROCESS_TAG, "").partition("/")
    if tagged != run_id[:8]:
        return None
    return tags[HOST_TAG] != platform.node() or identity(process.split("/")[1]) == process
