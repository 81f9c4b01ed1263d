"""A stage that trains a number in steps, with checkpoints of two files: one without its optimizer continues to another number."""

import shutil
from pathlib import Path

from tests.orchestration.toy import ToyRecipe


def run(config: ToyRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    checkpoints = out / "_scratch" / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    weights, momentum, done = 0, config.seed, 0
    for checkpoint in sorted(checkpoints.iterdir()):
        if not (checkpoint / "COMPLETE").exists():
            shutil.rmtree(checkpoint)
            continue
        done = int(checkpoint.name)
        weights = int((checkpoint / "weights").read_text())
        optimizer = checkpoint / "optimizer"
        momentum = int(optimizer.read_text()) if optimizer.exists() else config.seed
    for step in range(done + 1, config.steps + 1):
        momentum = momentum * 31 % 1009
        weights += momentum
        checkpoint = checkpoints / str(step)
        checkpoint.mkdir()
        (checkpoint / "weights").write_text(str(weights))
        (checkpoint / "optimizer").write_text(str(momentum))
        (checkpoint / "COMPLETE").touch()
    (out / "model").write_text(str(weights))
    return {"steps": config.steps}
