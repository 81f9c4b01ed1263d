"""Makes one artifact in its own process: `python -m orchestration.worker KEY [PARTITION]`."""

import io
import os
import sys

from orchestration import execution
from orchestration.console import StageLog
from orchestration.launchers import prepare_environment
from orchestration.processes import end_with_the_launcher


def main() -> None:
    if prepare_environment():
        os.execv(sys.executable, [sys.executable, "-m", "orchestration.worker", *sys.argv[1:]])
    end_with_the_launcher()
    from assets import EVERY
    from assets.gates import GATES

    key, partition = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    planned = execution.plan(EVERY[key], partition, GATES)
    if int(os.environ.get("RANK", "0")) > 0:  # under torchrun rank 0 publishes, the others only take part
        planned.work.mkdir(parents=True, exist_ok=True)
        execution.run_inline(planned, planned.work, StageLog(key, stream=io.StringIO()))
    else:
        execution.build(planned, StageLog(key), execution.run_inline)


if __name__ == "__main__":
    main()
