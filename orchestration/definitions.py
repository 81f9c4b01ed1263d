"""The Dagster code location: assets, gates, the jobs, automation. Loads neither torch nor transformers."""

import dagster as dg

from assets import EVERY
from assets.gates import GATES
from orchestration import scale_guide
from orchestration.alerts import failures
from orchestration.automation import (
    dead_runs,
    inbox_files,
    new_data,
    new_snapshots,
    new_votes,
    promotion,
    remote_sources,
)
from orchestration.factory import build_asset
from orchestration.gate_checks import build_check
from orchestration.launchers import prepare_environment
from orchestration.machine import machine
from orchestration.partitions import asset_key
from orchestration.stage import PLANNED, SCALE, Stage

prepare_environment()  # runs are started as children of this process and inherit it


def job_of(stage: Stage) -> str:
    return {SCALE: "model", PLANNED: "plan"}.get(stage.axis, "corpus")


def _job(name: str, description: str):
    keys = [asset_key(stage) for stage in EVERY.values() if job_of(stage) == name]
    return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*keys), description=description)


corpus_job = _job(
    "corpus", "Cleans one snapshot, a delivery of data named in sources.toml: raw sources to decontaminated text."
)
model_job = _job("model", "Makes everything of one scale: mixture to released chat model.\n\n" + scale_guide.table())
plan_job = _job("plan", "Says what a scale would take, from its recipes alone: seconds, on any machine.")

defs = dg.Definitions(
    assets=[build_asset(stage, GATES) for stage in EVERY.values()],
    asset_checks=[build_check(gate) for gate in GATES],
    jobs=[corpus_job, model_job, plan_job],
    schedules=[remote_sources],
    sensors=[inbox_files, new_snapshots, new_data, new_votes, promotion, dead_runs, failures],
    resources={"machine": machine},
    # One process executes a whole run, of a job or of assets selected in the UI: torch is imported once.
    executor=dg.in_process_executor,
)
