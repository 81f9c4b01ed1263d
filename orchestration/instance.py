"""The Dagster instance: its folder, its settings, the partitions it knows."""

import os
from pathlib import Path

from data_cleaning.paths import path_from
from orchestration.store import CHECKOUT

QUIET = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""
SETTINGS = f"""{QUIET}\
# How many runs may work at once: `cpu` cleans corpora, `gpu` makes models. `make run` keeps to the same limits.
# A limit for one of them: in the UI, Deployment, Concurrency.
concurrency:
  pools:
    granularity: run
    default_limit: 1
# A run whose process was killed is started again and continues. A stage that failed is for a person to mend.
run_monitoring:
  enabled: true
run_retries:
  enabled: true
  max_retries: 3
  retry_on_asset_or_op_failure: false
"""
# The settings that earlier versions of this program wrote: they are replaced, the user's own settings are kept.
EARLIER = (QUIET, f"{QUIET}concurrency:\n  runs:\n    max_concurrent_runs: 1\n")


def prepare_dagster_home() -> Path:
    """Returns DAGSTER_HOME, absolute, by default in the checkout; writes SETTINGS there unless the user has others.

    Raises ValueError if DAGSTER_HOME cannot be expanded.
    """
    home = path_from("DAGSTER_HOME", CHECKOUT / ".dagster")
    os.environ["DAGSTER_HOME"] = str(home)  # Dagster requires an absolute path
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists() or settings.read_text(encoding="utf-8") in EARLIER:
        settings.write_text(SETTINGS, encoding="utf-8")
    return home
