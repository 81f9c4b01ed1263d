"""A stage of modeling as workers of a Ray cluster: a gang of actors, one a GPU, that train as torch.distributed processes.

Ray gives each worker a GPU (or cores) of its own, all of them at once or none (a placement group). Each actor starts the
same command as the other launchers, with the variables by which torch finds its peers. The pipeline starts a lost stage
again; Ray itself restarts nothing.
"""

import contextlib
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from data_cleaning import ray_shards
from data_cleaning.sources import follow as followed
from data_cleaning.sources import inbox
from orchestration import records, sources
from orchestration.devices import gpu_bytes
from orchestration.execution import StageError
from orchestration.listening import Listener
from orchestration.processes import LAUNCHED_BY
from orchestration.ray_member import Member, Seat
from orchestration.store import CHECKOUT, store

CODE = ("assets", "data_cleaning", "modeling", "orchestration", "release")
TABLES = "tables"  # of sources: they travel with the code, for a stage reads them to know its recipe
LOOK_AGAIN_S = 1.0
SETTLE_S = 30.0  # how soon Ray notices the death of a node, by which the other workers failed
END_S = 10.0


@dataclass(frozen=True)
class Team:
    """How many workers a stage has, each with so many GPUs (0 or 1) and cores. `workers` is None for one a GPU."""

    workers: int | None
    gpus: int | None  # None: one if the cluster has GPUs
    cores: int


def team(trains: bool, needs_gpu: bool) -> Team:
    """Returns the team of a stage. Raises StageError if CRIA_RAY_WORKERS or CRIA_RAY_CORES is no number.

    `trains`: several workers share the training. `needs_gpu`: no worker without a GPU, though the cluster has none yet.
    """
    stated = _number("CRIA_RAY_WORKERS", None)
    return Team(stated if trains else 1, 1 if needs_gpu else None, _number("CRIA_RAY_CORES", 1))


def _number(variable: str, default: int | None) -> int | None:
    stated = os.environ.get(variable, "")
    if stated and (not stated.isdigit() or int(stated) < 1):
        raise StageError(f"{variable}={stated}: use a whole number, 1 or more")
    return int(stated) if stated else default


def follow(
    key: str, command: Sequence[str], team: Team, variables: Mapping[str, str], log: Any, heartbeat: Path
) -> list[str]:
    """Runs the worker of stage `key` on the cluster, forwards its output and returns its last lines.

    `command` begins with this machine's Python; each node uses its own. `variables` are set before it starts. Raises
    WorkerKilledError if a signal ended a worker, its node was lost or all hung; StageError if one failed, or a node does
    not fit. The others are ended then.
    """
    listener = Listener(key, log, heartbeat)
    with _cluster() as ray:
        try:
            with _members(ray, team, log) as members:
                members, seats = _seated(ray, members, key)
                _hold(ray, members, seats, f"stage {key} of a Ray cluster", log)
                nodes = len({seat.node for seat in seats})
                log.info(f"{len(seats)} workers on {nodes} nodes of {os.environ[ray_shards.ADDRESS]}")
                common = {**variables, **_stated()}
                ray.get([
                    member.start.remote(list(command[1:]), common | _of_rank(rank, seats, team.cores))
                    for rank, member in enumerate(members)
                ])  # fmt: skip
                _listen(ray, members, listener)
        except ray.exceptions.RayActorError as error:
            raise listener.lost_error("the loss of a process or node of the Ray cluster") from error
    return list(listener.last)


def _seated(ray, members: Sequence[Any], key: str) -> tuple[list, list[Seat]]:
    """Returns the workers in the order of their ranks, and their seats. Raises StageError if a node does not fit."""
    packages = ray_shards.installed(records.LIBRARIES)
    try:
        with _probe() as probe:
            seats = ray.get([member.seat.remote(packages, probe) for member in members])
    except ray.exceptions.RayTaskError as error:
        raise StageError(f"{key}: {error.cause}") from error
    order = sorted(range(len(seats)), key=lambda number: (seats[number].node, seats[number].gpus))
    return [members[number] for number in order], [seats[number] for number in order]


@contextlib.contextmanager
def _cluster() -> Iterator[Any]:
    """Connects to the cluster and yields the module ray. Workers run this checkout's code.

    Raises ValueError if Ray is not installed, ConnectionError if the cluster does not answer.
    """
    ray = ray_shards.library()
    with tempfile.TemporaryDirectory() as folder:
        tables = Path(folder) / TABLES
        tables.mkdir()
        shutil.copy(sources.sources_file(), tables / "sources.toml")
        for name in (inbox.TABLE, followed.TABLE):
            if (table := sources.inbox_folder() / name).is_file():
                shutil.copy(table, tables / name)
        with ray_shards.connected(ray, *(CHECKOUT / name for name in CODE), tables):
            yield ray


@contextlib.contextmanager
def _probe() -> Iterator[Path]:
    """Yields a new folder in the store: a node that sees it has this store, not another one at the same path."""
    folder = store() / ".work"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="seen-") as probe:
        yield Path(probe)


