"""Replicas of a model share the chunks of a stage's work: one in this process, on each GPU, or on each GPU of a cluster.

A stage runs once, in the process that calls `results`. It gives each free replica a chunk and stores what comes back. So
replicas write no files, no two make the same chunk, and a lost one costs the chunk it was at. Chunks are independent:
the rows are the same however many devices take part, up to the rounding of other GPUs.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from data_cleaning import ray_shards, shards
from modeling.core import runtime, sampling

LOST_WORKERS = 3  # a chunk may lose this many replicas: one that ends every process must not be tried for ever
LOOK_AGAIN_S = 1.0
# Rows depend on them: a worker of a cluster must have the versions of the stage's own process.
PACKAGES = ("torch", "transformers", "tokenizers", "numpy")

Chunk = tuple[int, Sequence]  # its number, its items


@dataclass(frozen=True)
class Work:
    """What replicas do: `make(*load(model_dir), number, items, log)` returns the rows of a chunk.

    Both are functions of modules, or partials of them, because they are sent to other processes.
    """

    model_dir: Path
    load: Callable[[Path], tuple[Any, Any]]
    make: Callable[..., list]


class LostError(Exception):
    """The process of a replica, or its machine, is gone."""


class Lines:
    """A log whose lines travel back with the rows."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        """Only the stage's own process knows how far all replicas are."""


class Replica:
    """A model that loads when the first chunk comes."""

    def __init__(self, work: Work, packages: dict[str, str | None] | None = None) -> None:
        self.work, self.packages = work, packages or {}
        self.loaded: tuple[Any, Any] | None = None

    def begin(self) -> None:
        """Raises ValueError in a worker with other packages, RuntimeError in one that does not see the model."""
        ray_shards.refuse_other(self.packages)
        ray_shards.refuse_unseen(self.work.model_dir)

    def make(self, number: int, items: Sequence) -> tuple[list, list[str]]:
        """(the rows of a chunk, what was logged)."""
        self.loaded = self.loaded or self.work.load(self.work.model_dir)
        log = Lines()
        return self.work.make(*self.loaded, number, items, log), log.said


class Worker(Protocol):
    """A replica in another process. `begin` and `make` return at once."""

    def begin(self) -> Future: ...

    def make(self, number: int, items: Sequence) -> Future: ...

    def error(self, future: Future) -> BaseException | None:
        """Why it failed; LostError if its process is gone."""

    def end(self) -> None: ...


def results(work: Work, todo: Iterable[Chunk], count: int, log) -> Iterator[tuple[int, list]]:
    """Yields (number, rows) of the `count` chunks of `todo` as they are finished, in any order.

    `todo` is read as replicas become free. If a replica fails, the others finish their chunks, and its exception is
    raised. Raises RuntimeError if a chunk lost too many replicas, and what ray_shards.connected raises.
    """
    if runtime.processes() > 1:  # of a training: they hold the other devices
        yield from _here(work, todo, log)
        return
    if ray_shards.wanted():
        ray = ray_shards.library()
        with ray_shards.connected(ray, Path(ray_shards.__file__).parent, Path(__file__).parents[1]):
            if gpus := _cluster_gpus(ray):
                log.info(f"{count} chunks on the {gpus} GPUs of the Ray cluster at {os.environ[ray_shards.ADDRESS]}")
                yield from shared(lambda: _Actor(ray, work), lambda: _cluster_gpus(ray), todo, count, log)
                return
    names = runtime.gpus()
    if min(len(names), count) > 1:
        log.info(f"{count} chunks on {len(names)} GPUs")
        sampling.free_memory()  # of this process, on the GPU that one replica gets
        free = list(names)
        yield from shared(lambda: _Process(free, work), lambda: len(names), todo, count, log)
    else:
        yield from _here(work, todo, log)


def _here(work: Work, todo: Iterable[Chunk], log) -> Iterator[tuple[int, list]]:
    loaded = None
    for number, items in todo:
        loaded = loaded or work.load(work.model_dir)
        yield number, work.make(*loaded, number, items, log)
    loaded = None
    sampling.free_memory()


