"""Makes shards as tasks of a Ray cluster; a shard whose worker is lost is made again by another one.

Every attempt writes into a folder of its own and renames its files into `out` when they are complete. A node that lost
only its connection may still work on a shard while another node makes it again: neither sees unfinished files of the
other, and both rename the same bytes into place. Workers run this process's `data_cleaning`, which Ray sends to them.
Ray sends functions by pickle, as the local pool of processes does: a cluster runs code of whoever reaches its ports.
"""

import importlib.metadata
import logging
import os
import platform
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from data_cleaning.files import write_json

ADDRESS = "RAY_ADDRESS"
ATTEMPTS = Path("_scratch") / "attempts"  # under `out`
LOST_WORKERS = 3  # a shard may lose this many workers: one that ends every worker must not be retried for ever
CONNECTION_TRIES = 3
ANSWERS_WITHIN_S = 10.0  # the head of a cluster
LOOK_AGAIN_S = 1.0
SEEN_WITHIN_S = 120.0  # an NFS client may show an old list of a folder's files for a minute
# The packages that the bytes of documents depend on. Ray itself compares its own version and Python's.
PACKAGES = ("numpy", "pyarrow", "xxhash", "datasketch", "fasttext-community", "resiliparse", "fastwarc", "pyppmd",
            "phonenumbers")  # fmt: skip


def wanted() -> bool:
    """Returns whether RAY_ADDRESS names a cluster."""
    return bool(os.environ.get(ADDRESS))


def results(
    function: Callable[[Path, Path], dict], shards: Sequence[Path], out: Path, marks: Path, log
) -> Iterator[dict]:
    """Yields the result of `function(shard, folder)` of each shard as it is finished; `marks` then holds it as JSON.

    Raises the exception of a shard's function, which is never retried; RuntimeError if a shard lost too many workers or
    its files do not appear here; ValueError if Ray is not installed; ConnectionError if the cluster does not answer.
    """
    ray = library()
    attempts = out / ATTEMPTS
    shutil.rmtree(attempts, ignore_errors=True)
    attempts.mkdir(parents=True)
    made: list[Path] = []
    with connected(ray, Path(__file__).parent):
        cpus = ray.cluster_resources().get("CPU", 0)
        log.info(f"{len(shards)} shards as Ray tasks, on {cpus:g} CPUs now, at {os.environ[ADDRESS]}")
        task = ray.remote(num_cpus=1, max_retries=LOST_WORKERS, retry_exceptions=False)(_attempt)
        packages = installed()
        waiting = {task.remote(function, shard, out, marks, packages): shard for shard in shards}
        while waiting:
            for done in ray.wait(list(waiting), num_returns=len(waiting), timeout=LOOK_AGAIN_S)[0]:
                result, files = _result(ray, done, waiting.pop(done))
                made += files
                yield result
    if lost := sum(len(os.listdir(folder)) for folder in attempts.iterdir()):
        log.info(f"{lost} attempts ended with their worker or node; other workers made these shards again")
    shutil.rmtree(attempts, ignore_errors=True)
    _wait_until_seen(made)


def library():
    """Returns the module ray. Raises ValueError if it is not installed."""
    try:
        import ray
    except ImportError:
        raise ValueError(f"{ADDRESS} is set, but Ray is not installed: `make cluster` installs it") from None
    return ray


@contextmanager
def connected(ray, *packages: Path) -> Iterator[None]:
    """Connects this process to the cluster at RAY_ADDRESS, and ends its tasks when it leaves.

    Workers run the code of these packages. Raises ConnectionError if the cluster does not answer.
    """
    _refuse_silent(os.environ[ADDRESS])
    before = signal.getsignal(signal.SIGTERM)
    talk = logging.getLogger("ray._private.worker")  # of how it connects; it speaks again when a node is lost
    talk.setLevel(logging.ERROR)
    try:
        # As their working directory: of modules alone, a checkout at this path on the worker's machine would go first.
        with tempfile.TemporaryDirectory() as sent:
            for package in packages:
                shutil.copytree(package, Path(sent) / package.name, ignore=shutil.ignore_patterns("__pycache__"))
            _connect(ray, sent)
    finally:
        talk.setLevel(logging.NOTSET)
        if threading.current_thread() is threading.main_thread():  # Ray sets a handler of its own only there
            signal.signal(signal.SIGTERM, before)
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Raises ConnectionError if nothing listens at a stated HOST:PORT: Ray itself would try for five minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # Ray looks for a cluster itself, as at "auto"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error}): set {ADDRESS} to the address of one"
        ) from error


