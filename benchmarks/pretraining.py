"""Speed of pretraining: the cost of the allocator, the Trainer and the batch, and the share of peak FLOP/s reached.

    python benchmarks/pretraining.py                 # scale scratch on the CPU (each row in its own process)
    python benchmarks/pretraining.py --scale gpu     # on a GPU

Rows: a bare loop (only forward, backward, clip, fused AdamW) and the stage itself (transformers' Trainer, logging),
each with glibc's default allocator settings and with those of the launcher. All rows have the same model, data and batch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from orchestration.launchers import ALLOCATOR  # noqa: E402


def bare_loop(recipe, data, seconds: float) -> tuple[float, float]:
    """Returns (tokens/s at the median step, at the fastest) of a minimal training loop."""
    import torch
    from torch.nn.utils import clip_grad_norm_

    from modeling.core.runtime import autocast, device
    from modeling.pretraining.model import build
    from modeling.pretraining.pretrain import collate

    where = device()
    model = build(recipe.model, None, recipe.seed).to(where).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    sequences = recipe.batch_tokens // recipe.model.context
    times: list[float] = []
    begin = time.perf_counter()
    for step in range(len(data) // sequences):
        if time.perf_counter() - begin > seconds and step > 5:
            break
        start = time.perf_counter()
        batch = collate([data[step * sequences + row] for row in range(sequences)])
        batch = {name: value.to(where) for name, value in batch.items()}
        with autocast(where):
            loss = model(**batch).loss
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        times.append(time.perf_counter() - start)
    return _speeds(times, recipe.batch_tokens)


def stage(recipe, data, seconds: float) -> tuple[float, float]:
    """Returns the same figures for modeling.pretraining.pretrain's Trainer."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from modeling.core.training import fit, split_batch, training_arguments
    from modeling.pretraining.model import build
    from modeling.pretraining.pretrain import collate

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            self.begin = self.last = time.perf_counter()

        def on_step_end(self, args, state, control, **kwargs):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            times.append(now - self.last)
            self.last = now
            if now - self.begin > seconds and len(times) > 5:
                control.should_training_stop = True

    class Silent:
        def info(self, text):
            pass

        def progress(self, *args, **figures):
            pass

    with tempfile.TemporaryDirectory() as folder:
        sequences = recipe.batch_tokens // recipe.model.context
        batch, accumulation = split_batch(sequences, recipe.model.context)
        arguments = training_arguments(
            TrainingArguments, Path(folder), recipe.optimizer, len(data) // sequences, batch=batch,
            accumulation=accumulation, seed=recipe.seed, train_sampling_strategy="sequential", remove_unused_columns=False,
        )  # fmt: skip
        model = build(recipe.model, None, recipe.seed)
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collate, callbacks=[Clock()])
        fit(trainer, Path(folder), Silent(), tokens_per_step=recipe.batch_tokens)
    return _speeds(times, recipe.batch_tokens)


def _speeds(times: list[float], tokens: int) -> tuple[float, float]:
    times = sorted(times[2:])
    return tokens / times[len(times) // 2], tokens / times[0]


def measure(kind: str, scale: str, seconds: float) -> dict:
    import numpy as np

    from modeling.pretraining.model import count_parameters_on_meta, matmul_flops_per_token
    from modeling.pretraining.pretrain import PackedSequences, speed_figures
    from orchestration import scales

    recipe = getattr(scales, scale)().base
    sequences = recipe.batch_tokens // recipe.model.context
    ids = np.random.default_rng(0).integers(0, recipe.model.vocab_size, 2_000_000).astype(np.uint32)
    recipe = replace(recipe, steps=2000)
    data = PackedSequences([ids], recipe.model.context, recipe.steps * sequences, 0)
    median, best = {"bare loop": bare_loop, "stage": stage}[kind](recipe, data, seconds)
    return {
        "kind": kind,
        "allocator": "tuned" if ALLOCATOR.keys() <= os.environ.keys() else "default",
        "parameters": count_parameters_on_meta(recipe.model),
        "fastest": round(best),
        **speed_figures(median, matmul_flops_per_token(recipe.model)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="scratch", help="scale that sets model and batch (default: scratch)")
    parser.add_argument("--seconds", type=float, default=15, help="seconds per row (default: 15)")
    parser.add_argument("--row", help=argparse.SUPPRESS)  # one measurement, in its own process
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(arguments.row, arguments.scale, arguments.seconds)))
        return
    for extra in ({}, ALLOCATOR):
        for kind in ("bare loop", "stage"):
            command = [sys.executable, __file__, "--row", kind, "--scale", arguments.scale]
            command += ["--seconds", str(arguments.seconds)]
            done = subprocess.run(command, env={**os.environ, **extra}, capture_output=True, text=True, check=True)
            print(done.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
