"""torchrun that ends as its first failed worker did: by the same signal where one ended that.

torchrun itself ends with 1 for a worker that was killed and for one with an error of its own, and only the first is tried
again. Usage: python -m orchestration.torchrun TORCHRUN-ARGUMENTS
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
        if failure.exitcode < 0:
            sys.stderr.write(f"{error}\n")
            die(-failure.exitcode)
        raise


if __name__ == "__main__":
    main()
