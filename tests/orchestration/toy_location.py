"""A code location of two toys, the second made from the first, as a model job of scale tiny: what a real daemon launches."""

import dagster as dg

from orchestration.alerts import failures
from orchestration.automation import dead_runs
from orchestration.factory import build_asset
from orchestration.machine import machine
from tests.orchestration.toy import toy

first = toy("first")
second = toy("second", first=first)

defs = dg.Definitions(
    assets=[build_asset(first), build_asset(second)],
    jobs=[
        dg.define_asset_job("model", dg.AssetSelection.all()),
        dg.define_asset_job("second_alone", dg.AssetSelection.assets("second")),
    ],
    sensors=[dead_runs, failures],
    resources={"machine": machine},
    executor=dg.in_process_executor,
)
