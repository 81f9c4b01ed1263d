"""What is wrong with the command, its environment or its table of sources is said in a line, before any work."""

import os
import subprocess
import sys

import pytest

from orchestration.store import CHECKOUT


@pytest.mark.parametrize("command", [["orchestration.run", "tiny"], ["orchestration.serve", "--ui"]])
def test_a_table_of_sources_that_cannot_be_read_is_said_in_a_line(command, tmp_path):
    def started(table):
        environment = {**os.environ, "CRIA_SOURCES": str(table), "DAGSTER_HOME": str(tmp_path / "home")}
        environment["CRIA_UI_PORT"] = "3977"
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=CHECKOUT, env=environment, text=True, capture_output=True
        )

    (tmp_path / "typo.toml").write_text("[[source]]\nnmae = 'notes'\n")
    for table, told in (("typo.toml", "unknown field 'nmae'"), ("gone.toml", "is no file: name one in CRIA_SOURCES")):
        done = started(tmp_path / table)
        assert done.returncode == 1 and told in done.stderr and str(tmp_path / table) in done.stderr
        assert "Traceback" not in done.stderr
