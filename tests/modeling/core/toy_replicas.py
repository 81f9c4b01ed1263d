"""Chunks made in several processes: what the processes run, and notes of who made what."""

import functools
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from data_cleaning import ray_shards
from modeling.core import resumable_generation, runtime
from modeling.core.recipes import SamplingRecipe
from modeling.core.resumable_generation import _answer as answer
from tests.conftest import MemoryLog

PROMPTS, SAMPLES, CHUNK = 24, 4, 16  # six chunks of four prompts
RECIPE = SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=12, seed=5)


def noted_answer(notes: Path, recipe, samples, purpose, model, tokenizer, number: int, prompts, log) -> list:
    """Notes the chunk, and works once as many processes are at work as the notes ask for.

    Kills its process once in chunk 1 and waits in chunk 3 as long as the notes ask for it.
    """
    (notes / f"chunk-{number}-{time.monotonic_ns()}").write_text(
        f"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']} {ray_shards.__file__} {resumable_generation.__file__}"
    )
    wanted = notes / "processes"
    while wanted.exists() and len(processes(notes)) < int(wanted.read_text()):
        time.sleep(0.05)
    if number == 1 and (notes / "kill").exists():
        (notes / "kill").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    while number == 3 and (notes / "hold").exists():
        time.sleep(0.05)
    log.info(f"made chunk {number}")
    return answer(recipe, samples, purpose, model, tokenizer, number, prompts, log)


def nothing(model_dir: Path) -> tuple[None, None]:
    """A model that needs no loading."""
    return None, None


def broken(model, tokenizer, number: int, items, log) -> list:
    raise ValueError(f"chunk {number} is broken")


def made(notes: Path) -> Counter:
    """Number of chunk → how often it was begun."""
    return Counter(int(path.name.split("-")[1]) for path in notes.glob("chunk-*"))


def processes(notes: Path) -> set[str]:
    """Their ids, each with the GPU that it sees and the files of its code."""
    return {said for path in notes.glob("chunk-*") if (said := path.read_text())}


def answers(policy: Path, scratch: Path, notes: Path, gpus: list[str], log) -> list:
    """The answers of a policy to PROMPTS prompts, on these GPUs."""
    asked = [[{"role": "user", "content": f"Which colours do you see now? {n}"}] for n in range(PROMPTS)]
    runtime.gpus = lambda: gpus
    resumable_generation._answer = functools.partial(noted_answer, notes)
    resumable_generation.CHUNK_ANSWERS = CHUNK
    return resumable_generation.answer_all(policy, asked, RECIPE, SAMPLES, "test", scratch, log)


def alone(policy: Path, folder: Path, log) -> list:
    """The answers that this process makes, in `folder`/one."""
    (folder / "alone").mkdir()
    rows = answers(policy, folder / "one", folder / "alone", [], log)
    assert {said.split()[0] for said in processes(folder / "alone")} == {str(os.getpid())}
    return rows


def set_back(monkeypatch) -> None:
    """What `answers` sets is set back after the test."""
    monkeypatch.setattr(runtime, "gpus", runtime.gpus)
    for name in ("_answer", "CHUNK_ANSWERS"):
        monkeypatch.setattr(resumable_generation, name, getattr(resumable_generation, name))


if __name__ == "__main__":  # a stage that a test kills
    folder, scratch, notes = map(Path, sys.argv[1:])
    answers(folder, scratch, notes, ["a", "b"], MemoryLog())
