"""Makes one artifact in a process of its own: `python -m orchestration.worker KEY [PARTITION]`."""

import io
import os
import sys

from orchestration import execution
from orchestration.console import StageLog
from orchestration.launchers import prepare_environment
from orchestration.store import work


def main() -> None:
    if prepare_environment():
        os.execv(sys.executable, [sys.executable, "-m", "orchestration.worker", *sys.argv[1:]])
    from assets import STAGES

    key, partition = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    planned = execution.plan(STAGES[key], partition)
    if int(os.environ.get("RANK", "0")) > 0:  # under torchrun rank 0 publishes, the others only take part
        out = work(key, partition, planned.fingerprint)
        out.mkdir(parents=True, exist_ok=True)
        execution.run_inline(planned, out, StageLog(key, stream=io.StringIO()))
    elif execution.reusable(planned) is None:
        execution.build(planned, StageLog(key), execution.run_inline)


if __name__ == "__main__":
    main()