@contextlib.contextmanager
def _members(ray, team: Team, log: Any) -> Iterator[list]:
    """Yields the workers' actors once all have their place. Ends them, and their processes, when it leaves."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    there = ray.cluster_resources()
    gpus = team.gpus if team.gpus is not None else int(there.get("GPU", 0) > 0)
    count = team.workers or max(1, int(there.get("GPU", 0)))
    share = {"CPU": team.cores, **({"GPU": gpus} if gpus else {})}
    group = ray.util.placement_group([share] * count, strategy="PACK")
    members: list = []
    try:
        told = False
        while not group.wait(LOOK_AGAIN_S):
            if not told:
                free = ray.available_resources()
                kinds = ", ".join(
                    f"{free.get(kind, 0):g} of {ray.cluster_resources().get(kind, 0):g} {kind}s" for kind in share
                )
                each = f"each with {team.cores} cores and {gpus} GPUs"
                log.info(f"waits for {count} workers, {each}: the Ray cluster has {kinds} free")
                told = True
        strategy = PlacementGroupSchedulingStrategy(placement_group=group)
        # Three calls at once: one listens, one may end the process meanwhile.
        actor = ray.remote(Member).options(
            num_cpus=team.cores, num_gpus=gpus, scheduling_strategy=strategy, max_restarts=0, max_concurrency=3
        )
        members += [actor.remote() for _ in range(count)]
        yield members
    finally:
        if members:
            ray.wait([member.end.remote() for member in members], num_returns=count, timeout=END_S)
        for member in members:
            ray.kill(member)
        ray.util.remove_placement_group(group)


def _hold(ray, members: Sequence[Any], seats: Sequence[Seat], holder: str, log: Any) -> None:
    """Takes the workers' GPUs one after the other, on each node in the order of `devices.held`.

    So a stage here and a run without Ray never wait for each other.
    """
    for number in sorted(range(len(seats)), key=lambda number: (seats[number].node, seats[number].locks)):
        member = members[number]
        held = member.hold.remote(seats[number].locks, holder)
        while not ray.wait([held], timeout=LOOK_AGAIN_S)[0]:
            for line in ray.get(member.heard.remote())[0]:
                log.info(line)
        ray.get(held)


def _stated() -> dict[str, str]:
    """Returns this process's settings for all workers. They travel as arguments: Ray's dashboard shows none of them."""
    stated = {name: value for name, value in os.environ.items() if name.startswith("CRIA_") and name != LAUNCHED_BY}
    return stated | {
        "CRIA_STORE": str(store()),
        "CRIA_SOURCES": f"{TABLES}/sources.toml",
        "CRIA_INBOX": TABLES,
        records.COMMIT: json.dumps(records.git_state()),
        ray_shards.ADDRESS: "",  # a worker has the GPU that it holds, and asks for no other
    }


def _of_rank(rank: int, seats: Sequence[Seat], cores: int) -> dict[str, str]:
    """Returns the variables of one worker: its GPU among those of its node, its threads, and its peers, as torchrun does."""
    beside = [number for number, seat in enumerate(seats) if seat.node == seats[rank].node]
    variables = {
        "CUDA_VISIBLE_DEVICES": ",".join(gpu for number in beside for gpu in seats[number].gpus),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores)),
    }
    if len(seats) == 1:
        return variables
    return variables | {
        "RANK": str(rank),
        "WORLD_SIZE": str(len(seats)),
        "LOCAL_RANK": str(beside.index(rank)),
        "LOCAL_WORLD_SIZE": str(len(beside)),
        "MASTER_ADDR": seats[0].address,
        "MASTER_PORT": str(seats[0].port),
    }


def _listen(ray, members: Sequence[Any], listener: Listener) -> None:
    """Forwards what the workers say until all have ended well.

    Raises WorkerKilledError as soon as one was killed, or all hang; RayActorError if one is lost. If one fails by
    itself, the cause may be another's death that Ray has not noticed yet: it waits SETTLE_S for that, then raises
    StageError.
    """
    asked = {member.heard.remote(): rank for rank, member in enumerate(members)}
    failed, deadline = 0, float("inf")
    while asked and time.monotonic() < deadline:
        for reference in ray.wait(list(asked), timeout=LOOK_AGAIN_S)[0]:
            rank = asked.pop(reference)
            try:
                lines, code = ray.get(reference)
            except ray.exceptions.ActorUnavailableError:  # for a moment, or for ever: then Ray says that it died
                time.sleep(LOOK_AGAIN_S)
                lines, code = [], None
            for line in lines:
                listener.hear(f"[{rank}] {line}" if rank and line else line)
            if code is None:
                asked[members[rank].heard.remote()] = rank
            elif code < 0:
                raise listener.error(code)
            elif code and not failed:
                failed, deadline = code, time.monotonic() + SETTLE_S
        if listener.hung():
            raise listener.hung_error()
    if failed:
        raise listener.error(failed)


@functools.cache
def capacity(address: str) -> tuple[float, float]:
    """Returns the bytes of all GPUs of the cluster, and the memory of its largest node with cores; infinite if it has none.

    Nodes that an autoscaler would add do not count. Raises StageError if no cluster answers at `address`.
    """
    with contextlib.ExitStack() as connection:
        try:
            ray = connection.enter_context(_cluster())
        except ConnectionError as error:
            raise StageError(f"no Ray cluster answers at {address}: set RAY_ADDRESS to the address of one") from error
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        measure = ray.remote(num_cpus=0)(_memory)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        found = ray.get([
            measure.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
            for node in nodes
        ])  # fmt: skip
    has = [node["Resources"] for node in nodes]
    gpus = sum(size for (size, _), each in zip(found, has, strict=True) if each.get("GPU"))
    ram = [size for (_, size), each in zip(found, has, strict=True) if each.get("CPU")]
    return gpus, float(max(ram, default=float("inf")))


def _memory() -> tuple[float, int]:
    return gpu_bytes(), psutil.virtual_memory().total
