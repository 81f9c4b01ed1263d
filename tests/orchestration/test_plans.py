"""A plan needs no corpus, no weights and no room: of any scale, from the UI, the command line and docs/scales.md."""

import json
import re
import shlex

import dagster as dg
import pytest

from assets import PLANS, STAGES
from modeling.planning.memory import training_memory
from modeling.planning.plan import plan
from modeling.planning.tables import tables
from orchestration import plans, records, scales
from orchestration.stage import PLANNED, SCALE
from orchestration.store import artifact
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "scales.md"


@pytest.fixture
def anywhere(tmp_path, monkeypatch):
    """A machine without GPU and without usable sources."""
    monkeypatch.setenv("CRIA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CRIA_SOURCES", str(tmp_path / "missing.toml"))
    monkeypatch.setenv("CRIA_LAUNCHER", "inline")
    monkeypatch.delenv("CRIA_ALLOW_SCALE", raising=False)


def test_every_scale_with_a_shape_is_a_partition_of_the_plan_and_of_no_run():
    from orchestration.definitions import defs

    assert plans.planned() == ["tiny", "scratch", "gpu", *plans.PAPER] == [s for s in scales.SCALES if s != "laptop"]
    job = defs.resolve_job_def("plan")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == set(PLANS)
    assert all(stage.axis == PLANNED and not stage.inputs for stage in PLANS.values())
    assert not PLANS.keys() & STAGES.keys() and all(stage.axis != PLANNED for stage in STAGES.values())
    model = defs.resolve_job_def("model").asset_layer.executable_asset_keys
    assert not {dg.AssetKey(key) for key in PLANS} & set(model)


def test_the_largest_scale_is_planned_where_it_could_never_run(anywhere):
    from orchestration.definitions import defs

    with dg.DagsterInstance.ephemeral() as instance:
        done = defs.resolve_job_def("plan").execute_in_process(partition_key="70b", instance=instance)
        (event,) = done.get_asset_materialization_events()
    shown = event.materialization.metadata
    assert "68,976,648,192" in shown["report"].md_str and shown["parameters"].value == 68_976_648_192
    folder = artifact("scale_plan", "70b")
    assert records.read(folder)["recipe"]["assumptions"]["device"] == "H100"
    found = json.loads((folder / "plan.json").read_text())
    assert found["stages"]["base_model"]["steps"] == 500_000 and sum(found["parameters"].values()) == 68_976_648_192
    assert [fit["devices"] for fit in found["memory"]] == [8, 64, 512]


def test_it_runs_in_a_process_of_its_own_where_the_scale_says_so(anywhere, monkeypatch):
    """The worker finds plans too: on this machine the launcher of 7b would be torchrun."""
    from orchestration.definitions import defs

    monkeypatch.delenv("CRIA_LAUNCHER")
    with dg.DagsterInstance.ephemeral() as instance:
        assert defs.resolve_job_def("plan").execute_in_process(partition_key="7b", instance=instance).success
    assert records.read(artifact("scale_plan", "7b"))["metrics"]["parameters"] == 6_738_415_616


def test_the_command_prints_a_plan_with_other_assumptions(capsys):
    assert plans.main(["7b", "--device", "A100", "--devices", "8", "--mfu", "0.5", "--dollars-per-hour", "1"]) == 0
    said = capsys.readouterr().out
    assert "8 × A100, 50% MFU" in said and "$1 an hour" in said and "184,320 GPU hours on A100 × 400 W = 31.22" in said
    half = plan(plans.recipe("7b", scales.scale("7b"), device="A100", mfu=0.25)).costs["base_model"].gpu_hours
    assert f"{half / 2:,.0f}" in said


@pytest.mark.parametrize(("asked", "why"), [("laptop", "starts from the checkpoint smollm2"), ("8b", "no scale '8b'")])
def test_what_cannot_be_planned_is_said_in_a_line(asked, why, capsys):
    assert plans.main([asked]) == 1
    assert why in capsys.readouterr().err


def between(name: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"<!-- {name}:paper -->\n")[1].split(f"<!-- /{name}:paper -->")[0]


def test_the_page_shows_what_the_recipes_give_now():
    made = {name: plan(plans.recipe(name, scales.scale(name))) for name in plans.PAPER}
    wanted = tables(made, *plans.rows_of_the_page())
    assert {name: between(name) for name in wanted} == wanted, "python -m orchestration.plans --write docs/scales.md"


def test_the_page_shows_every_simulated_case_and_the_plan_is_near():
    from benchmarks.memory_plan import CASES

    _, simulated = plans.rows_of_the_page()
    assert [(row["scale"], row["devices"], row["recompute"]) for row in simulated] == list(CASES)
    for row in simulated:
        model = scales.scale(row["scale"]).base.model
        planned = training_memory(model, row["devices"], row["sequences"], row["recompute"])
        assert planned.total == pytest.approx(row["peak"], rel=0.05)
        assert planned.weights + planned.gradients + planned.moments == pytest.approx(row["states"], rel=0.02)


def test_the_commands_of_the_page_run(capsys):
    asked = re.findall(r"^make plan SCALE=(\w+)(?: ARGS=\"([^\"]*)\")?", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(asked) >= 2
    for name, arguments in asked:
        assert plans.main([name, *shlex.split(arguments)]) == 0
        assert f"# Plan of {name}" in capsys.readouterr().out


def test_settings_of_a_plan_are_those_of_its_scale():
    from orchestration.stage import settings

    assert settings(PLANNED, "70b").scale == settings(SCALE, "70b").scale
