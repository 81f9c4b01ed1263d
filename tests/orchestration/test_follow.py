"""The schedule and the command pin what is new at a source that says follow = true, over https; the sensor cleans it."""

import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time

import dagster as dg
import pytest

from orchestration import automation, follow
from orchestration.definitions import defs
from orchestration.sources import snapshots, sources
from tests.conftest import ROOT

ENTRY = '[[source]]\nname = "news"\nuri = "https://127.0.0.1:{}/news.txt"\nlicense = "MIT"\nreader = "text"\nfollow = true\n'


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIA_SOURCES", str(tmp_path / "sources.toml"))
    monkeypatch.setenv("CRIA_INBOX", str(tmp_path / "inbox"))
    monkeypatch.setenv("CRIA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CRIA_OPT_IN", raising=False)
    return tmp_path / "sources.toml"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """(port, what it serves, an event that it waits for) of a server over TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    served, ready = {"data": b"Llamas live as a herd."}, threading.Event()
    ready.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

        def do_GET(self) -> None:
            ready.wait(20)
            self.send_response(200)
            self.send_header("Content-Length", str(len(served["data"])))
            self.end_headers()
            self.wfile.write(served["data"])

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    web.socket = context.wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield web.server_port, served, ready
    web.shutdown()
    web.server_close()


def tick(instance) -> str:
    (schedule,) = (each for each in defs.schedules if each.name == "remote_sources")
    return schedule(dg.build_schedule_context(instance=instance)).skip_message


def test_what_is_new_at_the_address_is_cleaned_and_the_same_file_twice_is_said(table, site):
    port, served, ready = site
    table.write_text(ENTRY.format(port))
    assert sources() == (), "the template alone is no delivery"
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(instance).startswith("snapshot ")
        (name,) = snapshots()
        said = automation.new_snapshots(dg.build_sensor_context(instance=instance))
        assert [request.partition_key for request in said.run_requests] == [name]
        command = [sys.executable, "-m", "orchestration.follow"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
        assert done.stdout == f"news: the same bytes as in snapshot {name}, nothing pinned\n"
        served["data"] = b"Llamas live as a herd, and hum."
        ready.clear()
        assert follow.look_aside(0.5).startswith("still at work: ")
        ready.set()
        until = time.monotonic() + 20
        while len(snapshots()) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        assert len(snapshots()) == 2, "it went on to its end"


def test_without_a_source_that_follows_nothing_is_asked(table):
    table.write_text(ENTRY.format(9).replace("follow = true", f'sha256 = "{"1" * 64}"'))
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(instance) == follow.NOTHING
        table.write_text(ENTRY.format(9).replace("https", "ftp"))
        assert "only a corpus source at https://" in tick(instance)


def test_a_person_switches_the_schedule_on():
    (schedule,) = defs.schedules
    assert (schedule.default_status, schedule.cron_schedule) == (dg.DefaultScheduleStatus.STOPPED, "0 3 * * *")
