"""Turns declared stages into Dagster assets: partition, record, reuse, launcher, retry in one place."""

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool

import dagster as dg

from data_cleaning.report.units import duration
from orchestration import catalog, execution, metadata, tables
from orchestration.console import StageLog
from orchestration.launchers import materialize
from orchestration.listening import WorkerKilledError
from orchestration.partitions import BY_AXIS, asset_key, partition_of
from orchestration.pools import pool_of
from orchestration.source_code import code_version
from orchestration.stage import SCALE, SNAPSHOT, Gate, Stage
from orchestration.store import artifact

# Transient errors: the pipeline retries the stage at once, and it continues. The user must correct all other errors.
PASSES = (WorkerKilledError, BrokenProcessPool, ConnectionError, TimeoutError)


def _dependency(parent: Stage, child: Stage) -> dg.AssetDep:
    mapping = None
    if parent.axis == SNAPSHOT and child.axis == SCALE:
        mapping = dg.AllPartitionMapping()
    return dg.AssetDep(asset_key(parent), partition_mapping=mapping)


def build_asset(stage: Stage, gates: Sequence[Gate] = ()) -> dg.AssetsDefinition:
    """Returns the Dagster asset of a stage, which begins only after `gates` have passed its parents.

    It needs the resource `machine`.
    """

    @dg.asset(
        key=asset_key(stage),
        deps=[_dependency(parent, stage) for parent in dict.fromkeys(parent for _, parent in stage.inputs)],
        partitions_def=BY_AXIS[stage.axis],
        group_name=stage.group,
        description=catalog.description(stage),
        metadata={"paper": stage.paper, "module": stage.module, **catalog.code_link(stage)},
        owners=catalog.owners(stage),
        tags=catalog.tags(stage),
        kinds=catalog.kinds(stage),
        code_version=code_version(stage.module),
        pool=pool_of(stage),
        required_resource_keys={"machine"},
    )
    def made(context: dg.AssetExecutionContext):
        partition, machine = partition_of(context, stage), context.resources.machine
        total = len(context.job_def.asset_layer.executable_asset_keys)
        log = StageLog(machine.title(stage.key, total), context.log.info)
        try:
            machine.admit(stage, partition)
            record, reused = materialize(stage, partition, log, gates, lambda: machine.take(stage, partition, log))
        except (execution.StageError, ValueError, FileNotFoundError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        except PASSES as error:
            raise dg.RetryRequested(max_retries=1) from error
        log.info("up to date" if reused else f"done in {duration(record['seconds'])}")
        folder = artifact(stage.key, partition)
        known = reused and metadata.shown_content(context.instance, asset_key(stage), partition) == record["content"]
        return dg.MaterializeResult(
            metadata={**metadata.of(folder, record, reused, known), **tables.metadata(folder)},
            data_version=dg.DataVersion(record["content"]),
        )

    return made
