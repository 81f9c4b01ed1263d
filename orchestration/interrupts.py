"""Commands that end at once on a signal and leave no process behind."""

import os
import signal
import sys
import threading
from collections.abc import Callable


def interruptible(function: Callable[[], int]) -> int:
    """Returns the result of `function`, or exits at once on Ctrl-C or SIGTERM and ends all child processes.

    On the main thread, Dagster would treat the signal as a failed step, retry it and continue with the next step.
    Stages keep their finished work, so no cleanup is needed.
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
