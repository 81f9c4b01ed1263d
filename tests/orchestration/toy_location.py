"""A code location of toys, a model job of scale tiny and a corpus job: what a real daemon launches."""

import dataclasses

import dagster as dg

from orchestration.alerts import failures
from orchestration.automation import dead_runs
from orchestration.factory import build_asset
from orchestration.machine import machine
from tests.orchestration.toy import toy

first = toy("first")
second = toy("second", first=first)
cleaned = dataclasses.replace(toy("cleaned", steps=0), axis=None)

defs = dg.Definitions(
    assets=[build_asset(stage) for stage in (first, second, cleaned)],
    jobs=[
        dg.define_asset_job("model", dg.AssetSelection.assets("first", "second")),
        dg.define_asset_job("corpus", dg.AssetSelection.assets("cleaned")),
        dg.define_asset_job("second_alone", dg.AssetSelection.assets("second")),
    ],
    sensors=[dead_runs, failures],
    resources={"machine": machine},
    executor=dg.in_process_executor,
)
