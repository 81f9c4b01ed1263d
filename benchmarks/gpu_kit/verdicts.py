"""A pytest plugin: the verdict of each test into results.jsonl as it falls, so that none is lost where the run is stopped."""

import os
from pathlib import Path

from benchmarks.gpu_kit import table

RESULTS, PART = "CRIA_KIT_RESULTS", "CRIA_KIT_PART"


def pytest_runtest_logreport(report) -> None:
    """Under xdist the workers' reports come here again, in the process that started them, which alone writes."""
    ended = report.when == "call" or report.failed
    if ended and not report.skipped and "PYTEST_XDIST_WORKER" not in os.environ:
        table.append(Path(os.environ[RESULTS]), part=os.environ[PART], test=report.nodeid, passed=report.passed)
