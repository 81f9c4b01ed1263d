"""DAGSTER_HOME: where it lies, what is written into it, and what stays as a person wrote it."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from orchestration import instance
from orchestration.definitions import defs
from orchestration.store import CHECKOUT
from tests.conftest import ROOT

SHOW = """
import dagster as dg
from orchestration.instance import prepare_dagster_home
from orchestration.launchers import prepare_environment
from orchestration.store import store
from orchestration.sources import sources_file
from data_cleaning.sources.transport import cache_folder
prepare_environment()
prepare_dagster_home()
with dg.DagsterInstance.get() as known:
    print(known.root_directory, store(), sources_file(), cache_folder(), sep="\\n")
"""


@pytest.mark.parametrize("stated", ["{}", "~/{}", "$HOME/{}", "${{HOME}}/{}"])
def test_every_folder_of_the_environment_may_be_relative_to_here_or_home(stated, tmp_path):
    """As an env file, systemd or a container passes them: through no shell."""
    variables = {"DAGSTER_HOME": "dh", "CRIA_STORE": "store", "CRIA_SOURCES": "table.toml", "CRIA_CACHE": "cache"}
    environment = {name: stated.format(folder) for name, folder in variables.items()}
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=tmp_path, text=True, capture_output=True,
                          env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **environment})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / name) for name in ("dh", "store", "table.toml", "cache")]
    assert not any("~" in path.name or "$" in path.name for path in tmp_path.rglob("*"))


def make_ui(home, **environment) -> subprocess.CompletedProcess:
    """`make ui` up to the table of sources, which is not there: nothing is served."""
    command = ["make", "-s", "-o", f"{sys.prefix}/.ready", f"VENV={sys.prefix}", "ui"]
    environment = {"HOME": str(home), "CRIA_UI_PORT": "3978", "CRIA_SOURCES": "$HOME/gone.toml", **environment}
    return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **environment}, text=True, capture_output=True)


@pytest.mark.parametrize("stated", ["~/dh", "$HOME/dh"])
def test_make_passes_a_folder_on_as_it_was_stated(stated, tmp_path):
    done = make_ui(tmp_path, DAGSTER_HOME=stated)
    assert f"{tmp_path}/gone.toml, the table of sources, is no file" in done.stderr
    assert (tmp_path / "dh" / "dagster.yaml").is_file()


def test_a_folder_that_cannot_be_expanded_is_said_in_a_line(tmp_path):
    done = make_ui(tmp_path, DAGSTER_HOME="$UNSET/dh")
    assert done.returncode and "DAGSTER_HOME=$UNSET/dh names a variable that is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_are_written_once_and_a_persons_own_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for earlier in (None, *instance.EARLIER):
        if earlier is not None:
            (tmp_path / "dagster.yaml").write_text(earlier)
        instance.prepare_dagster_home()
        with dg.DagsterInstance.get() as known:
            pools = known.get_concurrency_config().pool_config
            assert (pools.pool_granularity.value, pools.default_pool_limit) == ("run", 1)
            assert known.run_monitoring_enabled and known.run_retries_enabled and not known.telemetry_enabled
            assert not known.run_retries_retry_on_asset_or_op_failure, "a stage that failed is for a person"
    (tmp_path / "dagster.yaml").write_text("# a person's own\n")
    instance.prepare_dagster_home()
    assert (tmp_path / "dagster.yaml").read_text() == "# a person's own\n"


def test_a_run_is_one_process():
    """Also a run of what a person picks in the UI, which is no named job."""
    for job in (defs.resolve_implicit_global_asset_job_def(), *map(defs.resolve_job_def, ("corpus", "model"))):
        assert job.executor_def.name == "in_process"
