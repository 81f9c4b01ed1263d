"""A stage that counts to `steps`, one file a step: what the machinery is tested with.

It can be told to die on the way, to write what another device would, and to wait for a file before its last step.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from orchestration.stage import SCALE, Stage


@dataclass(frozen=True)
class ToyRecipe:
    steps: int
    seed: int


def toy(key: str, steps: int = 3, seed: int = 1, module: str = __name__, **inputs: Stage) -> Stage:
    """A stage of this module, or of another with the same recipe."""
    return Stage(key, module, "toys", SCALE, lambda s: ToyRecipe(steps, seed), "-", "a toy", tuple(inputs.items()))


def run(config: ToyRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    (out / "_scratch").mkdir(exist_ok=True)
    made = 0
    for step in range(config.steps):
        path = out / f"{step}.txt"
        if path.exists():
            continue
        if os.environ.get("TOY_DIES_AT") == str(step):
            os._exit(9)
        while step == config.steps - 1 and not os.path.exists(os.environ.get("TOY_WAITS_FOR", "/")):
            time.sleep(0.01)
        path.write_text(f"{config.seed} {step} {sorted(inputs)} {os.environ.get('TOY_DEVICE')}")
        made += 1
        log.progress(step + 1, config.steps)
    return {"steps": config.steps, "made_now": made}


def even(artifact: Path, inputs: dict[str, Path], recipe: ToyRecipe):
    count = len(list(artifact.glob("*.txt")))
    return count % 2 == 0, f"{count} files", {"files": count}
