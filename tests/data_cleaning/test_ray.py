"""Shards as tasks of a real Ray cluster: three worker nodes on this machine, one of which dies at work."""

import functools
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import data_cleaning
from data_cleaning import ray_shards, shards
from data_cleaning.dedup import stage as dedup
from data_cleaning.filters import quality
from data_cleaning.shards import map_shards
from orchestration.thresholds import corpus
from tests import on_ray as rays
from tests.conftest import ROOT
from tests.data_cleaning import samples
from tests.data_cleaning.dedup import oracle
from tests.on_ray import ray

SHARDS, HELD = 24, "s05"


@pytest.fixture(scope="module")
def cluster():
    with rays.cluster(3) as started:
        yield started


@pytest.fixture
def on_ray(cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setattr(shards, "SMALL_BYTES", 0)
    return cluster


def node():
    return ray.get_runtime_context().get_node_id()


def note(place: Path, text: str) -> None:
    part = place.with_suffix(".part")
    part.write_text(text)
    part.replace(place)


def filter_and_hold(recipe, shard, out):
    """The quality filter. The first worker that is given the shard HELD waits for its end; every node is noted."""
    if shard.stem == HELD and not (shard.parent / "held").exists():
        note(shard.parent / "held", node())
        time.sleep(600)
    (out / "_scratch" / "nodes").mkdir(parents=True)
    (out / "_scratch" / "nodes" / shard.stem).write_text(node())
    return quality.filter_shard(recipe, shard, out)


def end_the_node(cluster, held: Path) -> None:
    while not held.exists():
        time.sleep(0.05)
    (doomed,) = [worker for worker in cluster.worker_nodes if worker.node_id == held.read_text()]
    cluster.remove_node(doomed, allow_graceful=False)


def test_a_stage_that_loses_a_node_makes_the_same_bytes(on_ray, tmp_path, log, monkeypatch):
    texts = samples.manual()
    tables = {f"s{n:02}": samples.table(texts[n % len(texts) :][:10] + texts[:5], f"m{n}") for n in range(SHARDS)}
    parent = samples.artifact(tmp_path / "language", **tables)
    local, out = tmp_path / "local", tmp_path / "ray"
    local.mkdir()
    out.mkdir()
    recipe = corpus().quality
    with monkeypatch.context() as patch:
        patch.delenv("RAY_ADDRESS")
        patch.setenv("CRIA_WORKERS", "1")
        expected = quality.run(recipe, {"language": parent}, local, log)
    assert expected["documents_out"] > SHARDS and (local / "dropped").is_dir()
    monkeypatch.setattr(quality, "filter_shard", filter_and_hold)
    held = parent / "documents" / "held"
    killer = threading.Thread(target=end_the_node, args=(on_ray, held), daemon=True)
    killer.start()
    log.lines.clear()
    log.steps.clear()
    metrics = quality.run(recipe, {"language": parent}, out, log)
    killer.join()
    assert len(on_ray.worker_nodes) == 2, "the node was to be removed while its shard was being made"
    assert metrics == expected
    assert samples.contents(out) == samples.contents(local)
    nodes = {path.name: path.read_text() for path in (out / "_scratch" / "nodes").iterdir()}
    assert len(nodes) == SHARDS and len(set(nodes.values())) >= 2
    assert nodes[HELD] != held.read_text()
    assert [step[:2] for step in log.steps] == [(n, SHARDS) for n in range(1, SHARDS + 1)]
    assert any(line.startswith("1 attempts ended with their worker or node") for line in log.lines)
    assert not (out / ray_shards.ATTEMPTS).exists()


def test_deduplication_makes_the_bytes_of_one_process(on_ray, tmp_path, log):
    """Shards, partitions of keys and groups of clusters are tasks."""
    texts = [*samples.licences()[:60], *(text[:3000] for text in samples.manual()[:30])]
    tables = {f"s{n}": samples.table(texts[n::4] + texts[:5], f"m{n}") for n in range(4)}
    parent, out = samples.artifact(tmp_path / "pii", **tables), tmp_path / "out"
    out.mkdir()
    dedup.run(corpus().dedup, {"pii": parent}, out, log)
    oracle.deduplicate(corpus().dedup, {"pii": parent}, tmp_path / "expected")
    assert samples.contents(out) == samples.contents(tmp_path / "expected")
    assert sum("as Ray tasks" in line for line in log.lines) == 5


def refuse(broken, shard, out):
    with (shard.parent / f"calls-{shard.stem}").open("a") as calls:
        calls.write("called\n")
    if shard.stem == broken:
        raise ValueError(f"{shard.stem} is broken")
    (out / "made").mkdir()
    (out / "made" / shard.name).write_text(shard.read_text())
    return {"documents_in": 1, "code": data_cleaning.__file__}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "in").mkdir()
    paths = [tmp_path / "in" / f"s{number}.txt" for number in range(5)]
    for path in paths:
        path.write_text(path.stem)
    return paths


