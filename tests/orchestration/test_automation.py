"""The sensors clean what is new, try a failed snapshot again, not for ever, and make released models anew from new data."""

import datetime

import dagster as dg
import pytest

from assets import STAGES
from assets.gates import GATES
from data_cleaning.files import write_json
from modeling.rlhf.ratings.store import Store
from orchestration import automation, execution
from orchestration.definitions import defs
from orchestration.sources import snapshots, sources
from orchestration.stage import SCALE, expanded_inputs, settings
from orchestration.store import artifact, store
from tests.modeling.rlhf.ratings.test_store import vote

SOURCE = """
[[source]]
name = "{0}-notes"
uri = "{1}"
license = "MIT"
reader = "text"
snapshot = "{0}"
"""


def write_table(folder, *snapshots):
    (folder / "sources.toml").write_text("".join(SOURCE.format(name, folder / name) for name in snapshots))


@pytest.fixture
def instance(tmp_path, monkeypatch):
    """With a table of two new snapshots, whose files are not there."""
    write_table(tmp_path, "2026-11", "2026-12")
    monkeypatch.setenv("CRIA_SOURCES", str(tmp_path / "sources.toml"))
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def look(instance, sensor=automation.new_snapshots) -> dg.SensorResult:
    """What the sensor says now; the partitions it asks for are added, as the daemon does."""
    said = sensor(dg.build_sensor_context(instance=instance))
    for request in said.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return said


def start(request, instance) -> bool:
    job = defs.resolve_job_def("corpus")
    result = job.execute_in_process(
        partition_key=request.partition_key, instance=instance, tags=request.tags, raise_on_error=False
    )
    return result.success


def published(key, partition, content="first bytes"):
    """A record with passed gates, as far as the sensors and the plan of a child read one."""
    stage = STAGES[key]
    parents = {role: {"content": "first bytes"} for role in expanded_inputs(stage, partition)}
    folder = artifact(key, partition)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "RECORD.json", {"fingerprint": content, "content": content, "parents": parents})
    for gate in GATES:
        if gate.stage is stage:
            execution.write_gate(key, partition, gate.name, {"passed": True, "content": content})


def cleaned(snapshot):
    published("documents", snapshot)
    published("decontaminated", snapshot)
    published("corpus_report", snapshot)


def test_a_failed_snapshot_is_requested_again_a_few_times_and_later_again(instance, monkeypatch):
    monkeypatch.setattr(automation, "PAUSE", datetime.timedelta(0))
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
    assert not said.run_requests and "2026-11 failed 3 times" in said.skip_reason.skip_message
    monkeypatch.setattr(automation, "PERIOD", datetime.timedelta(0))  # a day later
    assert {request.partition_key for request in look(instance).run_requests} == {"2026-11", "2026-12"}
    assert not set(keys) & {request.run_key for request in look(instance).run_requests}


def test_between_two_attempts_a_network_has_time_to_come_back(instance, monkeypatch):
    first, other = look(instance).run_requests
    assert not start(first, instance)
    assert [request.partition_key for request in look(instance).run_requests] == ["2026-12"]
    assert not start(other, instance)
    assert "2026-11 failed; the pipeline retries at" in look(instance).skip_reason.skip_message
    monkeypatch.setattr(automation, "PAUSE", datetime.timedelta(microseconds=1))
    again = look(instance).run_requests[0]
    assert again.partition_key == "2026-11" and not start(again, instance)
    monkeypatch.setattr(automation, "PAUSE", datetime.timedelta(hours=1))
    said = look(instance).skip_reason.skip_message
    for name, hours in (("2026-11", 2), ("2026-12", 1)):  # after the second failure twice as long
        last = instance.get_run_records(dg.RunsFilter(tags={automation.SNAPSHOT_TAG: name}), limit=1)[0].end_time
        again = datetime.datetime.fromtimestamp(last, datetime.UTC) + datetime.timedelta(hours=hours)
        assert f"{name} failed; the pipeline retries at {again:%H:%M} UTC" in said


