"""Takes what was dropped into the inbox: `python -m orchestration.inbox`. The sensor `inbox_files` does the same."""

import datetime
import sys

from data_cleaning.sources import inbox
from data_cleaning.sources.errors import SourceError
from orchestration.console import say
from orchestration.sources import inbox_folder, used_snapshots


def take() -> str:
    """Makes a snapshot of what is complete. Returns what happened, and why anything stays, one line each. Raises SourceError."""
    folder = inbox_folder()
    name, found = inbox.take(folder, used_snapshots, datetime.date.today())
    happened = [f"snapshot {name}: {len(found.delivered)} deliveries in {folder}"] if name else []
    return "\n".join([*happened, *found.waiting]) or f"nothing new in {folder}"


def main() -> int:
    return say(take, SourceError)


if __name__ == "__main__":
    sys.exit(main())
