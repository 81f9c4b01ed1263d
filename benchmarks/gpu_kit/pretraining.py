"""Pretraining by the stage itself: the fastest micro-batch, then tokens/s, MFU and memory, with and without compile.

MFU is the model's FLOPs over the FLOPs the card could do in the same time. Two counts of FLOPs per token are common:

    the stage's   6 · matrix weights (output matrix included, embedding not) + 6 · layers · hidden · context (causal)
    PaLM's        6 · all parameters + 12 · layers · hidden · context (attention counted whole)
"""

import contextlib
import importlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from assets.pretraining import base_model
from benchmarks.gpu_kit.task import Task
from benchmarks.gpu_kit.workshop import EnoughError, SpeedLog, peak_memory, reset_memory, synchronize
from modeling.core import runtime
from modeling.pretraining import model as models
from modeling.pretraining.pretrain import peak_flops

MICRO_BATCHES = (8, 16, 32)  # sequences of the context length
TRIAL_SECONDS = 4.0  # after the first reported speed
PLAIN_SHARE = 2 / 3  # of the time; the compiled model gets the rest
TRIAL_STEPS = 1000  # enough that the stage reports speeds every ten steps; never reached
PROFILED_STEPS, FIRST_PROFILED = 4, 8
LEAST_STEPS = 20


def plain(task: Task) -> None:
    """Finds the fastest micro-batch, pretrains for two thirds of `task.seconds`, and profiles the kernels.

    Later parts use the pretrained model.
    """
    os.environ["CRIA_COMPILE"] = "0"
    speeds = {}
    for rows in (2, 4) if task.dry else MICRO_BATCHES:
        os.environ["CRIA_MICRO_BATCH"] = str(rows)
        reset_memory()
        try:
            speeds[rows] = trial(task, SpeedLog(1.0 if task.dry else TRIAL_SECONDS)).speed()
        except torch.OutOfMemoryError:
            task.say(f"micro-batch {rows}", "out of memory")
            continue
        task.say(f"micro-batch {rows}", speeds[rows], "tokens/s", f"a trial; peak {peak_memory():.1f} GiB")
    best = max(speeds, key=speeds.get)
    os.environ["CRIA_MICRO_BATCH"] = str(best)
    chosen(task).write_text(str(best))
    reset_memory()
    most = 15 * tokens_there(task) // task.shop.scale.base.batch_tokens  # the stage refuses more than 16 epochs
    steps = int(PLAIN_SHARE * task.seconds * speeds[best] / task.shop.scale.base.batch_tokens)
    recipe = replace(task.shop.scale.base, steps=max(LEAST_STEPS, min(steps, most)))
    log = SpeedLog()
    metrics = task.shop.make(base_model, log, recipe=recipe)
    report(task, log, f"{recipe.steps} steps, micro-batch {best}")
    task.say("MFU in the stage's own record", metrics.get("mfu", "unknown"), "", f"{metrics['tokens_per_s']:,} tokens/s "
             f"over the whole run, including the start; final loss {metrics['final_loss']}")  # fmt: skip
    reset_memory()
    profile(task, task.out / "kernels.txt")


def compiled(task: Task) -> None:
    """Pretrains the compiled model for the last third of `task.seconds`."""
    os.environ["CRIA_COMPILE"] = "1"
    best = chosen(task).read_text() if chosen(task).exists() else "2" if task.dry else "16"
    os.environ["CRIA_MICRO_BATCH"] = best
    reset_memory()
    log = trial(task, SpeedLog((1 - PLAIN_SHARE) * task.seconds))
    report(task, log, f"micro-batch {best}; {log.points[0][0]:.0f} s to the first speed, compiling included")


def chosen(task: Task) -> Path:
    return task.shop.folder / "micro_batch"


def tokens_there(task: Task) -> int:
    return json.loads((task.shop.folder / "tokens" / "tokens.json").read_text())["tokens"]