def test_a_snapshot_is_cleaned_again_where_the_store_was_deleted(instance):
    """The history of runs outlives the store, and Dagster skips a key that it has seen."""
    request = look(instance).run_requests[0]

    @dg.job(tags=request.tags)
    def corpus():
        pass

    assert corpus.execute_in_process(instance=instance).success
    assert look(instance).run_requests[0].partition_key == request.partition_key
    assert look(instance).run_requests[0].run_key != request.run_key


def test_what_is_cleaned_is_not_requested(instance):
    for name in ("2026-11", "2026-12"):
        cleaned(name)
    look(instance)
    assert look(instance).skip_reason.skip_message == "every snapshot is cleaned"


def test_a_file_in_the_inbox_becomes_a_snapshot_that_is_cleaned(instance, tmp_path, monkeypatch):
    box = tmp_path / "inbox"
    monkeypatch.setenv("CRIA_INBOX", str(box))
    assert "nothing new" in automation.inbox_files(dg.build_sensor_context(instance=instance)).skip_message
    (box / "handbook").mkdir(parents=True)
    (box / "handbook" / "a.txt").write_text("A chapter.")
    (box / "handbook" / "a.txt.done").touch()
    said = automation.inbox_files(dg.build_sensor_context(instance=instance)).skip_message
    assert "source.toml is missing" in said and snapshots() == ["2026-11", "2026-12"]
    (box / "handbook" / "source.toml").write_text('license = "MIT"')
    said = automation.inbox_files(dg.build_sensor_context(instance=instance)).skip_message
    (new,) = set(snapshots()) - {"2026-11", "2026-12"}
    assert f"snapshot {new}: 1 deliveries" in said and snapshots()[-1] == new
    assert new in [request.partition_key for request in look(instance).run_requests]
    assert {source.name for source in sources()} == {"2026-11-notes", "2026-12-notes", "handbook"}


def test_new_data_flows_on_into_what_was_released_and_nothing_else(instance, tmp_path):
    write_table(tmp_path, "2026-11")
    cleaned("2026-11")
    published("mixture", "tiny")
    published("bundle", "tiny")
    assert look(instance, automation.new_data).skip_reason.skip_message == (
        "every released scale is made from the current corpus"
    )
    write_table(tmp_path, "2026-11", "2026-12")
    said = look(instance, automation.new_data)
    assert not said.run_requests and "mixture needs decontaminated for 2026-12" in said.skip_reason.skip_message
    cleaned("2026-12")
    (request,) = look(instance, automation.new_data).run_requests
    assert request.partition_key == "tiny"
    assert look(instance, automation.new_data).run_requests[0].run_key == request.run_key, "asked for once a corpus"
    published("decontaminated", "2026-12", "other bytes")
    assert look(instance, automation.new_data).run_requests[0].run_key != request.run_key
    assert (store() / "tiny").is_dir() and not (store() / "laptop").exists()


def test_a_new_retraction_starts_what_was_released(instance, tmp_path, monkeypatch):
    listed = tmp_path / "retractions.toml"
    listed.write_text("")
    monkeypatch.setenv("CRIA_RETRACTIONS", str(listed))
    write_table(tmp_path, "2026-11")
    cleaned("2026-11")
    published("mixture", "tiny")
    published("bundle", "tiny")
    assert not look(instance, automation.new_data).run_requests
    entry = '[[retraction]]\nid = "2026-11-notes:1"\n'
    listed.write_text(entry)
    (request,) = look(instance, automation.new_data).run_requests
    listed.write_text(entry + 'reason = "asked for"\n')
    assert look(instance, automation.new_data).run_requests[0].run_key == request.run_key, "a reason is no retraction"


