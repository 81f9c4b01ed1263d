"""What is printed: progress of a running stage (stage k of n, step, tokens/s, time left), and what a command did."""

import sys
import time
from collections.abc import Callable

from data_cleaning.report.units import duration


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


class StageLog:
    """Sends `info` and `progress` of one stage to the terminal and to `report` (Dagster's log, or a Pipes channel).

    Refreshes a terminal line in place; writes a line to a file every ten seconds and to `report` every thirty.
    """

    def __init__(self, title: str, report: Callable[[str], None] | None = None, stream=sys.stderr) -> None:
        self.title, self.report, self.stream = title, report, stream
        self.terminal = stream.isatty()
        self.started = self.phase_started = time.monotonic()
        self.first_done: int | None = None
        self.phase: tuple[int, str] | None = None
        self.shown = self.reported = 0.0

    def _line(self, text: str, final: bool) -> None:
        if self.terminal:
            self.stream.write(f"\r\x1b[K{text[:200]}" + ("\n" if final else ""))
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def info(self, text: str) -> None:
        self._line(f"{self.title}  {text}", final=True)
        if self.report:
            self.report(text)

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        now = time.monotonic()
        if self.phase != (total, unit) or self.first_done is None or done < self.first_done:
            self.phase, self.phase_started, self.first_done = (total, unit), now, done
        advanced = done - self.first_done
        left = (now - self.phase_started) / advanced * (total - done) if advanced else None
        if now - self.shown < (0.5 if self.terminal else 10.0) and done < total:
            return
        self.shown = now
        parts = [f"{unit} {done:,}/{total:,}", *(f"{name} {figure(value)}" for name, value in figures.items())]
        if left is not None and done < total:
            parts.append(f"{duration(left)} left")
        self._line(f"{self.title}  " + "  ".join(parts), final=False)
        if self.report and (now - self.reported >= 30.0 or done >= total):
            self.reported = now
            self.report("  ".join(parts))


def say(happened: Callable[[], str], *errors: type[Exception]) -> int:
    """Prints what happened, or an error of the expected kinds in one line. Returns the exit code of the command."""
    try:
        print(happened())
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
