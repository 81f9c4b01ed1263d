"""What does not fit this machine is refused before any work, in a line that says why, from the command line and the UI."""

import os
import subprocess
import sys

import dagster as dg
import psutil
import pytest

from assets import STAGES
from data_cleaning.files import write_json
from orchestration import devices, execution, preflight, records
from orchestration.definitions import defs
from orchestration.execution import StageError
from orchestration.sources import snapshots
from orchestration.stage import SCALE, SNAPSHOT
from orchestration.store import CHECKOUT, artifact, store
from tests.conftest import ROOT


@pytest.fixture
def memory(monkeypatch):
    """Sets what memory the machine has, and its GPUs have, in bytes."""

    def has(ram: float, gpus: float) -> None:
        total = psutil.virtual_memory()._replace(total=ram)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: total)
        monkeypatch.setattr(preflight, "gpu_bytes", lambda: gpus)

    monkeypatch.delenv("CRIA_ALLOW_SCALE", raising=False)
    return has


FITS = {  # RAM, GPU memory in GB → scales that fit, of all
    (2, 0): {"tiny", "scratch"},
    (16, 0): {"tiny", "scratch", "laptop"},
    (2000, 0): {"tiny", "scratch", "laptop"},
    (16, 16): {"tiny", "scratch", "laptop", "gpu"},
    (256, 160): {"tiny", "scratch", "laptop", "gpu", "7b"},
    (2000, 640): {"tiny", "scratch", "laptop", "gpu", "7b", "13b", "34b"},
    (4000, 1280): {"tiny", "scratch", "laptop", "gpu", "7b", "13b", "34b", "70b"},
    (256, float("inf")): {"tiny", "scratch", "laptop", "gpu", "7b", "13b", "34b", "70b"},  # a driver that tells nothing
}


@pytest.mark.parametrize("machine", FITS)
def test_a_scale_fits_where_its_largest_model_can_be_trained(machine, memory):
    memory(machine[0] * 1e9, machine[1] * 1e9)
    fitting = set()
    for name in preflight.scales.SCALES:
        try:
            preflight.check_fit(name)
            fitting.add(name)
        except StageError as error:
            assert f"CRIA_ALLOW_SCALE={name}" in str(error) and "\n" not in str(error)
    assert fitting == FITS[machine]


def test_a_person_may_start_it_all_the_same(memory, monkeypatch):
    memory(16e9, 0)
    monkeypatch.setenv("CRIA_ALLOW_SCALE", "70b, gpu")
    for name in ("70b", "gpu"):
        preflight.check_fit(name)
    with pytest.raises(StageError, match="scale 7b does not fit this machine: to train 6.7 billion parameters takes 108 GB "
                                         "of GPU memory, and this machine has no GPU"):  # fmt: skip
        preflight.check_fit("7b")


def nvidia_smi(folder, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)


