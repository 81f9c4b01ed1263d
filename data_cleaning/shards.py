"""Runs one function over many shards, here, in a pool of processes or on a Ray cluster, and resumes after a kill."""

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pyarrow as pa

from data_cleaning import ray_shards
from data_cleaning.files import write_json

SMALL_BYTES = 4 << 20


def default_workers() -> int:
    """Returns CRIA_WORKERS, or one worker per core; it does not affect results. Raises ValueError for a bad value."""
    stated = os.environ.get("CRIA_WORKERS", "")
    if not stated:
        return os.cpu_count() or 1
    if not stated.isdigit() or int(stated) < 1:
        raise ValueError(f"CRIA_WORKERS is {stated!r}: set it to a whole number of processes, 1 or more, or unset it")
    return int(stated)


def map_shards(
    function: Callable[[Path, Path], dict],
    shards: Sequence[Path],
    out: Path,
    log,
    workers: int | None = None,
    step: str = "shards",
    sizes: Sequence[int] | None = None,
) -> list[dict]:
    """Returns the results of `function(shard, out)` (JSON-able dicts of counts) in the order of `shards`.

    `function` is a module-level function or a functools.partial of one, because it is sent to other processes. It
    writes its results under the `out` that it is given, by temporary name and os.replace, reads nothing there and
    depends only on its arguments: an interrupted shard is made again from the start. A finished shard leaves its result
    in `out/_scratch/<step>/<name>.json` and is not made again. Give `step` another value if one stage maps twice. If
    results have "documents_in", progress is reported in documents per second.

    Work of less than SMALL_BYTES (`sizes`, by default those of the shards' files) runs in this process: starting others
    would take longer. Larger work runs on the Ray cluster that RAY_ADDRESS names, else in `default_workers` processes.
    `workers` asks for so many processes of this machine. An exception in a shard ends the stage: locally once the
    running shards are done, on Ray at once.
    """
    marks = out / "_scratch" / step
    marks.mkdir(parents=True, exist_ok=True)
    names = [shard.stem for shard in shards]
    if len(set(names)) != len(names):
        raise ValueError("two shards have the same name: their results would overwrite each other")
    todo = [shard for shard in shards if not (marks / f"{shard.stem}.json").exists()]
    if len(todo) < len(shards):
        log.info(f"{len(shards) - len(todo)} of {len(shards)} shards were finished before, continuing with the others")
    on_ray = False
    if workers is None:
        small = sum(sizes if sizes is not None else (shard.stat().st_size for shard in todo)) < SMALL_BYTES
        on_ray = ray_shards.wanted() and not small and bool(todo)
        workers = 1 if small else default_workers()
    work = function, todo, out, marks
    results = ray_shards.results(*work, log) if on_ray else _local(*work, workers)
    started, documents = time.monotonic(), 0
    with contextlib.closing(results):
        for finished, result in enumerate(results, len(shards) - len(todo) + 1):
            documents += result.get("documents_in", 0)
            rate = documents / max(time.monotonic() - started, 1e-6)
            log.progress(finished, len(shards), unit="shard", documents_per_s=round(rate))
    return [json.loads((marks / f"{name}.json").read_text()) for name in names]


def _local(
    function: Callable[[Path, Path], dict], todo: Sequence[Path], out: Path, marks: Path, workers: int
) -> Iterator[dict]:
    """Yields the results as they are finished, by this process or by up to `workers` others."""
    if min(workers, len(todo)) <= 1:
        for shard in todo:
            yield _finish(function, shard, out, marks)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_as_worker) as pool:
        futures = [pool.submit(_finish, function, shard, out, marks) for shard in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _finish(function: Callable[[Path, Path], dict], shard: Path, out: Path, marks: Path) -> dict:
    result = function(shard, out)
    write_json(marks / f"{shard.stem}.json", result)
    return result


def _as_worker() -> None:
    pa.set_cpu_count(1)  # the pool is the parallelism; nested threads would compete for the same cores
    threading.Thread(target=end_with_the_stage, daemon=True).start()


def end_with_the_stage() -> None:
    """Ends this worker with its stage: the workers of a killed stage would write beside the run that continues it."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
