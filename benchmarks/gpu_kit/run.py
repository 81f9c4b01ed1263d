"""Runs the parts in sequence, each in its own process with a time limit. Results are on disk as each part ends."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_kit import table
from orchestration.launchers import prepare_environment
from orchestration.store import CHECKOUT

LOG_TAIL = 3000  # characters of a failed part's log kept in the results
LEAST_SECONDS = 10.0  # least time left to start a part


@dataclass(frozen=True)
class Part:
    name: str
    limit: float  # seconds
    command: Sequence[str] = ()  # default: `python -m benchmarks.gpu_kit part NAME …`


# In order: later parts use the models of earlier ones, and make missing ones.
PARTS = (
    Part("machine", 60),
    Part("smoke", 130),
    Part("pretraining", 150),
    Part("pretraining compiled", 120),
    Part("generation", 80),
    Part("rlhf round", 160),
    Part("ppo", 110),
    Part("tests of modeling", 150),
)
DRY_LIMIT = 400.0  # seconds of a part on a CPU


def run(options: argparse.Namespace) -> None:
    """Installs the wheels, measures every part and prints the table. Raises SystemExit if a named part is unknown."""
    deadline = time.monotonic() + options.deadline
    prepare_environment()
    names = [name for name in options.parts.split(",") if name] or [part.name for part in PARTS]
    unknown = set(names) - {part.name for part in PARTS}
    if unknown:
        sys.exit(f"no part {', '.join(sorted(unknown))}: choose from {', '.join(part.name for part in PARTS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    install(options.kit / "wheels", options.work / "site")
    copy_inputs(options)
    for part in PARTS:
        if part.name in names:
            own = Part(part.name, DRY_LIMIT if options.dry else part.limit, part.command or command(part.name, options))
            print(f"{part.name} ...", flush=True)
            end = run_part(own, options.out, deadline)
            print(f"{part.name}: {end['ended']} after {end['seconds']:.0f} s", flush=True)
            write_table(options.out)
    print((options.out / "results.md").read_text(encoding="utf-8"))


def install(wheels: Path, site: Path) -> None:
    """Installs the kit's packages into their own folder, first on the path of every process started from here."""
    files = sorted(str(path) for path in wheels.glob("*.whl"))
    if not files:
        raise SystemExit(f"{wheels} holds no wheels: pack the kit first")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--no-cache-dir",
    ]
    subprocess.run([*pip, "--upgrade", "--target", str(site), *files], check=True)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), str(CHECKOUT)])


def copy_inputs(options: argparse.Namespace) -> None:
    """Copies the packed inputs to the folder that also receives the models."""
    shutil.copytree(options.kit / "inputs", options.work / "stages", dirs_exist_ok=True)


def command(name: str, options: argparse.Namespace) -> list[str]:
    """Returns the command line that measures a part."""
    words = [sys.executable, "-m", "benchmarks.gpu_kit", "part", name, str(options.kit), "--out", str(options.out)]
    words += ["--work", str(options.work), "--seconds", str(options.seconds)]
    return [*words, "--dry"] if options.dry else words


def run_part(part: Part, out: Path, deadline: float) -> dict:
    """Runs a part's command until its limit or the deadline. Appends and returns how it ended."""
    limit = min(part.limit, deadline - time.monotonic())
    log = out / "log.txt"
    ended, seconds, begin = "no time left", 0.0, log.stat().st_size if log.exists() else 0
    if limit >= LEAST_SECONDS or limit == part.limit:
        started = time.monotonic()
        with log.open("ab") as file:
            file.write(f"==== {part.name}\n".encode())
            file.flush()
            ended = bounded(part.command, file, limit)
        seconds = time.monotonic() - started
    text = log.read_bytes()[begin:].decode(errors="replace") if log.exists() else ""
    row = {"part": part.name, "ended": ended, "seconds": round(seconds, 1)}
    row["log"] = text[-LOG_TAIL:] if ended != table.FINISHED else ""
    table.append(out / table.RESULTS, **row)
    return row


def bounded(words: Sequence[str], log, limit: float) -> str:
    """Runs a command in its own process group, which is killed at the limit. Returns how the command ended."""
    with subprocess.Popen(
        words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            process.wait(limit)
            ended = table.FINISHED if process.returncode == 0 else f"failed ({process.returncode})"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {limit:.0f} s"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # leftover processes would disturb the next part
    return ended


def write_table(out: Path) -> None:
    (out / "results.md").write_text(table.render(table.read(out / table.RESULTS)), encoding="utf-8")