def trial(task: Task, log: SpeedLog, steps: int = TRIAL_STEPS) -> SpeedLog:
    """Runs the stage until its log ends it, and deletes its output."""
    out = task.shop.folder / "trial"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    recipe = replace(task.shop.scale.base, steps=steps)
    with contextlib.suppress(EnoughError):
        importlib.import_module(base_model.module).run(recipe, task.shop.inputs(base_model), out, log)
    return log


def report(task: Task, log: SpeedLog, remark: str) -> None:
    """Records median tokens/s, MFU against measured and published rates, and peak memory."""
    speed, recipe = log.speed(), task.shop.scale.base.model
    task.say("pretraining", speed, "tokens/s", f"median; {remark}")
    parameters = models.count_parameters_on_meta(recipe)
    counts = {
        "the stage's count": models.matmul_flops_per_token(recipe),
        "PaLM's count": 6 * parameters + 12 * recipe.layers * recipe.hidden * recipe.context,
    }
    rates = {"the measured matrix product": matmul_flops()}
    if torch.cuda.is_available() and peak_flops(torch.cuda.get_device_name()):
        rates["the data sheet"] = peak_flops(torch.cuda.get_device_name())
    for count, flops in counts.items():
        for rate, most in rates.items():
            remark = f"{flops / 1e6:,.0f} MFLOP per token against {most / 1e12:,.1f} TFLOP/s"
            task.say(f"MFU by {count} against {rate}", 100 * speed * flops / most, "%", remark)
    task.say("peak memory of pretraining", peak_memory(), "GiB", f"{parameters:,} parameters")


def matmul_flops() -> float:
    """Returns the median FLOP/s of 20 square bf16 matrix products of random numbers."""
    where = runtime.device()
    size, repeats = (8192, 20) if where.type == "cuda" else (1024, 5)
    left, right = (torch.randn(size, size, device=where, dtype=torch.bfloat16) for _ in range(2))
    seconds = [clocked(lambda: left @ right) for _ in range(3 + repeats)][3:]
    return 2 * size**3 / sorted(seconds)[len(seconds) // 2]


def clocked(work: Callable[[], object]) -> float:
    synchronize()
    started = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - started


class ProfilingLog(SpeedLog):
    """Profiles a few steps of a stage that reports every step, then ends it."""

    def __init__(self) -> None:
        super().__init__()
        on_gpu = torch.cuda.is_available()
        activity = torch.profiler.ProfilerActivity
        self.profiler = torch.profiler.profile(activities=[activity.CPU, *([activity.CUDA] if on_gpu else [])])
        self.started, self.seconds = 0.0, 0.0

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        if done == FIRST_PROFILED:
            synchronize()
            self.profiler.start()
            self.started = time.perf_counter()
        if done == FIRST_PROFILED + PROFILED_STEPS:
            synchronize()
            self.seconds = time.perf_counter() - self.started
            self.profiler.stop()
            raise EnoughError


def profile(task: Task, path: Path) -> None:
    """Writes the longest kernels of a few steps to `path`, and records the share of time the device computes."""
    log = ProfilingLog()
    trial(task, log, steps=4 * FIRST_PROFILED)  # few enough that the stage reports each step
    averages = log.profiler.key_averages()
    on_gpu = torch.cuda.is_available()
    order = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    path.write_text(averages.table(sort_by=order, row_limit=40, max_name_column_width=90), encoding="utf-8")
    if on_gpu:
        busy = sum(row.self_device_time_total for row in averages if row.device_type.name == "CUDA") / 1e6
        task.say("the GPU computes", 100 * busy / log.seconds, "% of the time",
                 f"{PROFILED_STEPS} steps of {log.seconds / PROFILED_STEPS:.3f} s under the profiler")  # fmt: skip
        kernels = sorted((row for row in averages if row.device_type.name == "CUDA"),
                         key=lambda row: -row.self_device_time_total)[:12]  # fmt: skip
        for row in kernels:
            task.say(f"kernel {row.key[:70]}", 100 * row.self_device_time_total / 1e6 / log.seconds, "% of the time",
                     f"{row.count // PROFILED_STEPS} calls per step")  # fmt: skip