def test_a_complete_batch_of_votes_starts_what_was_released_and_nothing_else(instance, tmp_path, monkeypatch):
    monkeypatch.setenv("CRIA_RATINGS", f"sqlite:///{tmp_path / 'ratings.sqlite'}")
    votes = Store.here()
    published("bundle", "tiny")
    waits = "no batch of votes is complete that is not trained on"
    assert look(instance, automation.new_votes).skip_reason.skip_message == waits
    ids = [votes.add(vote(number)) for number in range(4)]
    (request,) = look(instance, automation.new_votes).run_requests
    assert request.partition_key == "tiny"
    votes.add(vote(5))
    assert look(instance, automation.new_votes).run_requests[0].run_key == request.run_key, "a fifth begins a batch"
    made = artifact("ratings", "tiny")
    made.mkdir(parents=True)
    write_json(made / "RECORD.json", {"recipe": {"digest": settings(SCALE, "tiny").with_votes().digest}})
    assert look(instance, automation.new_votes).skip_reason.skip_message == waits
    votes.withdraw(ids[0], "r1")
    assert look(instance, automation.new_votes).run_requests, "what was withdrawn is trained on no more"
    monkeypatch.setenv("CRIA_RATINGS", "nosuch://host/db")
    assert "CRIA_RATINGS" in look(instance, automation.new_votes).skip_reason.skip_message


def ended(instance, request, job, status, reason=None) -> None:
    """A run of a request that has ended so, as its process, the code server or `close_dead_runs` says it."""
    tags = {
        **request.tags,
        "dagster/run_key": request.run_key,
        **({"dagster/failure_reason": reason} if reason else {}),
    }
    run = instance.create_run_for_job(defs.resolve_job_def(job), status=dg.DagsterRunStatus.STARTED, tags=tags)
    if status == dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(run)
    elif status == dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(run)


def needs_new_data(tmp_path) -> None:
    """A released scale whose mixture has read other data than lies there now."""
    write_table(tmp_path, "2026-11")
    cleaned("2026-11")
    published("mixture", "tiny")
    published("bundle", "tiny")
    published("decontaminated", "2026-11", "other bytes")


@pytest.mark.parametrize("sensor", [automation.new_snapshots, automation.new_data])
def test_a_killed_run_is_requested_again_once_dagster_had_time_to_retry_it(sensor, instance, tmp_path, monkeypatch):
    if sensor is automation.new_data:
        needs_new_data(tmp_path)
    request = look(instance, sensor).run_requests[0]
    ended(instance, request, sensor.job_name, dg.DagsterRunStatus.FAILURE)
    assert request.partition_key not in {asked.partition_key for asked in look(instance, sensor).run_requests or []}
    monkeypatch.setattr(automation, "PAUSE", datetime.timedelta(0))
    again = look(instance, sensor).run_requests[0]
    assert again.partition_key == request.partition_key and again.run_key != request.run_key
    retried = instance.create_run_for_job(
        defs.resolve_job_def(sensor.job_name), status=dg.DagsterRunStatus.STARTING, tags=request.tags
    )
    said = look(instance, sensor)
    assert request.partition_key not in {asked.partition_key for asked in said.run_requests or []}
    instance.report_run_canceled(retried)
    assert look(instance, sensor).run_requests[0].run_key == again.run_key


@pytest.mark.parametrize(
    ("status", "reason"),
    [(dg.DagsterRunStatus.FAILURE, "STEP_FAILURE"), (dg.DagsterRunStatus.CANCELED, None)],
)
def test_new_data_is_not_asked_for_again_where_a_stage_failed_or_a_person_canceled(
    status, reason, instance, tmp_path, monkeypatch
):
    """Dagster starts no second run with the same key."""
    monkeypatch.setattr(automation, "PAUSE", datetime.timedelta(0))
    needs_new_data(tmp_path)
    (request,) = look(instance, automation.new_data).run_requests
    ended(instance, request, "model", status, reason)
    (same,) = look(instance, automation.new_data).run_requests
    assert same.run_key == request.run_key


def test_a_person_switches_on_what_starts_runs():
    status = {sensor.name: sensor.default_status for sensor in defs.sensors}
    assert {name for name, value in status.items() if value == dg.DefaultSensorStatus.RUNNING} == {
        "dead_runs",
        "promotion",
    }
    assert {"new_snapshots", "new_data"} < set(status)
