"""What needs no Ray cluster: a worker's seat and variables, and settings that cannot be."""

import pytest

from data_cleaning import ray_shards
from orchestration import launchers, ray_workers, records
from orchestration.execution import StageError
from orchestration.ray_member import Member, Seat


def test_a_node_with_other_packages_or_another_store_is_refused(tmp_path):
    packages = ray_shards.installed(records.LIBRARIES)
    with pytest.raises(ValueError, match=r"has torch 1\.0|has torch .* instead of 1\.0: install"):
        Member().seat(packages | {"torch": "1.0"}, tmp_path)
    with pytest.raises(
        RuntimeError, match="does not see .*gone: the store .* must lie on a file system that all nodes"
    ):
        Member().seat(packages, tmp_path / "gone")


def test_the_workers_of_a_node_are_numbered_and_share_its_gpus():
    seats = [
        Seat("a", "10.0.0.1", ("0",), (), 7),
        Seat("a", "10.0.0.1", ("3",), (), 8),
        Seat("b", "10.0.0.2", ("0",), (), 9),
    ]
    variables = [ray_workers._of_rank(rank, seats, 4) for rank in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in variables] == ["0,3", "0,3", "0"]
    assert [(each["LOCAL_RANK"], each["LOCAL_WORLD_SIZE"]) for each in variables] == [
        ("0", "2"),
        ("1", "2"),
        ("0", "1"),
    ]
    assert {(each["MASTER_ADDR"], each["MASTER_PORT"]) for each in variables} == {("10.0.0.1", "7")}
    assert "RANK" not in ray_workers._of_rank(0, seats[:1], 4)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RAY_ADDRESS": ""}, "CRIA_LAUNCHER=ray needs a cluster: set RAY_ADDRESS to its address"),
        ({"CRIA_LAUNCHER": "slurm"}, "CRIA_LAUNCHER=slurm: use one of inline, subprocess, torchrun, ray, k8s"),
    ],
)
def test_a_launcher_that_cannot_be_is_named(variables, said, monkeypatch):
    for name, value in ({"CRIA_LAUNCHER": "ray", "RAY_ADDRESS": "head:6379"} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StageError, match=said):
        launchers.stated_launcher("tiny")


@pytest.mark.parametrize("name", ["CRIA_RAY_WORKERS", "CRIA_RAY_CORES"])
def test_a_number_that_is_none_is_named(name, monkeypatch):
    monkeypatch.setenv(name, "0")
    with pytest.raises(StageError, match=f"{name}=0: use a whole number, 1 or more"):
        ray_workers.team(True, False)
