"""A command that ends at once when it is told to, and leaves no process behind."""

import os
import signal
import sys
import threading
from collections.abc import Callable


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
