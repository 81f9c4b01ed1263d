"""Pretraining and one RLHF round at scale `gpu`, shortened to a few minutes: tokens/s and memory of every stage.

Usage: make run SCALE=tiny, once, for the cleaned corpus; then python -m benchmarks.gpu_round FOLDER [--steps 100]
The recipes are scale gpu's but for the numbers of steps, prompts and samples; the models are kept in FOLDER.
"""

import argparse
import importlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from assets.finetuning import demonstrations, prompts, sft_model
from assets.pretraining import adopted_checkpoint, base_model, mixture, tokenizer, tokens
from assets.rlhf import rounds
from orchestration import records, scales
from orchestration.launchers import prepare_environment
from orchestration.stage import ScaleSettings, expanded_inputs, sources
from orchestration.store import artifact

CHAIN = (adopted_checkpoint, mixture, tokenizer, tokens, base_model, demonstrations, prompts, sft_model,
         *vars(rounds[0]).values())  # fmt: skip


class Speed:
    """A stage's log: says what it says, and remembers the speeds it tells."""

    def __init__(self) -> None:
        self.speeds: list[float] = []

    def info(self, text: str) -> None:
        print(f"    {text}", flush=True)

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        self.speeds += [figures["tokens_per_s"]] if figures.get("tokens_per_s") else []
        if done == total:
            print(f"    {unit} {done}/{total} {figures}", flush=True)


def shortened(scale: scales.Scale, steps: int) -> scales.Scale:
    """The same work a step, fewer steps, prompts and samples."""
    first = scale.rounds[0]
    first = replace(
        first,
        preferences=replace(first.preferences, prompts=256),
        rejection=replace(first.rejection, prompts=256, samples=8),
        policy=replace(first.policy, max_steps=20),
    )
    return replace(
        scale,
        base=replace(scale.base, steps=steps),
        sft=replace(scale.sft, max_steps=20),
        rounds=(first, *scale.rounds[1:]),
    )


def measure(stage, inputs: dict[str, Path], out: Path, recipe: Any) -> dict:
    """Runs one stage and returns seconds, median tokens/s where it tells them, and the most device memory it held."""
    out.mkdir(parents=True, exist_ok=True)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    log, started = Speed(), time.perf_counter()
    importlib.import_module(stage.module).run(recipe, inputs, out, log)
    seconds = time.perf_counter() - started
    speeds = sorted(log.speeds)
    memory = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return {"seconds": seconds, "tokens_per_s": speeds[len(speeds) // 2] if speeds else None, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=100, help="optimizer steps of pretraining")
    parser.add_argument("--scale", default="gpu", choices=("gpu", "tiny"), help="tiny: try the script on a CPU")
    options = parser.parse_args()
    settings = ScaleSettings(shortened(scales.scale(options.scale), options.steps), sources())
    rows = []
    for stage in CHAIN:
        inputs = {}
        for role, (parent, partition) in expanded_inputs(stage, options.scale).items():
            inputs[role] = options.folder / parent.key if parent in CHAIN else artifact(parent.key, partition)
            if parent not in CHAIN and records.read(inputs[role]) is None:
                raise SystemExit(f"{inputs[role]} is missing: make run SCALE=tiny first, for the cleaned corpus")
        print(stage.key, flush=True)
        rows.append((stage.key, measure(stage, inputs, options.folder / stage.key, stage.recipe(settings))))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"\n| stage ({device}) | seconds | tokens/s (median) | peak GiB |\n|---|---|---|---|")
    for key, row in rows:
        speed = f"{row['tokens_per_s']:,.0f}" if row["tokens_per_s"] else ""
        print(f"| {key} | {row['seconds']:.1f} | {speed} | {row['memory']:.1f} |")


if __name__ == "__main__":
    prepare_environment()
    main()
