"""A failure reaches a person by the command or webhook that is configured, and nobody where none is."""

import http.server
import json
import threading

import dagster as dg
import pytest

from orchestration import alerts
from orchestration.definitions import defs
from orchestration.run import run_job
from tests.orchestration.test_factory import definitions
from tests.orchestration.toy import toy


@pytest.fixture
def failing():
    """A job that fails because a parent is missing, with what a person reads."""
    parent = toy("parent")
    job = definitions([parent, toy("child", parent=parent)], only="child").resolve_job_def("toys")
    with dg.DagsterInstance.ephemeral() as instance:
        yield job, instance


@pytest.fixture
def webhook():
    """A server that answers with `codes`, the last one again and again, and what it was sent."""
    codes, received = [200], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(codes[0])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/services/SECRET", codes, received
    server.shutdown()


def look(instance, result):
    """What the sensor does with a failed run, as the daemon calls it."""
    event = next(event for event in result.all_events if event.is_failure and not event.is_step_event)
    context = dg.build_run_status_sensor_context(
        "failures", event, instance, instance.get_run_by_id(result.run_id)
    ).for_run_failure()
    return alerts.failures(context)


def run(job, instance):
    return job.execute_in_process(partition_key="tiny", instance=instance, raise_on_error=False)


def test_a_command_reads_which_run_failed_where_and_why(failing, tmp_path, monkeypatch):
    job, instance = failing
    told = tmp_path / "told"
    monkeypatch.setenv("CRIA_ON_FAILURE", f"cat > {told}")
    result = run(job, instance)
    look(instance, result)
    first, second = told.read_text().splitlines()
    assert first == f"Cria: run {result.run_id} (toys, tiny) failed."
    assert second.startswith("child: child needs parent for tiny: materialize it first")


def test_a_webhook_gets_it_as_json(failing, webhook, monkeypatch):
    job, instance = failing
    address, _, received = webhook
    monkeypatch.setenv("CRIA_ON_FAILURE", address)
    look(instance, run(job, instance))
    ((text,),) = (message.values() for message in received)
    assert "child needs parent for tiny" in text and "SECRET" not in text


def test_make_run_tells_too_and_a_failed_alert_hides_no_failure(failing, webhook, monkeypatch, capsys):
    job, instance = failing
    address, codes, received = webhook
    monkeypatch.setenv("CRIA_ON_FAILURE", address)
    assert not run_job(job, "tiny", instance)
    assert "child needs parent for tiny" in received[0]["text"]
    codes[0] = 404
    assert not run_job(job, "tiny", instance)
    said = capsys.readouterr().err
    assert "child failed: child needs parent" in said and "the webhook of CRIA_ON_FAILURE answered 404" in said
    assert "SECRET" not in said


def test_a_message_that_is_not_delivered_is_said_without_the_address(monkeypatch):
    for where, told in (
        ("http://127.0.0.1:1/SECRET", "cannot be reached"),
        ("https://[SECRET", "cannot be reached"),
        ("echo no such user >&2; exit 3", "ended with 3: no such user"),
    ):
        monkeypatch.setenv("CRIA_ON_FAILURE", where)
        with pytest.raises(alerts.AlertError, match=told) as failed:
            alerts.send("text")
        assert "SECRET" not in str(failed.value)


def test_nobody_is_told_where_nothing_is_configured_or_the_run_is_started_again(failing, tmp_path, monkeypatch):
    job, instance = failing
    result = run(job, instance)
    monkeypatch.delenv("CRIA_ON_FAILURE", raising=False)
    assert "is not set" in look(instance, result).skip_message
    monkeypatch.setenv("CRIA_ON_FAILURE", f"touch {tmp_path / 'told'}")
    instance.add_run_tags(result.run_id, {"dagster/will_retry": "true"})
    assert "is started again" in look(instance, result).skip_message and not (tmp_path / "told").exists()


def test_the_sensor_is_off_until_it_is_configured():
    (sensor,) = (sensor for sensor in defs.sensors if sensor.name == "failures")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
