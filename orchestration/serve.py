"""Serves what a scale made: the Dagster UI and the chat. `python -m orchestration.serve SCALE`; Ctrl-C stops both.

CRIA_UI_PORT and CRIA_CHAT_PORT choose the ports (3000 and 7860). `--ui` serves the UI alone, `--check` only looks whether the
ports are free.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection

from orchestration import preflight, records
from orchestration.execution import StageError
from orchestration.instance import prepare_dagster_home
from orchestration.launchers import prepare_environment
from orchestration.store import CHECKOUT, artifact

HOST = "127.0.0.1"
DIRECT = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # a proxy elsewhere cannot reach what this machine serves
GRACE = 15.0  # seconds to end by oneself; Dagster needs some


def port(variable: str, default: int) -> int:
    """The port of a variable. Exits with a clear line where it is no number or taken."""
    text = os.environ.get(variable, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit(f"{variable}={text} is no port number")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(text)))
        except OSError:
            sys.exit(f"port {text} is taken: stop what listens there, or choose another with {variable}=…")
    return int(text)


def ui_command(number: int) -> list[str]:
    """`dagster dev` on this checkout's workspace."""
    known = "ignore:Function `dev_command` is superseded"  # by a command that wants a project of its own shape
    workspace = str(CHECKOUT / "workspace.yaml")
    return [sys.executable, "-W", known, "-m", "dagster", "dev", "-w", workspace, "-h", HOST, "-p", str(number),
            "--log-level", "warning"]  # fmt: skip


def prepare_instance() -> None:
    """The snapshots of the table of sources as partitions, to be picked in the browser, and no run that waits for a dead one."""
    import dagster as dg

    from orchestration import partitions
    from orchestration.dead_runs import close_dead_runs

    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
        partitions.declare_snapshots(instance)


def wait_until_up(url: str, process: subprocess.Popen, seconds: float = 90.0) -> bool:
    """True once the address answers; False where the process ended or time ran out. It is never asked through a proxy."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with DIRECT.open(url, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return False


def serve(commands: dict[str, tuple[str, list[str]]]) -> None:
    """Starts each command, prints the addresses once they answer, and stops all when one ends or on a signal."""
    ending = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # the terminal was closed; under nohup that is to be survived
        ending.append(signal.SIGHUP)
    for number in ending:
        signal.signal(number, lambda *_: sys.exit(0))
    # Started in the background, SIGINT is ignored; the children would inherit that, and Dagster ignore SIGTERM as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    children = {}
    try:
        for name, (_, command) in commands.items():
            children[name] = subprocess.Popen(command, cwd=CHECKOUT, start_new_session=True)
        for name, (url, _) in commands.items():
            if not wait_until_up(url, children[name]):
                sys.exit(f"{name} ({url}) did not come up: its messages are above")
        addresses = "".join(f"\n  {name:<12}{url}" for name, (url, _) in commands.items())
        print(f"{addresses}\n\n  Ctrl-C stops.", flush=True)
        while all(process.poll() is None for process in children.values()):
            time.sleep(1)
        sys.exit("a server has stopped: its messages are above")
    except KeyboardInterrupt:
        print("\nstopped")
    finally:
        for number in ending:  # a closing terminal sends it twice, and the second must not end this
            signal.signal(number, signal.SIG_IGN)
        stop(children.values())


def stop(processes: Collection[subprocess.Popen]) -> None:
    """Asks every process and its children to end, and ends what has not within GRACE seconds."""
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):  # nothing of the group is left
            os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestration.serve SCALE | --ui | --check")
    ui = port("CRIA_UI_PORT", 3000)
    if sys.argv[1] == "--check":  # before twenty minutes of work, not after
        port("CRIA_CHAT_PORT", 7860)
        return
    try:
        prepare_environment()
        prepare_dagster_home()
        preflight.check_sources()
    except (StageError, ValueError) as error:
        sys.exit(str(error))
    prepare_instance()
    commands = {"Dagster UI": (f"http://{HOST}:{ui}", ui_command(ui))}
    if sys.argv[1] != "--ui":
        bundle = artifact("bundle", sys.argv[1])
        if records.read(bundle) is None:
            sys.exit(f"nothing is released at scale {sys.argv[1]} yet: make run SCALE={sys.argv[1]}")
        chat = port("CRIA_CHAT_PORT", 7860)
        demo = [sys.executable, "-m", "release.demo", "--bundle", str(bundle), "--port", str(chat)]
        commands["Chat"] = (f"http://{HOST}:{chat}", demo)
    serve(commands)


if __name__ == "__main__":
    main()
