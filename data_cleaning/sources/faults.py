"""Patience with a network that fails: tries, and the waits between them."""

import time
from collections.abc import Callable
from typing import TypeVar

TRIES = 5  # in a row that bring nothing
FIRST_WAIT_S = 0.5  # doubles with each of them
LONGEST_WAIT_S = 600.0  # a server that asks for more is left alone until the next run
BUSY = {408, 425, 429, 500, 502, 503, 504}  # answers of a server that another try may change

Result = TypeVar("Result")


class Fault(Exception):
    """The network failed, or a server for now: the message says how. `wait_s` is what the server asks for."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


def through_faults(attempt: Callable[[], Result], held: Callable[[], int], tell: Callable[[str], None]) -> Result:
    """What `attempt` returns, after as many tries as it takes while each leaves more bytes `held` than any before.

    Raises the last Fault where TRIES in a row brought nothing, or where the server asks for too long a wait.
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
