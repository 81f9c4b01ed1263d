"""One scale's artifacts in a plain folder, made by the stages themselves, and a log that keeps reported speeds."""

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.scales import Scale
from orchestration.stage import ScaleSettings, Stage, expanded_inputs, sources


class EnoughError(Exception):
    """Raised by a log to end a stage that has run long enough."""


class SpeedLog:
    """A stage's log that prints messages and keeps (seconds, step, tokens/s).

    It ends the stage `limit` seconds after the first speed.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit, self.begin = limit, time.perf_counter()
        self.points: list[tuple[float, int, float]] = []
        self.printed = 0.0

    def info(self, text: str) -> None:
        print(f"    {text}", flush=True)

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        now = time.perf_counter() - self.begin
        if figures.get("tokens_per_s"):
            self.points.append((now, done, figures["tokens_per_s"]))
        if done == total or now - self.printed > 5:
            self.printed = now
            print(f"    {now:6.1f} s  {unit} {done}/{total} {figures}", flush=True)
        if self.limit is not None and self.points and now - self.points[0][0] > self.limit:
            raise EnoughError

    def speed(self) -> float:
        """Returns the median tokens/s over the last four fifths of the reported speeds, without the first one."""
        speeds = sorted(speed for _, _, speed in self.points[max(1, len(self.points) // 5) :] or self.points)
        return speeds[len(speeds) // 2] if speeds else 0.0


@dataclass(frozen=True)
class Workshop:
    """Artifacts of scale `name` under `folder`, one subfolder per stage. Has no records and publishes nothing."""

    name: str
    scale: Scale
    folder: Path

    def path(self, stage: Stage) -> Path:
        return self.folder / stage.key

    def inputs(self, stage: Stage) -> dict[str, Path]:
        return {role: self.path(parent) for role, (parent, _) in expanded_inputs(stage, self.name).items()}

    def recipe(self, stage: Stage) -> Any:
        return stage.recipe(ScaleSettings(self.name, self.scale, sources()))

    def make(self, stage: Stage, log: Any, inputs: dict[str, Path] | None = None, recipe: Any = None) -> dict:
        """Runs the stage in its folder. Returns its metrics."""
        out = self.path(stage)
        out.mkdir(parents=True, exist_ok=True)
        module = importlib.import_module(stage.module)
        return module.run(recipe or self.recipe(stage), inputs or self.inputs(stage), out, log)


class Stopwatch:
    """Seconds, and tokens or answers, of watched functions by label. Synchronizes the GPU before it reads the clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.tokens: dict[str, int] = {}

    @contextmanager
    def watching(self, owner: Any, name: str, label: str, count=None) -> Iterator[None]:
        """Times calls of `owner.name`; `count(result)` adds to the label's tokens."""
        inner = getattr(owner, name)

        def timed(*arguments, **named):
            synchronize()
            started = time.perf_counter()
            result = inner(*arguments, **named)
            synchronize()
            self.seconds[label] = self.seconds.get(label, 0.0) + time.perf_counter() - started
            if count is not None:
                self.tokens[label] = self.tokens.get(label, 0) + count(result)
            return result

        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, inner)


def synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def reset_memory() -> None:
    """Frees cached memory and resets the peak."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> float:
    """Returns the peak GiB of tensors on the GPU since `reset_memory`; 0 without a GPU."""
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
