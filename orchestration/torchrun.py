"""Runs torchrun and ends as its first failed worker did: by the same signal if a signal ended a worker.

torchrun itself exits with 1 both for a killed worker and for a worker's own error, but the pipeline retries only the
first. Usage: python -m orchestration.torchrun TORCHRUN-ARGUMENTS
"""

import os
import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from orchestration.processes import end_with_the_launcher


def die(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)  # torchrun has handlers of its own
    os.kill(os.getpid(), number)


def main() -> None:
    end_with_the_launcher()
    try:
        torchrun(sys.argv[1:])
    except SignalException as error:
        die(error.sigval)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        # The others fail because one was killed, perhaps within the same second. torchrun ends the rest by SIGTERM.
        killed = [each for each in error.failures.values() if each.exitcode < 0 and each.exitcode != -signal.SIGTERM]
        failure = (killed or [failure])[0]
        if failure.exitcode < 0:
            sys.stderr.write(f"{error}\n")
            die(-failure.exitcode)
        raise


if __name__ == "__main__":
    main()