@pytest.mark.parametrize(("script", "size"), [("echo 81559; echo 81559", 2 * 81559 * 2**20), ("exit 9", float("inf"))])
def test_gpus_are_counted_by_the_driver_without_torch(script, size, tmp_path, monkeypatch):
    nvidia_smi(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(devices, "GPU_DRIVERS", (tmp_path,))
    devices.gpu_bytes.cache_clear()
    try:
        assert devices.gpu_bytes() == size
        (tmp_path / "nvidia-smi").unlink()
        devices.gpu_bytes.cache_clear()
        monkeypatch.setenv("PATH", str(tmp_path))
        assert devices.gpu_bytes() == float("inf"), "a driver without its tool"
        monkeypatch.setattr(devices, "GPU_DRIVERS", ())
        devices.gpu_bytes.cache_clear()
        assert devices.gpu_bytes() == 0
    finally:
        devices.gpu_bytes.cache_clear()


def from_the_ui(job: str, partition: str, only: str | None = None):
    """The run that a click starts; what a person reads of the first step that failed."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(SNAPSHOT, ["base"])
        result = defs.resolve_job_def(job).execute_in_process(
            partition_key=partition, instance=instance, raise_on_error=False,
            asset_selection=[dg.AssetKey(only)] if only else None,
        )  # fmt: skip
    failure = next(event for event in result.all_events if event.is_step_failure)
    return failure.step_failure_data.user_failure_data.description


def test_a_click_on_a_scale_that_does_not_fit_starts_nothing(memory):
    memory(16e9, 0)
    assert "scale 70b does not fit this machine" in from_the_ui("model", "70b")
    assert not (store() / "70b").exists() and not (store() / ".work" / "70b").exists()


def test_a_click_is_told_of_a_full_disk_and_of_a_table_that_cannot_be_read(memory, monkeypatch, tmp_path):
    memory(16e9, 0)
    monkeypatch.setenv("CRIA_SOURCES", str(ROOT / "tests" / "sources.toml"))
    monkeypatch.setattr(preflight, "CORPUS_DISK_BYTES", 1e18)
    assert "free and the corpus needs about 1,000,000,000 GB more: free some space" in from_the_ui("corpus", "base")
    monkeypatch.setitem(preflight.DISK_BYTES, "tiny", 1e18)
    assert "free and scale tiny needs about" in from_the_ui("model", "tiny", "adopted_checkpoint")
    assert not list(store().glob("*/*/RECORD.json"))
    monkeypatch.setenv("CRIA_SOURCES", str(tmp_path / "gone.toml"))
    assert "gone.toml, the table of sources, is no file" in from_the_ui("corpus", "base")


def test_what_is_made_already_needs_no_disk(monkeypatch):
    monkeypatch.setitem(preflight.DISK_BYTES, "tiny", 1e18)
    with pytest.raises(StageError, match="scale tiny needs about"):
        preflight.check_disk(SCALE, "tiny")
    assert not preflight.finished("tiny", STAGES.values())
    for made in STAGES.values():
        for partition in {SCALE: ["tiny"], SNAPSHOT: snapshots(), None: [None]}[made.axis]:
            planned = execution.plan(made, partition)
            planned.final.mkdir(parents=True)
            write_json(
                planned.final / "RECORD.json",
                {"asset": made.key, "partition": partition, "fingerprint": planned.fingerprint, "content": made.key,
                 "parents": records.named(planned.parents)},
            )  # fmt: skip
    assert preflight.finished("tiny", STAGES.values())
    (planned.final / "RECORD.json").unlink()
    assert not preflight.finished("tiny", STAGES.values())


def test_what_a_stopped_run_has_made_counts(monkeypatch):
    with pytest.MonkeyPatch.context() as roomy:
        roomy.setitem(preflight.DISK_BYTES, "tiny", 0.0)
        preflight.check_disk(SCALE, "tiny")
    monkeypatch.setitem(preflight.DISK_BYTES, "tiny", 1e18)
    made = artifact("base_model", "tiny")
    made.mkdir(parents=True)
    with (made / "model.safetensors").open("wb") as sparse:
        sparse.truncate(int(1e12))
    with pytest.raises(StageError, match="needs about 999,999,000 GB more"):
        preflight.check_disk(SCALE, "tiny")


def test_the_disk_of_a_scale_that_never_ran_grows_with_its_model(monkeypatch):
    sizes = [preflight._disk_bytes(SCALE, name) for name in ("gpu", "7b", "13b", "34b", "70b")]
    assert sizes == sorted(sizes) and sizes[0] < 20e9 and 500e9 < sizes[1] < 1e12


@pytest.mark.parametrize("scale", ["70b", "gpu"])
def test_make_run_refuses_in_a_line(scale, tmp_path):
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(tmp_path),
        "CRIA_STORE": str(tmp_path / "store"),
        "PATH": "/nowhere",
    }
    done = subprocess.run([sys.executable, "-m", "orchestration.run", scale], cwd=CHECKOUT, env=environment, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 1 and f"scale {scale} does not fit this machine" in done.stderr
    assert len(done.stderr.splitlines()) == 1
