"""A pytest plugin that writes each verdict to results.jsonl at once, so that a stopped run loses none."""

import os
from pathlib import Path

from benchmarks.gpu_kit import table

RESULTS, PART = "CRIA_KIT_RESULTS", "CRIA_KIT_PART"


def pytest_runtest_logreport(report) -> None:
    """Writes in the main process only: under xdist it receives the reports of all workers again."""
    ended = report.when == "call" or report.failed
    if ended and not report.skipped and "PYTEST_XDIST_WORKER" not in os.environ:
        table.append(Path(os.environ[RESULTS]), part=os.environ[PART], test=report.nodeid, passed=report.passed)
