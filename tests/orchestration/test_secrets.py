"""No password, token or signature reaches a record, a log, the event log or a release."""

import os
import subprocess
import sys

from dagster._core.code_pointer import FileCodePointer
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs

from orchestration import records
from orchestration.launchers import materialize
from orchestration.store import artifact
from tests.conftest import ROOT
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
