"""`make run`: the whole graph of one scale, in this process, with live progress. Typed again, it continues.

Usage: python -m orchestration.run SCALE
"""

import os
import sys
import time
from collections.abc import Iterable, Sequence

import dagster as dg

from data_cleaning.report.units import duration
from data_cleaning.run_notice import announcing
from orchestration import alerts, partitions, preflight, promote, scales
from orchestration.dead_runs import close_dead_runs
from orchestration.execution import StageError
from orchestration.instance import prepare_dagster_home
from orchestration.interrupts import interruptible
from orchestration.launchers import prepare_environment
from orchestration.partitions import asset_key
from orchestration.pending import pending
from orchestration.processes import end_with_the_launcher
from orchestration.stage import SCALE, Stage
from orchestration.store import store


def run_job(
    job: dg.JobDefinition, partition: str, instance: dg.DagsterInstance, only: Sequence[dg.AssetKey] | None = None
) -> bool:
    """Materializes the assets of a job for a partition, or `only` some, checks included; True where all succeeded."""
    result = job.execute_in_process(
        partition_key=partition,
        asset_selection=only,
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    failed = {event.step_key: event.step_failure_data for event in result.all_events if event.is_step_failure}
    for step, failure in failed.items():
        if failure.error is None or failure.error.cls_name != "DagsterAssetCheckFailedError":  # that the gate has said
            sys.stderr.write(f"\n{step} failed: {alerts.cause(failure, whole=True)}\n")
    for said in (
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ):
        if not said.passed:  # again, as the last line: what does not depend on it was made after it
            name = said.asset_key.to_user_string()
            sys.stderr.write(
                f"\n{name}: gate {said.check_name} failed, nothing after it was made: {said.description}\n"
            )
    if not result.success and alerts.configured():
        try:
            alerts.send(alerts.message(result.dagster_run, failed))
        except alerts.AlertError as error:
            sys.stderr.write(f"{error}\n")
    return result.success


def without_corpus(stages: Iterable[Stage]) -> list[Stage]:
    """Returns the stages of a scale whose ancestors are all of the scale, such as an adopted checkpoint.

    They are made first, so that there is a model to chat with while the corpus is still being cleaned.
    """

    def of_the_scale(stage: Stage) -> bool:
        return stage.axis == SCALE and all(of_the_scale(parent) for _, parent in stage.inputs)

    return [stage for stage in stages if of_the_scale(stage)]


def materialize(scale: str, defs: dg.Definitions) -> int:
    """Runs what is left for `scale`; the exit code.

    First the model job for what needs no corpus, then the corpus job for every snapshot, then the model job.
    """
    from assets import STAGES
    from assets.gates import GATES

    started = time.monotonic()
    with dg.DagsterInstance.get() as instance, announcing(store()) as say:
        say("")
        close_dead_runs(instance)
        snapshots = partitions.declare_snapshots(instance)
        first = without_corpus(STAGES.values())
        jobs = [("model", scale, first), *(("corpus", snapshot, STAGES.values()) for snapshot in snapshots),
                ("model", scale, STAGES.values())]  # fmt: skip
        for name, partition, wanted in jobs:
            job = defs.resolve_job_def(name)
            stages = [made for made in wanted if asset_key(made) in job.asset_layer.executable_asset_keys]
            todo = pending(stages, partition, GATES, instance)
            what = "stages that need no corpus" if wanted is first else "stages"
            sys.stderr.write(f"{name} {partition}: {len(stages) - len(todo)} of {len(stages)} {what} are up to date\n")
            if todo and not run_job(job, partition, instance, [asset_key(made) for made in todo]):
                return 1
    if outcome := promote.promote(scale):
        sys.stderr.write(f"{promote.said(scale, outcome)}\n")
    sys.stderr.write(f"\nscale {scale} is up to date after {duration(time.monotonic() - started)}: {store()}/{scale}\n")
    return 0


def check(scale: str) -> None:
    """Prepares DAGSTER_HOME and looks at everything that can be wrong before any work.

    Raises KeyError for an unknown scale, StageError or ValueError for what the user can correct.
    """
    scales.scale(scale)
    prepare_dagster_home()
    preflight.check_sources()
    from assets import STAGES

    if not preflight.finished(scale, STAGES.values()):
        preflight.check_variables(scale, STAGES.values())
        preflight.check_fit(scale)
        preflight.check_disk(SCALE, scale)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestration.run SCALE")
    scale = sys.argv[1]
    try:
        if prepare_environment():
            os.execv(sys.executable, [sys.executable, "-m", "orchestration.run", scale])
        check(scale)
    except KeyError as error:
        sys.exit(str(error.args[0]))
    except (StageError, ValueError) as error:
        sys.exit(str(error))
    end_with_the_launcher()
    from orchestration.definitions import defs

    sys.exit(interruptible(lambda: materialize(scale, defs)))


if __name__ == "__main__":
    main()
