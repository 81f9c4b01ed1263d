"""The sensor cleans what is new, tries a failed snapshot again, and not for ever."""

import datetime

import dagster as dg
import pytest

from orchestration import automation
from orchestration.definitions import defs
from orchestration.store import artifact

SOURCE = """
[[source]]
name = "{0}-notes"
uri = "{1}"
license = "MIT"
reader = "text"
snapshot = "{0}"
"""


@pytest.fixture
def instance(tmp_path, monkeypatch):
    """With a table of two new snapshots, whose files are not there."""
    table = tmp_path / "sources.toml"
    table.write_text("".join(SOURCE.format(name, tmp_path / name) for name in ("2026-11", "2026-12")))
    monkeypatch.setenv("CRIA_SOURCES", str(table))
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def look(instance) -> dg.SensorResult:
    """What the sensor says now; the partitions it asks for are added, as the daemon does."""
    said = automation.new_snapshots(dg.build_sensor_context(instance=instance))
    for request in said.dynamic_partitions_requests:
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return said


def start(request, instance) -> bool:
    job = defs.resolve_job_def("corpus")
    result = job.execute_in_process(
        partition_key=request.partition_key, instance=instance, tags=request.tags, raise_on_error=False
    )
    return result.success


def test_a_failed_snapshot_is_requested_again_a_few_times_and_later_again(instance, monkeypatch):
    keys = []
    for _ in range(automation.ATTEMPTS):
        first, other = look(instance).run_requests
        assert (first.partition_key, other.partition_key) == ("2026-11", "2026-12")
        assert look(instance).run_requests[0].run_key == first.run_key, "one that has not ended is not requested twice"
        assert not start(first, instance)
        keys.append(first.run_key)
    assert len(set(keys)) == automation.ATTEMPTS
    (request,) = look(instance).run_requests
    assert request.run_key == other.run_key, "the other snapshot is as it was"
    for _ in range(automation.ATTEMPTS):
        assert not start(look(instance).run_requests[0], instance)
    said = look(instance)
    assert not said.run_requests and "2026-11, 2026-12 failed 3 times" in said.skip_reason.skip_message
    monkeypatch.setattr(automation, "PERIOD", datetime.timedelta(0))  # a day later
    assert {request.partition_key for request in look(instance).run_requests} == {"2026-11", "2026-12"}
    assert not set(keys) & {request.run_key for request in look(instance).run_requests}


def test_what_is_cleaned_is_not_requested(instance):
    for name in ("2026-11", "2026-12"):
        folder = artifact("corpus_report", name)
        folder.mkdir(parents=True)
        (folder / "RECORD.json").write_text("{}")
    look(instance)
    assert look(instance).skip_reason.skip_message == "every snapshot is cleaned"
