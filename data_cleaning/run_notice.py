"""A notice in the store of what a run makes now, for programs that do not know the orchestration, such as the chat.

Each run holds a shared lock on the notice. The kernel frees the lock of a killed run, so a notice is never out of date.
"""

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOTICE = Path(".work") / "run_notice.txt"
_LOOKING = threading.Lock()  # two looks at once would take each other for a run


@contextmanager
def announcing(store: Path) -> Iterator[Callable[[str], None]]:
    """Announces a run in `store` until the block ends. The yielded function replaces the text of the notice."""
    path = store / NOTICE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)

        def say(text: str) -> None:
            file.truncate(0)
            file.write(text)
            file.flush()

        yield say


def announced(store: Path) -> str | None:
    """Returns what a run in `store` announced last ("": nothing yet), or None if no run is alive."""
    try:
        with _LOOKING, (store / NOTICE).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
    except FileNotFoundError:
        pass
    return None
