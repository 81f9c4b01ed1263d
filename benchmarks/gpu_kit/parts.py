"""The parts that are measured, one function each. Each figure is written as soon as it is known."""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from benchmarks.gpu_kit import pretraining, rlhf, verdicts
from benchmarks.gpu_kit.task import Task
from benchmarks.gpu_kit.workshop import Workshop, peak_memory, reset_memory, synchronize
from modeling.core import runtime, sampling
from modeling.core.recipes import ModelRecipe, SamplingRecipe
from modeling.pretraining import model as models
from orchestration import scales
from orchestration.store import CHECKOUT


def measure(options: argparse.Namespace) -> None:
    """Runs the part `options.name`."""
    name = "tiny" if options.dry else "gpu"
    shop = Workshop(name, rlhf.shortened(scales.scale(name)), options.work / "stages" / name)
    task = Task(options.name, shop, options.out, options.dry, options.seconds)
    reset_memory()
    FUNCTIONS[options.name](task)
    if options.name in ("generation", "ppo"):  # the other parts report it for each run
        task.say("peak memory", peak_memory(), "GiB")


def machine(task: Task) -> None:
    """Records the card, the driver, the versions, and the peak speed of one matrix product."""
    on_gpu = torch.cuda.is_available()
    task.fact("card", torch.cuda.get_device_name() if on_gpu else f"CPU ({platform.machine()})")
    if on_gpu:
        query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
        asked = subprocess.run(query, capture_output=True, text=True)
        task.fact("driver and memory", asked.stdout.strip() if asked.returncode == 0 else "unknown")
        task.fact("CUDA", torch.version.cuda)
    task.fact("Python", platform.python_version())
    for package in ("torch", "transformers", "trl", "accelerate", "tokenizers", "datasets", "numpy"):
        task.fact(package, importlib.metadata.version(package))
    task.say("matrix product 8192³ in bf16" if on_gpu else "matrix product 1024³ in bf16",
             pretraining.matmul_flops() / 1e12, "TFLOP/s", "median")  # fmt: skip


def smoke(task: Task) -> None:
    """Runs the tests that need a GPU."""
    pytest(task, ["tests/gpu", "--timeout=90"])


def modeling_tests(task: Task) -> None:
    """Runs the modeling tests on this device, except those that fork the process or compare bytes."""
    folders = ("core", "pretraining", "finetuning", "rlhf", "safety")
    names = [f"tests/modeling/{name}" for name in (folders[:1] if task.dry else folders)]
    workers = ["-n", "6"] if importlib.util.find_spec("xdist") and not task.dry else []
    pytest(task, [*names, *workers, "-v", "-k", "not kill and not bytes"])


def pytest(task: Task, arguments: list[str]) -> None:
    """Runs tests, writes each verdict to the results, and exits with pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", verdicts.__name__, "--tb=short"]
    told = {verdicts.RESULTS: str(task.results), verdicts.PART: task.part, "CRIA_GPU_TESTS": "1"}
    done = subprocess.run([*command, *arguments], cwd=CHECKOUT, env={**os.environ, **told})
    sys.exit(done.returncode)


# The shape of SmolLM2-135M, which the scale `laptop` starts from.
SMOLLM2 = ModelRecipe(layers=30, heads=9, kv_heads=3, hidden=576, ffn=1536, context=2048, rope_theta=100_000.0,
                      norm_epsilon=1e-5, tied_embeddings=True, vocab_size=49_152)  # fmt: skip


def generation(task: Task) -> None:
    """Measures tokens/s of the sampling loop with untrained weights: few sequences end before the limit."""
    new = 8 if task.dry else 512
    shapes = {f"scale {task.shop.name}": task.shop.scale.base.model}
    if not task.dry:
        shapes["SmolLM2-135M's shape"] = SMOLLM2
    tokenizer = rlhf.tokenizer(task.shop)
    asked = rlhf.prompt_ids(task.shop, tokenizer, most=128)
    where = runtime.device()
    for name, recipe in shapes.items():
        model = models.build(recipe, tokenizer, 0)
        model = model.to(where, sampling.generation_dtype(where, model.num_parameters())).eval()
        sampling.generate_ids(model, tokenizer, asked[:4], SamplingRecipe(1.0, 0.95, 8, 0))  # warms up
        for rows, top_p in ((64, 0.95), (256, 0.95)) if recipe is not SMOLLM2 else ((256, 0.95),):
            prompts = [asked[row % len(asked)] for row in range(rows if not task.dry else 4)]
            synchronize()
            started = time.perf_counter()
            answers = sampling.generate_ids(model, tokenizer, prompts, SamplingRecipe(1.0, top_p, new, 1))
            synchronize()
            seconds = time.perf_counter() - started
            tokens = sum(len(ids) for row in answers for ids in row)
            task.say(f"{name}, {len(prompts)} rows, top_p {top_p}", tokens / seconds, "tokens/s",
                     f"{seconds / new * 1000:.1f} ms a step")  # fmt: skip


FUNCTIONS: dict[str, Callable[[Task], None]] = {
    "machine": machine,
    "smoke": smoke,
    "pretraining": pretraining.plain,
    "pretraining compiled": pretraining.compiled,
    "generation": generation,
    "rlhf round": rlhf.one_round,
    "ppo": rlhf.ppo,
    "tests of modeling": modeling_tests,
}
