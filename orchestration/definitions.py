"""The Dagster code location: assets, gates, the two jobs, automation. Loads neither torch nor transformers."""

import dagster as dg

from assets import STAGES
from assets.gates import GATES
from orchestration.automation import new_data, new_snapshots
from orchestration.factory import build_asset, build_check
from orchestration.launchers import prepare_environment
from orchestration.partitions import SCALES, SNAPSHOTS
from orchestration.stage import SCALE, Stage

prepare_environment()  # runs are started as children of this process and inherit it


def job_of(stage: Stage) -> str:
    return "model" if stage.axis == SCALE else "corpus"


def _job(name: str, description: str, partitions: dg.PartitionsDefinition):
    keys = [stage.key for stage in STAGES.values() if job_of(stage) == name]
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.keys(*keys),
        partitions_def=partitions,
        description=description,
    )


corpus_job = _job("corpus", "Cleans one snapshot: raw sources to decontaminated text.", SNAPSHOTS)
model_job = _job("model", "Makes everything of one scale: mixture to released chat model.", SCALES)

defs = dg.Definitions(
    assets=[build_asset(stage, GATES) for stage in STAGES.values()],
    asset_checks=[build_check(gate) for gate in GATES],
    jobs=[corpus_job, model_job],
    sensors=[new_snapshots, new_data],
    # One process for a whole run, of a job or of assets picked in the UI: torch is imported once, and one training at a time
    # has the machine (the instance runs one run at a time: orchestration/run.py).
    executor=dg.in_process_executor,
)