def shared(
    start: Callable[[], Worker], devices: Callable[[], int], todo: Iterable[Chunk], count: int, log
) -> Iterator[tuple[int, list]]:
    """The results of workers that `start` starts, one for each of the devices that there are at the time.

    A chunk goes to a worker that is ready, so one that waits for a device holds up nothing.
    """
    chunks, left = iter(todo), count
    idle: list[Worker] = []
    busy: dict[Future, tuple[Worker, Chunk | None]] = {}  # None: it begins
    lost: list[Chunk] = []
    losses: Counter = Counter()
    failed: BaseException | None = None
    try:
        while left and (failed is None or any(chunk for _, chunk in busy.values())):
            while failed is None and len(busy) + len(idle) < min(max(1, devices()), left):
                worker = start()
                busy[worker.begin()] = worker, None
            while failed is None and idle and (chunk := lost.pop() if lost else next(chunks, None)):
                worker = idle.pop()
                busy[worker.make(*chunk)] = worker, chunk
            for future in wait(busy, LOOK_AGAIN_S, FIRST_COMPLETED).done:
                worker, chunk = busy.pop(future)
                error = worker.error(future)
                if isinstance(error, LostError):
                    worker.end()
                    what = f"chunk {chunk[0]}" if chunk else "the start"
                    losses[what] += 1
                    log.info(f"{error} at {what}; another one takes its place")
                    if losses[what] > LOST_WORKERS:
                        failed = RuntimeError(f"{what} ended {losses[what]} processes; the last time: {error}")
                    lost += [chunk] if chunk else []
                elif error is not None:
                    log.info(f"a replica failed ({error}); the others finish their chunks")
                    failed = failed or error
                    idle.append(worker)
                else:
                    idle.append(worker)
                    if chunk:
                        rows, lines = future.result()
                        left -= 1
                        for line in lines:
                            log.info(line)
                        yield chunk[0], rows
        if failed is not None:
            raise failed
    finally:
        for worker in {*idle, *(worker for worker, _ in busy.values())}:
            worker.end()


class _Process:
    """A worker in a process of this machine that sees one GPU."""

    def __init__(self, free: list[str], work: Work) -> None:
        """Takes one of the `free` GPUs; `end` puts it back."""
        self.free, self.gpu = free, free.pop(0)
        # A pool of one process: it starts the process, passes calls and notices its end.
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_enter, initargs=(self.gpu, work))

    def begin(self) -> Future:
        return self.pool.submit(_replica_begins)

    def make(self, number: int, items: Sequence) -> Future:
        try:
            return self.pool.submit(_replica_makes, number, items)
        except BrokenProcessPool as error:  # it was killed while it had nothing to do
            future: Future = Future()
            future.set_exception(error)
            return future

    def error(self, future: Future) -> BaseException | None:
        error = future.exception()
        return LostError(f"the process on GPU {self.gpu} was killed") if isinstance(error, BrokenProcessPool) else error

    def end(self) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.free.append(self.gpu)


_replica: Replica  # of a process that _Process starts


def _enter(gpu: str, work: Work) -> None:
    global _replica
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before anything uses CUDA
    threading.Thread(target=shards.end_with_the_stage, daemon=True).start()
    _replica = Replica(work)


def _replica_begins() -> None:
    _replica.begin()


def _replica_makes(number: int, items: Sequence) -> tuple[list, list[str]]:
    return _replica.make(number, items)


class _Actor:
    """A worker as an actor of a Ray cluster that holds one GPU; it waits in Ray's line until one is free."""

    def __init__(self, ray, work: Work) -> None:
        self.ray = ray
        self.actor = ray.remote(num_gpus=1)(Replica).remote(work, ray_shards.installed(PACKAGES))

    def begin(self) -> Future:
        return self.actor.begin.remote().future()

    def make(self, number: int, items: Sequence) -> Future:
        return self.actor.make.remote(number, items).future()

    def error(self, future: Future) -> BaseException | None:
        error = future.exception()
        if isinstance(error, self.ray.exceptions.RayTaskError):
            return error.cause
        gone = isinstance(error, self.ray.exceptions.RayError)
        return LostError(f"a worker of the cluster or its machine ended ({error})") if gone else error

    def end(self) -> None:
        self.ray.kill(self.actor)


def _cluster_gpus(ray) -> int:
    return int(ray.cluster_resources().get("GPU", 0))
