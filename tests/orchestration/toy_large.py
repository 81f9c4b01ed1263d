"""A stage that makes a large file at once: a sparse one, last written some time ago."""

import os
from pathlib import Path

from tests.orchestration.toy import ToyRecipe

GIGABYTE = 1 << 30


def run(config: ToyRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    with (out / "weights").open("wb") as file:
        file.truncate(config.steps * GIGABYTE)
    os.utime(out / "weights", (1e9, 1e9))
    return {}
