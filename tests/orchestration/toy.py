"""A stage that counts to `steps`, one file a step, and can be told to die on the way: what the machinery is tested with."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ToyRecipe:
    steps: int
    seed: int


def run(config: ToyRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    (out / "_scratch").mkdir(exist_ok=True)
    made = 0
    for step in range(config.steps):
        path = out / f"{step}.txt"
        if path.exists():
            continue
        if os.environ.get("TOY_DIES_AT") == str(step):
            os._exit(9)
        path.write_text(f"{config.seed} {step} {sorted(inputs)}")
        made += 1
        log.progress(step + 1, config.steps)
    return {"steps": config.steps, "made_now": made}


def even(artifact: Path, inputs: dict[str, Path], recipe: ToyRecipe):
    count = len(list(artifact.glob("*.txt")))
    return count % 2 == 0, f"{count} files", {"files": count}
