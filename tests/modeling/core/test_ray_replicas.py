"""Chunks on a real Ray cluster on this machine, which declares two GPUs: the rows of one process."""

import os

import pytest

from data_cleaning import ray_shards
from modeling.core import replicas
from modeling.core.replicas import Work
from tests.conftest import ROOT
from tests.modeling import toy_rlhf
from tests.modeling.core import toy_replicas
from tests.on_ray import Cluster, on_a_quiet_machine, ray

pytestmark = [pytest.mark.trains, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the functions of toy_replicas
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")  # Ray may declare them; CUDA finds none
        head = {"num_cpus": 2, "num_gpus": 2, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield started
        finally:
            started.shutdown()


@on_a_quiet_machine
def test_a_cluster_that_loses_a_worker_makes_the_rows_of_one_process(cluster, tmp_path, log, monkeypatch):
    toy_replicas.set_back(monkeypatch)
    policy, notes = toy_rlhf.build(tmp_path / "world")["policy"], tmp_path / "notes"
    notes.mkdir()
    expected = toy_replicas.alone(policy, tmp_path, log)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    (notes / "kill").touch()
    (notes / "processes").write_text("2")
    assert toy_replicas.answers(policy, tmp_path / "ray", notes, [], log) == expected
    assert toy_replicas.made(notes) == {number: 1 + (number == 1) for number in range(6)}
    assert {said.split(" ")[1] for said in toy_replicas.processes(notes)} == {"GPU-a", "GPU-b"}
    assert str(os.getpid()) not in {said.split()[0] for said in toy_replicas.processes(notes)}
    assert any("6 chunks on the 2 GPUs of the Ray cluster" in line for line in log.lines)
    assert any("a worker of the cluster or its machine ended" in line for line in log.lines)
    assert not ray.is_initialized()
    assert not any(str(ROOT) in said for said in toy_replicas.processes(notes)), "workers are sent the code"


@on_a_quiet_machine
def test_an_error_is_told_in_its_own_words(cluster, tmp_path, log, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    broken = Work(tmp_path, toy_replicas.nothing, toy_replicas.broken)
    with pytest.raises(ValueError, match="^chunk 0 is broken$"):
        list(replicas.results(broken, [(0, [1])], 1, log))
    assert not ray.is_initialized()


def test_a_worker_with_other_packages_is_refused(tmp_path):
    packages = ray_shards.installed(replicas.PACKAGES)
    assert all(packages.values())
    work = Work(tmp_path, toy_replicas.nothing, toy_replicas.broken)
    replicas.Replica(work, packages).begin()
    with pytest.raises(ValueError, match=r"has torch .* instead of 1\.0: install"):
        replicas.Replica(work, packages | {"torch": "1.0"}).begin()


def test_a_worker_that_does_not_see_the_model_says_so(tmp_path):
    work = Work(tmp_path / "elsewhere", toy_replicas.nothing, toy_replicas.broken)
    with pytest.raises(RuntimeError, match="does not see .*elsewhere: the store .* must lie on a file system"):
        replicas.Replica(work).begin()
