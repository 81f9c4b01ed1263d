"""What a launcher makes of a worker's output and end: alive or hung, killed or failed, and its last lines."""

import os
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any

from orchestration.execution import StageError

LAST_LINES = 20  # of a failed worker's output
# Longer than the silence between two lines of any stage, and than processes of one training wait for each other
# (modeling/core/runtime.py: LONGEST_WAIT).
HEARTBEAT_MINUTES = 180.0


class WorkerKilledError(Exception):
    """A signal ended the worker, or it hung. A retry continues it; the user need not correct anything."""


def heartbeat_seconds() -> float:
    """Returns how long a worker may be silent, from CRIA_HEARTBEAT_MINUTES. Raises StageError if that is no number."""
    stated = os.environ.get("CRIA_HEARTBEAT_MINUTES", HEARTBEAT_MINUTES)
    try:
        return 60 * float(stated)
    except ValueError:
        raise StageError(f"CRIA_HEARTBEAT_MINUTES={stated}: use a number of minutes") from None


class Listener:
    """Hears the lines of the worker of stage `key`, and the file `heartbeat` that it touches while it works without a word."""

    def __init__(self, key: str, log: Any, heartbeat: Path | None) -> None:
        self._key, self._log, self._heartbeat = key, log, heartbeat
        self._bound = heartbeat_seconds()
        self._heard, self._touched = time.monotonic(), self._touch()
        self.last: deque[str] = deque(maxlen=LAST_LINES)

    def _touch(self) -> float | None:
        """Returns the file's time, to be compared with itself alone: another machine's clock may have set it."""
        return self._heartbeat.stat().st_mtime if self._heartbeat is not None and self._heartbeat.exists() else None

    def hear(self, line: str) -> None:
        """Forwards a line to the log and keeps it as one of the last."""
        self._heard = time.monotonic()
        if line:
            self.last.append(line)
            self._log.info(line)

    def hung(self) -> bool:
        """Returns whether the worker has been silent for too long."""
        touched = self._touch()
        if touched != self._touched:
            self._heard, self._touched = time.monotonic(), touched
        return time.monotonic() - self._heard > self._bound

    def hung_error(self) -> WorkerKilledError:
        return WorkerKilledError(
            f"{self._key}: the worker hung: no line and no step for {self._bound / 60:g} minutes "
            f"(CRIA_HEARTBEAT_MINUTES). It was ended; started again, it continues. It said last: {self.tail()}"
        )

    def lost_error(self, what: str) -> WorkerKilledError:
        """Returns the error of a worker that something outside ended."""
        return WorkerKilledError(
            f"{self._key}: {what} ended the worker; started again, it continues. It said last: {self.tail()}"
        )

    def error(self, code: int) -> Exception:
        """Returns the error of a process's exit code, which is negative if a signal ended it."""
        if code < 0:
            return self.lost_error(signal.Signals(-code).name)
        return StageError(f"{self._key}: the worker stopped with {code}: {self.tail()}")

    def tail(self) -> str:
        """Returns the last line, and the lines before it as a block below."""
        said = self.last[-1] if self.last else ""
        return said + ("\nIts last lines:\n" + "\n".join(self.last) if len(self.last) > 1 else "")