def _connect(ray, folder: str) -> None:
    """Connects; workers run the code in `folder`. Raises ConnectionError if the cluster refuses every try."""
    for left in reversed(range(CONNECTION_TRIES)):
        try:
            ray.init(runtime_env={"working_dir": folder})
            return
        except ConnectionAbortedError:  # at ray:// the head starts a process for us, which sometimes dies at once
            if not left:
                raise


def _result(ray, reference, shard: Path) -> tuple[dict, list[Path]]:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise RuntimeError(
            f"{shard.name}: its worker or its node ended {LOST_WORKERS + 1} times. The last time: {error}"
        ) from error


def _attempt(
    function: Callable[[Path, Path], dict], shard: Path, out: Path, marks: Path, packages: dict[str, str | None]
) -> tuple[dict, list[Path]]:
    """Makes one shard in a worker. Returns its result and the files that it made in `out`, its mark among them.

    Raises ValueError if the worker has other packages than the driver, RuntimeError if it does not see `out` or if the
    shard has ended too many workers.
    """
    refuse_other(packages)
    pa.set_cpu_count(1)  # the cluster is the parallelism
    refuse_unseen(out / ATTEMPTS)
    attempts = out / ATTEMPTS / shard.stem
    attempts.mkdir(exist_ok=True)
    if (lost := len(os.listdir(attempts))) > LOST_WORKERS:  # Ray repeats without end what ran out of memory
        raise RuntimeError(f"{shard.name}: its worker or its node ended {lost} times")
    folder = Path(tempfile.mkdtemp(dir=attempts))
    try:
        result = function(shard, folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in files:
            place = out / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
        write_json(folder / "mark.json", result)
        mark = marks / f"{shard.stem}.json"
        os.replace(folder / "mark.json", mark)  # last: the other files are in place
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result, [*(out / path.relative_to(folder) for path in files), mark]


def refuse_unseen(folder: Path) -> None:
    """Raises RuntimeError if this machine does not see a folder of the store."""
    if not folder.is_dir():
        raise RuntimeError(
            f"{platform.node()} does not see {folder}: the store (CRIA_STORE) must lie on a file system that all nodes "
            "of the cluster mount under the same path"
        )


def installed(names: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Returns the packages' versions in this environment, without the kind of build; None for one not installed."""
    found = {one.name.lower(): one.version.partition("+")[0] for one in importlib.metadata.distributions()}
    return {name: found.get(name) for name in names}


def refuse_other(packages: dict[str, str | None]) -> None:
    """Raises ValueError if this environment has other versions: the same stage would make other bytes here."""
    here = installed(packages)
    other = [f"{name} {here[name]} instead of {version}" for name, version in packages.items() if here[name] != version]
    if other:
        raise ValueError(
            f"the Ray worker on {platform.node()} has {', '.join(other)}: install requirements.txt with "
            "constraints.txt on every node"
        )


def _wait_until_seen(files: Iterable[Path]) -> None:
    """Waits until the folders list the files that workers made. Raises RuntimeError for one that does not appear.

    A stage lists its folders when its shards are finished; with an old list it would leave documents out.
    """
    missing, deadline = set(files), time.monotonic() + SEEN_WITHIN_S
    while missing:
        listed = {folder: set(os.listdir(folder)) for folder in {path.parent for path in missing}}
        missing = {path for path in missing if path.name not in listed[path.parent]}
        if missing and time.monotonic() > deadline:
            raise RuntimeError(f"a Ray worker wrote {min(missing)}, but it does not appear here: is the store shared?")
        if missing:
            time.sleep(LOOK_AGAIN_S)
