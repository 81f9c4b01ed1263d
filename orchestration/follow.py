"""Pins what is new at the remote sources with `follow = true`: `python -m orchestration.follow`.

The schedule `remote_sources` does the same.
"""

import datetime
import subprocess
import sys
import tempfile

from data_cleaning.sources import follow
from data_cleaning.sources.errors import SourceError
from orchestration.console import StageLog, say
from orchestration.processes import end_with_the_launcher, environment_of_a_worker
from orchestration.sources import followed, inbox_folder, sources_file
from orchestration.store import CHECKOUT

NOTHING = "no source says follow = true"
WAIT_S = 45.0  # Dagster waits 60 s for a schedule


def look() -> str:
    """Makes a snapshot of what is new at the remotes. Returns what happened, one line each. Raises SourceError."""
    told = follow.look(followed(), sources_file(), inbox_folder(), datetime.date.today(), StageLog("follow"))
    return "\n".join(told) or NOTHING


def look_aside(wait_s: float = WAIT_S) -> str:
    """Does the same in a process of its own, as a download may take hours; waits for it for a while. Raises SourceError."""
    if not followed():
        return NOTHING
    environment = {**environment_of_a_worker(), "CRIA_INBOX": str(inbox_folder())}
    command = [sys.executable, "-m", "orchestration.follow"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=told, start_new_session=True)
        try:
            code = process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return f"still at work: {inbox_folder() / follow.SAID} will say what came of it"
        told.seek(0)
        return told.read().strip() if code == 0 else f"failed with exit code {code}: run {' '.join(command[1:])}"


def main() -> int:
    end_with_the_launcher()
    return say(look, SourceError)


if __name__ == "__main__":
    sys.exit(main())