@pytest.mark.parametrize("address", ["address", "client"])
def test_an_error_is_told_in_its_own_words_and_only_the_rest_is_done_then(
    on_ray, tmp_path, files, log, monkeypatch, address
):
    """Bad input is not tried twice. `client`: a program outside the cluster, as a run in a pod of Kubernetes."""
    monkeypatch.setenv("RAY_ADDRESS", getattr(on_ray, address))
    before, out = signal.getsignal(signal.SIGTERM), tmp_path / "out"
    with pytest.raises(ValueError) as raised:
        map_shards(functools.partial(refuse, "s3"), files, out, log)
    assert type(raised.value) is ValueError and str(raised.value) == "s3 is broken"
    assert (files[0].parent / "calls-s3").read_text() == "called\n"
    finished = {path.stem for path in (out / "_scratch" / "shards").iterdir()}
    results = map_shards(functools.partial(refuse, ""), files, out, log)
    assert [path.read_text() for path in sorted((out / "made").iterdir())] == ["s0", "s1", "s2", "s3", "s4"]
    assert finished <= {"s0", "s1", "s2", "s4"}
    for name in finished:
        assert (files[0].parent / f"calls-{name}").read_text() == "called\n", "a finished shard was made again"
    assert all(not Path(result["code"]).is_relative_to(ROOT) for result in results), "workers are sent the code"
    assert signal.getsignal(signal.SIGTERM) is before
    assert not ray.is_initialized()


def end_the_worker(shard, out):
    with (shard.parent / "ends").open("a") as ends:
        ends.write("ended\n")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_shard_that_ends_every_worker_is_not_tried_for_ever(on_ray, tmp_path, files, log, monkeypatch):
    monkeypatch.setattr(ray_shards, "LOST_WORKERS", 1)
    with pytest.raises(RuntimeError, match=r"s0.txt: its worker or its node ended 2 times"):
        map_shards(end_the_worker, files[:1], tmp_path / "out", log)
    assert (files[0].parent / "ends").read_text() == "ended\n" * 2


def test_small_work_and_work_that_names_its_processes_stay_on_this_machine(on_ray, tmp_path, files, log, monkeypatch):
    for limit, workers in ((1 << 20, None), (0, 1)):
        monkeypatch.setattr(shards, "SMALL_BYTES", limit)
        results = map_shards(functools.partial(refuse, ""), files[:1], tmp_path / f"out-{limit}", log, workers)
        assert Path(results[0]["code"]).is_relative_to(ROOT)


def attempt(tmp_path, files, packages):
    return ray_shards._attempt(functools.partial(refuse, ""), files[0], tmp_path / "out", tmp_path / "out", packages)


def test_a_worker_with_other_packages_is_refused(tmp_path, files):
    packages = ray_shards.installed()
    assert all(packages.values()), "the list names packages that requirements.txt installs"
    with pytest.raises(ValueError, match=rf"has pyarrow {packages['pyarrow']} instead of 1\.0: install"):
        attempt(tmp_path, files, packages | {"pyarrow": "1.0"})


def test_a_worker_that_does_not_see_the_store_says_so(tmp_path, files):
    with pytest.raises(
        RuntimeError, match="does not see .*out/.*: the store .* must lie on a file system that all nodes"
    ):
        attempt(tmp_path, files, ray_shards.installed())


def test_an_attempt_moves_its_files_and_then_its_mark(tmp_path, files):
    (tmp_path / "out" / ray_shards.ATTEMPTS).mkdir(parents=True)
    result, made = attempt(tmp_path, files, ray_shards.installed())
    assert made == [tmp_path / "out" / "made" / "s0.txt", tmp_path / "out" / "s0.json"]
    assert all(path.is_file() for path in made) and result["documents_in"] == 1
    assert not list((tmp_path / "out" / ray_shards.ATTEMPTS / "s0").iterdir())


def test_a_shard_that_exhausts_the_memory_is_not_tried_for_ever(tmp_path, files):
    """Ray limits the retries after a crash, but not those after a worker that it ended for lack of memory."""
    for number in range(ray_shards.LOST_WORKERS + 1):
        (tmp_path / "out" / ray_shards.ATTEMPTS / "s0" / f"lost{number}").mkdir(parents=True)
    with pytest.raises(RuntimeError, match=r"s0\.txt: its worker or its node ended 4 times"):
        attempt(tmp_path, files, ray_shards.installed())


def test_files_that_do_not_appear_here_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_shards, "SEEN_WITHIN_S", 0.0)
    (tmp_path / "there").touch()
    ray_shards._wait_until_seen([tmp_path / "there"])
    with pytest.raises(RuntimeError, match="a Ray worker wrote .*missing, but it does not appear here"):
        ray_shards._wait_until_seen([tmp_path / "there", tmp_path / "missing"])


@pytest.mark.parametrize("failures", [ray_shards.CONNECTION_TRIES - 1, ray_shards.CONNECTION_TRIES])
def test_a_head_that_fails_to_start_our_server_is_asked_again(failures):
    """Ray's proxy loses such a process now and then, by no rule that a test could cause."""

    class Head:
        asked = 0

        def init(self, runtime_env):
            self.asked += 1
            if self.asked <= failures:
                raise ConnectionAbortedError("Initialization failure from server")

    head = Head()
    if failures < ray_shards.CONNECTION_TRIES:
        ray_shards._connect(head, "folder")
    else:
        with pytest.raises(ConnectionAbortedError):
            ray_shards._connect(head, "folder")
    assert head.asked == ray_shards.CONNECTION_TRIES


def test_without_ray_the_address_is_an_error_that_says_what_to_do(tmp_path, files, log, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setattr(shards, "SMALL_BYTES", 0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="RAY_ADDRESS is set, but Ray is not installed: `make cluster`"):
        map_shards(functools.partial(refuse, ""), files, tmp_path / "out", log)
