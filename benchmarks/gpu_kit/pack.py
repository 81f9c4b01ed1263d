"""The kit: wheels that a bare GPU machine lacks, and inputs for training at scale `gpu`, small enough to transfer.

The corpus comes from a store with finished corpus stages. The stages themselves make mixture, tokenizer, tokens,
demonstrations and prompts from it, for `gpu` and, to test the kit on a CPU, for `tiny`.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from assets.corpus import dialogues
from assets.finetuning import (
    adversarial_prompts,
    demonstrations,
    open_preferences,
    prompts,
    ratings,
    sft_dialogues,
    synthetic_requests,
)
from assets.pretraining import initial_model, mixture, tokenizer, tokens
from benchmarks.gpu_kit.workshop import SpeedLog, Workshop
from orchestration import records, scales
from orchestration.stage import expanded_inputs
from orchestration.store import CHECKOUT, SCRATCH, artifact

# The GPU machine has torch and its dependencies, accelerate, huggingface_hub, pyarrow, pandas and pytest, and no network.
WHEELS = ("transformers", "tokenizers", "trl", "datasets", "dill", "multiprocess", "gguf")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
CARRIED = (
    initial_model, tokenizer, tokens, demonstrations, synthetic_requests, open_preferences, ratings, sft_dialogues,
    prompts,
)  # fmt: skip
# What the safety reward model reads of artifacts that all scales share: people's harm scores, and the split of prompts.
SHARED = {dialogues: ("sources.json", "*.csv"), adversarial_prompts: ("prompts.parquet",)}
SCALES = {"tiny": 500, "gpu": 0}  # most documents per source, 0: all
NAMED = 10  # number of largest files listed if the kit is too large


def pack(kit: Path, limit_bytes: int, python: str) -> None:
    """Replaces the folder and prints its size. Raises ValueError without a clean corpus or if the kit is too large."""
    corpus = clean_corpus()
    if kit.exists() and not (kit / "wheels").is_dir() and any(kit.iterdir()):
        raise ValueError(f"{kit} exists and is not a kit: name another folder, since pack replaces it")
    shutil.rmtree(kit, ignore_errors=True)
    download(kit / "wheels", python)
    with tempfile.TemporaryDirectory() as scratch:
        for name, documents in SCALES.items():
            scale = scales.scale(name)
            scale = replace(scale, mixture=replace(scale.mixture, max_documents_per_source=documents))
            make_inputs(Workshop(name, scale, Path(scratch) / name), corpus, kit / "inputs" / name)
    own = files_below(kit)
    size = check_size([*own, *travelling_files()], limit_bytes)
    print(f"{kit}: {total(own) / 1e6:.1f} MB, with the checkout {size / 1e6:.1f} MB of at most {limit_bytes / 1e6:.0f}")


def clean_corpus() -> dict[str, Path]:
    """Returns the mixture's inputs in the store. Raises ValueError that names a missing one."""
    inputs = {}
    for role, (parent, partition) in expanded_inputs(mixture, "gpu").items():
        inputs[role] = artifact(parent.key, partition)
        if records.read(inputs[role]) is None:
            raise ValueError(f"{inputs[role]} is missing: make run SCALE=tiny once, for the clean corpus")
    return inputs


def download(folder: Path, python: str) -> None:
    """Downloads wheels of the pinned versions for that Python on x86-64 Linux, without their dependencies."""
    pins = dict(line.split("==") for line in (CHECKOUT / "constraints.txt").read_text().split())
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(folder)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *(f"{name}=={pins[name]}" for name in WHEELS)], check=True)


def make_inputs(shop: Workshop, corpus: dict[str, Path], target: Path) -> None:
    """Runs the stages between the corpus and training. `target` receives the inputs of training and RLHF."""
    for stage in (mixture, *CARRIED):
        inputs = shop.inputs(stage)
        for role, (parent, partition) in expanded_inputs(stage, shop.name).items():
            if parent not in (mixture, *CARRIED):
                inputs[role] = artifact(parent.key, partition)
        started = time.perf_counter()
        shop.make(stage, SpeedLog(), corpus if stage is mixture else inputs)
        shutil.rmtree(shop.path(stage) / SCRATCH, ignore_errors=True)
        print(f"{shop.name} {stage.key}: {time.perf_counter() - started:.0f} s", flush=True)
    for stage in CARRIED:
        shutil.copytree(shop.path(stage), target / stage.key)
    for stage, patterns in SHARED.items():
        folder = artifact(stage.key, None)
        for path in (path for pattern in patterns for path in sorted(folder.rglob(pattern))):
            copy = target / stage.key / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def check_size(files: Iterable[Path], limit_bytes: int) -> int:
    """Returns the bytes of all files. Raises ValueError that lists the largest if they exceed the limit."""
    files = sorted(files, key=lambda path: path.stat().st_size, reverse=True)
    size = total(files)
    if size > limit_bytes:
        largest = "\n".join(f"  {path.stat().st_size / 1e6:8.1f} MB  {path}" for path in files[:NAMED])
        raise ValueError(
            f"{size / 1e6:.1f} MB are over the limit of {limit_bytes / 1e6:.0f} MB; the largest:\n{largest}"
        )
    return size


def total(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def travelling_files() -> list[Path]:
    """Returns the files of the checkout that git tracks or does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return [path for path in (CHECKOUT / name for name in listed.split("\0") if name) if path.is_file()]
