"""`make demo`: serves the Dagster UI and the chat first, then runs the graph of a scale behind them.

Usage: python -m orchestration.serve SCALE | --ui (the UI alone). Ctrl-C stops all. CRIA_UI_PORT and CRIA_CHAT_PORT choose
the ports (3000 and 7860).
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
from collections.abc import Collection, Mapping

from modeling.core import version_names
from orchestration import preflight, run
from orchestration.execution import StageError
from orchestration.instance import prepare_dagster_home
from orchestration.launchers import prepare_environment
from orchestration.processes import environment_of_a_worker
from orchestration.store import CHECKOUT, artifact, store

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


def chat_command(scale: str, number: int) -> list[str]:
    """The chat with the release of a scale, and before there is one with each version that is made.

    It answers on one thread: with two a small model is no faster, and the run needs the processor.
    """
    from assets import STAGES

    base = {key: STAGES[key] for key in version_names.BASE if key in STAGES}
    made = {**base, **dict(STAGES["bundle"].inputs)}
    versions = [f"{made[role].key}={name}" for role, name in version_names.named(made).items()]
    threads = f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '1')}"
    return ["env", threads, sys.executable, "-m", "release.demo", "--bundle", str(artifact("bundle", scale)),
            "--store", str(store() / scale), "--port", str(number), "--versions", *versions]  # fmt: skip


def run_command(scale: str) -> list[str]:
    """The graph of a scale, in a process that ends with this one."""
    return [sys.executable, "-m", "orchestration.run", scale]


def serve(commands: Mapping[str, tuple[str, list[str]]], work: list[str] | None = None) -> None:
    """Starts each server, prints the addresses once they answer, then starts `work`; stops all on a signal.

    Exits with the code of the work (130: stopped before its end), and with 1 once a server has ended by itself. The
    servers stay up after the work has ended or failed.
    """
    ending = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # the terminal was closed; under nohup that is to be survived
        ending.append(signal.SIGHUP)
    for number in ending:
        signal.signal(number, _interrupt)
    # Started in the background, SIGINT is ignored; the children would inherit that, and Dagster ignore SIGTERM as well.
    signal.signal(signal.SIGINT, _interrupt)
    children: dict[str, subprocess.Popen] = {}
    worker = None
    try:
        for name, (_, command) in commands.items():
            children[name] = _start(command)
        for name, (url, _) in commands.items():
            if not wait_until_up(url, children[name]):
                sys.exit(f"{name} ({url}) did not come up: its messages are above")
        addresses = "".join(f"\n  {name:<12}{url}" for name, (url, _) in commands.items())
        print(f"{addresses}\n\n  Ctrl-C stops.\n", flush=True)
        worker = _start(work) if work else None
        told = worker is None
        while all(process.poll() is None for process in children.values()):
            if not told and worker.poll() is not None:
                told = True
                ended = "The graph is complete." if not worker.returncode else "The graph is NOT complete: see above."
                print(f"\n{ended}{addresses}\n\n  Ctrl-C stops.", flush=True)
            time.sleep(1)
        sys.exit("a server has stopped: its messages are above")
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
    finally:
        for number in (*ending, signal.SIGINT):  # a closing terminal sends it twice, and the second must not end this
            signal.signal(number, signal.SIG_IGN)
        code = worker.poll() if worker else 0
        stop([*([worker] if worker else []), *children.values()])
    sys.exit(130 if code is None else code)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _start(command: list[str]) -> subprocess.Popen:
    """Starts a child in a session of its own: Ctrl-C reaches this process alone, which stops the children in order."""
    return subprocess.Popen(command, cwd=CHECKOUT, env=environment_of_a_worker(), start_new_session=True)


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
        sys.exit("usage: python -m orchestration.serve SCALE | --ui")
    scale = None if sys.argv[1] == "--ui" else sys.argv[1]
    ui = port("CRIA_UI_PORT", 3000)
    chat = port("CRIA_CHAT_PORT", 7860) if scale else None
    try:
        prepare_environment()
        if scale:
            run.check(scale)
        else:
            prepare_dagster_home()
            preflight.check_sources()
    except KeyError as error:
        sys.exit(str(error.args[0]))
    except (StageError, ValueError) as error:
        sys.exit(str(error))
    prepare_instance()
    commands = {"Dagster UI": (f"http://{HOST}:{ui}", ui_command(ui))}
    if scale:
        commands["Chat"] = (f"http://{HOST}:{chat}", chat_command(scale, chat))
    serve(commands, run_command(scale) if scale else None)


if __name__ == "__main__":
    main()
