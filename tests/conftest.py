"""Shared fixtures: one thread (threads that share cores with a busy process slow down tenfold) and a log that remembers."""

import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The servers of the tests are on this machine.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = f"{os.environ.get('NO_PROXY', '')},127.0.0.1,localhost".lstrip(",")
# The tests hold the CPU to equal bytes; what needs a GPU is in tests/gpu and asks for it by this variable.
if os.environ.get("CRIA_GPU_TESTS") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

from pathlib import Path

import pytest

from tests.databases import postgres, ratings_address  # noqa: F401  (fixtures for all tests)

ROOT = Path(__file__).resolve().parent.parent


class MemoryLog:
    """Keeps what a stage says, so that a test can read it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[int, int, dict]] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        self.steps.append((done, total, figures))


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture(scope="module", autouse=True)
def no_search_of_modules() -> None:
    """Stages collect garbage (data_cleaning/heap.py). What is loaded by now is none: unfrozen, it costs most of their time."""
    gc.collect()
    gc.freeze()
