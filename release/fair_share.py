"""No user alone fills the line: how many answers of one name may be under way at a time."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

MOST_OF_ONE = 16  # of about a hundred that are answered or wait (modeling/core/continuous_batching.py)


class OwnShareError(RuntimeError):
    """A user asks for more answers at a time than one may; the message is one line."""


class Shares:
    """Counts the answers under way by user. Who has no name (a server for this machine alone) is not counted."""

    def __init__(self) -> None:
        self.most = MOST_OF_ONE
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()

    @contextlib.contextmanager
    def one_more(self, user: str) -> Iterator[None]:
        """Holds a place for an answer. Raises OwnShareError if the user has none left."""
        if not user:
            yield
            return
        with self._lock:
            if self._under_way[user] >= self.most:
                raise OwnShareError(f"{self.most} of your answers are under way already: wait for one of them")
            self._under_way[user] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[user] -= 1
                self._under_way += Counter()  # drops the names without an answer
