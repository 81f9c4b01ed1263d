"""A stage that is done by a process of its own, which its first attempt kills."""

import sys
from pathlib import Path

from orchestration.launchers import follow
from tests.orchestration.toy import ToyRecipe

WORKER = """
import os, pathlib, sys
out = pathlib.Path(sys.argv[1])
if not (out / "first").exists():
    (out / "first").touch()
    os.kill(os.getpid(), int(sys.argv[2]))
(out / "second").touch()
"""


def run(config: ToyRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    follow("toy", [sys.executable, "-c", WORKER, str(out), str(config.steps)], log)
    return {}
