"""`make run`: the whole graph of one scale, in this process, with live progress. Typed again, it continues.

Usage: python -m orchestration.run SCALE
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from data_cleaning.report.units import duration
from data_cleaning.sources.fetch import SourceError
from orchestration import execution, records, scales, stage
from orchestration.launchers import prepare_environment
from orchestration.store import CHECKOUT, store

PID_TAG = "cria/pid"
FREE_BYTES = {"tiny": 1e9, "laptop": 4e9, "adopted": 12e9}
UNLIMITED = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""
# One training at a time has the machine, also of two runs that are launched in the UI: the second waits.
DAGSTER_YAML = f"""{UNLIMITED}\
concurrency:
  runs:
    max_concurrent_runs: 1
"""


def prepare_dagster_home() -> None:
    """DAGSTER_HOME, in the checkout unless set, with telemetry off and one run at a time."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(CHECKOUT / ".dagster")))
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    # A person's own settings stay; UNLIMITED is what earlier versions of this program wrote.
    if not settings.exists() or settings.read_text(encoding="utf-8") == UNLIMITED:
        settings.write_text(DAGSTER_YAML, encoding="utf-8")


def check_sources() -> None:
    """Exits with the message that says what to mend where the table of sources cannot be used."""
    try:
        stage.sources()
    except SourceError as error:
        sys.exit(str(error))


def check_disk(scale: str) -> None:
    """Exits with a clear line where the store's disk is too full to make what is not made yet."""
    if finished(scale):
        return
    folder = store()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    wanted = FREE_BYTES.get(scale, 50e9) - sum(map(_bytes_in, (folder / scale, folder / ".work" / scale)))
    if free < wanted:
        sys.exit(f"{folder} has {free / 1e9:.1f} GB free and scale {scale} needs about {wanted / 1e9:.1f} GB more: "
                 "free some space, or set CRIA_STORE to a folder on another disk")  # fmt: skip


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def finished(scale: str) -> bool:
    """Whether everything of a scale is there as it would be made now; the bytes themselves are not read."""
    from assets import STAGES

    for made in STAGES.values():
        partitions = {stage.SCALE: [scale], stage.SNAPSHOT: stage.snapshots(), None: [None]}[made.axis]
        for partition in partitions:
            try:
                planned = execution.plan(made, partition)
            except (execution.StageError, SourceError):  # the run itself will say it
                return False
            record = records.read(planned.final)
            if record is None or not execution.matches(planned, record):
                return False
    return True


def close_dead_runs(instance) -> None:
    """A run whose process was killed stays 'started' for ever, and the next would wait for it: say that it was canceled."""
    import dagster as dg

    for run in instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        pid = run.tags.get(PID_TAG)
        if pid and not os.path.exists(f"/proc/{pid}"):
            instance.report_run_canceled(run, message="The process that ran it was stopped; its artifacts are kept.")


def run_job(name: str, partition: str, instance) -> bool:
    """Materializes what a job has left to do for a partition, checks included; True where all succeeded."""
    from assets import STAGES
    from assets.gates import GATES
    from orchestration.definitions import defs, job_of
    from orchestration.factory import asset_key
    from orchestration.pending import pending

    stages = [made for made in STAGES.values() if job_of(made) == name]
    todo = pending(stages, partition, GATES, instance)
    sys.stderr.write(f"{name} {partition}: {len(stages) - len(todo)} of {len(stages)} stages are up to date\n")
    if not todo:
        return True
    job = defs.resolve_job_def(name)
    result = job.execute_in_process(
        partition_key=partition,
        asset_selection=[asset_key(made) for made in todo],
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error is not None and data.error.cls_name == "DagsterAssetCheckFailedError":
                continue  # the gate has said so itself
            sys.stderr.write(f"\n{event.step_key} failed: {_cause(data)}\n")
    return result.success


def _cause(data) -> str:
    """What a person can act on: the failure's own description, else the innermost error."""
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.to_string() if error is not None else "unknown error"


def materialize(scale: str) -> int:
    """Runs the corpus job for every snapshot, then the model job for `scale`; the exit code."""
    import dagster as dg

    from orchestration import partitions

    prepare_dagster_home()
    started = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
        for snapshot in partitions.declare_snapshots(instance):
            if not run_job("corpus", snapshot, instance):
                return 1
        if not run_job("model", scale, instance):
            return 1
    sys.stderr.write(f"\nscale {scale} is up to date after {duration(time.monotonic() - started)}: {store()}/{scale}\n")
    return 0


def interruptible(function: Callable[[], int]) -> int:
    """What `function` returns, or an exit at once on Ctrl-C or SIGTERM, children included.

    Run on the main thread, Dagster would take the signal for a failed step, try it again and go on with the next one.
    Stages keep what they have finished, so there is nothing to tidy up.
    """

    def stop(*_: object) -> None:
        import psutil

        sys.stderr.write("\nstopped; the same command continues where this one was\n")
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(130)

    outcome: list[int] = []
    worker = threading.Thread(target=lambda: outcome.append(function()), daemon=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    worker.start()
    worker.join()
    return outcome[0] if outcome else 1


def main() -> None:
    if prepare_environment():
        os.execv(sys.executable, [sys.executable, "-m", "orchestration.run", *sys.argv[1:]])
    if len(sys.argv) != 2:
        sys.exit("usage: python -m orchestration.run SCALE")
    try:
        scales.scale(sys.argv[1])
    except KeyError as error:
        sys.exit(str(error.args[0]))
    check_sources()
    check_disk(sys.argv[1])
    sys.exit(interruptible(lambda: materialize(sys.argv[1])))


if __name__ == "__main__":
    main()
