"""Retries after network failures, with exponential backoff."""

import time
from collections.abc import Callable
from typing import TypeVar

TRIES = 5  # in a row without progress
FIRST_WAIT_S = 0.5  # doubles with each failed try
LONGEST_WAIT_S = 600.0  # a server that asks for a longer wait is not asked again until the next run
BUSY = {408, 425, 429, 500, 502, 503, 504}  # status codes for which a retry may help

Result = TypeVar("Result")


class Fault(Exception):
    """A network or server failure that may pass; the message says which. `wait_s` is the wait the server asks for."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


def through_faults(attempt: Callable[[], Result], held: Callable[[], int], tell: Callable[[str], None]) -> Result:
    """Returns the result of `attempt`; retries for as long as the tries make progress, that is `held` bytes grow.

    Raises the last Fault after TRIES in a row without progress, or if the server asks for too long a wait.
    """
    failures, most = 0, held()
    while True:
        try:
            return attempt()
        except Fault as fault:
            failures = failures + 1 if held() <= most else 0
            most = max(most, held())
            wait_s = max(fault.wait_s, FIRST_WAIT_S * 2**failures)
            if failures == TRIES or wait_s > LONGEST_WAIT_S:
                raise
            tell(f"{fault}; trying again in {wait_s:.1f} s")
            time.sleep(wait_s)
