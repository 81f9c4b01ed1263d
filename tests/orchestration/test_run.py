"""The run says what is wrong before any work, and makes first what needs no corpus."""

import dataclasses
import os
import subprocess
import sys

import pytest

from assets import STAGES
from orchestration import run, stage
from orchestration.instance import prepare_dagster_home
from orchestration.processes import LAUNCHED_BY
from orchestration.store import CHECKOUT
from tests.orchestration.toy import toy


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


def test_what_needs_no_corpus_is_what_the_scale_alone_determines():
    first = run.without_corpus(STAGES.values())
    assert STAGES["adopted_checkpoint"] in first
    assert STAGES["mixture"] not in first and STAGES["sft_model"] not in first
    keys = [made.key for made in first]
    assert all(made.axis == stage.SCALE and all(parent.key in keys for _, parent in made.inputs) for made in first)
    clean = dataclasses.replace(toy("clean"), axis=stage.SNAPSHOT)
    checkpoint, mixed = toy("checkpoint"), toy("mixed", clean=clean)
    initial, trained = toy("initial", checkpoint=checkpoint), toy("trained", checkpoint=checkpoint, mixed=mixed)
    assert run.without_corpus([clean, checkpoint, mixed, initial, trained]) == [checkpoint, initial]


def test_a_run_begins_with_what_needs_no_corpus_and_ends_with_the_rest(tmp_path, monkeypatch):
    from orchestration.definitions import defs

    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    prepare_dagster_home()
    ran = []
    monkeypatch.setattr(run, "run_job", lambda job, partition, _, only: ran.append((job.name, partition, only)) or True)
    assert run.materialize("tiny", defs) == 0
    assert [name for name, *_ in ran] == ["model", *(["corpus"] * (len(ran) - 2)), "model"]
    first, last = ran[0], ran[-1]
    assert first[1] == last[1] == "tiny"
    assert set(first[2]) == {run.asset_key(made) for made in run.without_corpus(STAGES.values())}
    assert run.asset_key(STAGES["bundle"]) in last[2]


def test_a_run_whose_launcher_is_gone_ends_before_any_work(tmp_path):
    environment = {**os.environ, LAUNCHED_BY: "boot/999999999/1", "DAGSTER_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.run", "tiny"],
        cwd=CHECKOUT,
        env=environment,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 1 and "up to date" not in done.stderr
