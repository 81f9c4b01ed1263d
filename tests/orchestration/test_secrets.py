"""No password, token or signature reaches a record, a log, the event log or a release."""

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys

import pytest
from dagster._core.code_pointer import FileCodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs

from orchestration import records
from orchestration.launchers import materialize
from orchestration.store import artifact
from release import lineage
from tests.conftest import ROOT
from tests.data_cleaning.sources.conftest import serving
from tests.orchestration.toy import toy


def test_the_record_of_a_run_that_the_ui_launched_holds_no_connection_string(log, monkeypatch, tmp_path):
    secret = "postgresql://dagster:hunter2@db.example.org/runs"
    (tmp_path / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {secret}\n")
    repository = RepositoryPythonOrigin(sys.executable, FileCodePointer("definitions.py", "defs", None))
    run = ExecuteRunArgs(JobPythonOrigin("model", repository), "a-run", InstanceRef.from_dir(str(tmp_path)))
    command = run.get_command_args()
    assert secret in " ".join(command), "Dagster hands its whole instance to the process of a run"
    monkeypatch.setattr(sys, "argv", ["/opt/venv/bin/dagster", *command[command.index("api") :]])
    record, _ = materialize(toy("first"), "tiny", log)
    written = (artifact("first", "tiny") / records.RECORD).read_text()
    assert "hunter2" not in written and "execute_run" not in written
    assert record["command"] in ("dagster", "pytest")


def test_a_record_names_the_program_without_its_arguments(tmp_path):
    (tmp_path / "tool.py").write_text("from orchestration import records\nprint(records.program())\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for start, name in ((["tool.py"], "tool.py"), (["-m", "tool"], "tool")):
        command = [sys.executable, *start, "--token", "hunter2"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == name, done.stderr


SECRETS = {
    "T_USER": "usr-hunter2", "T_PASSWORD": "pwd/hunter2", "T_SIGNATURE": "sig+hunter2==", "CRIA_JUDGE_KEY": "key-hunter2",
    "HF_TOKEN": "hf_hunter2", "CRIA_JUDGE_URL": "http://me:url-hunter2@127.0.0.1:9/v1", "PGPASSWORD": "pg-hunter2",
}  # fmt: skip
TEXT = b"Llamas are social animals and live with others as a herd."
TABLE = """
[[source]]
name = "own"
uri = "http://${T_USER}:${T_PASSWORD}@%s/%s?format=txt&sig=${T_SIGNATURE}"
sha256 = "%s"
license = "MIT"
reader = "none"
use = "dialogues"
"""


@pytest.fixture
def address():
    """A server that gives /own.txt to whom names all secrets, and repeats to others what they asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            given = base64.b64decode(self.headers.get("Authorization", "Basic ").removeprefix("Basic ")).decode()
            if given != "usr-hunter2:pwd/hunter2" or self.path != "/own.txt?format=txt&sig=sig+hunter2==":
                self.send_error(403, f"{given} may not have {self.path}")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(TEXT)))
            self.end_headers()
            self.wfile.write(TEXT)

    with serving(Handler) as url:
        yield url.removeprefix("http://")


def environment(tmp_path, table: str) -> dict[str, str]:
    (tmp_path / "sources.toml").write_text(table)
    paths = {"CRIA_STORE": "store", "DAGSTER_HOME": "dagster", "CRIA_CACHE": "cache", "CRIA_SOURCES": "sources.toml"}
    (tmp_path / "dagster").mkdir(exist_ok=True)
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return {**os.environ, **SECRETS, **{name: str(tmp_path / path) for name, path in paths.items()}}


def materialize_sources(tmp_path, table: str) -> subprocess.CompletedProcess:
    """The stage through Dagster, with an event log and captured logs of its own."""
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "dialogues"]
    command += ["-f", str(ROOT / "orchestration" / "definitions.py"), "-d", str(ROOT)]
    return subprocess.run(command, cwd=tmp_path, env=environment(tmp_path, table), capture_output=True, text=True)


def test_secrets_of_sources_and_environment_are_written_nowhere(tmp_path, address):
    done = materialize_sources(tmp_path, TABLE % (address, "own.txt", hashlib.sha256(TEXT).hexdigest()))
    folder = tmp_path / "store" / "shared" / "dialogues"
    assert done.returncode == 0, done.stderr
    assert (folder / "raw" / "own" / "own.txt").read_bytes() == TEXT
    failed = materialize_sources(tmp_path, TABLE % (address, "none.txt", "1" * 64))
    lost = materialize_sources(tmp_path, TABLE % ("127.0.0.1:9", "own.txt", "2" * 64))
    assert failed.returncode and lost.returncode and "answers 403" in failed.stdout + failed.stderr
    chain = lineage.walk([lineage.read(folder)], lineage.store_lookup(tmp_path / "store"))
    released = json.dumps(lineage.as_json(chain, {})) + lineage.as_markdown(chain, {})
    assert "${T_PASSWORD}" in released and "format=txt" in released
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" and b"${T_SIGNATURE}" in path.read_bytes() for path in files), (
        "the event log is there"
    )
    told = {str(path): path.read_bytes() for path in files}
    told |= {
        "said": "".join(run.stdout + run.stderr for run in (done, failed, lost)).encode(),
        "release": released.encode(),
    }
    user = base64.b64encode(b"usr-hunter2:pwd/hunter2")
    assert [name for name, content in told.items() if b"hunter2" in content or user in content] == []


def test_make_run_says_before_any_work_which_variable_is_missing(tmp_path, address):
    chosen = environment(tmp_path, TABLE % (address, "own.txt", "1" * 64))
    del chosen["T_PASSWORD"], chosen["T_SIGNATURE"]
    done = subprocess.run([sys.executable, "-m", "orchestration.run", "tiny"], cwd=ROOT, env=chosen, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 1 and not (tmp_path / "store").exists()
    assert done.stderr == "set T_PASSWORD, T_SIGNATURE in the environment: the addresses of own need these secrets\n"
