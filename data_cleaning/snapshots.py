"""The names of snapshots: dates of deliveries, so that every reader knows which of two deliveries is newer."""

import datetime
import re
from collections.abc import Collection

FIRST_SNAPSHOT = "base"  # the delivery of sources that state none; it is older than any other
DATE = re.compile(r"([0-9]{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01]))?)?(?:\.([1-9][0-9]*))?")


def snapshot_order(name: str) -> tuple[int, ...]:
    """Returns the sort key of a snapshot: date, then counter; a year precedes its months, a month its days.

    A name is "base" or an ISO date (YYYY, YYYY-MM or YYYY-MM-DD), with a dot and a counter behind it if the date has
    several deliveries. Raises ValueError, whose one line says what to write, for any other name.
    """
    if name == FIRST_SNAPSHOT:
        return ()
    try:
        found = DATE.fullmatch(name)
        year, month, day, counter = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
        datetime.date(year, month or 1, day or 1)
    except ValueError as error:
        raise ValueError(
            f"snapshot {name!r} is no date of a delivery: write YYYY, YYYY-MM or YYYY-MM-DD; further deliveries of that "
            "date are YYYY-MM.2, YYYY-MM.3 and so on"
        ) from error
    return year, month, day, counter


def newer_name(used: Collection[str], today: datetime.date) -> str:
    """Returns a name that is newer than all `used` ones: today's date, else the next counter of the newest one's date.

    The newest may be dated today or later: by hand, or before the clock was set back.
    """
    newest = max(used, key=snapshot_order, default=FIRST_SNAPSHOT)
    if snapshot_order(today.isoformat()) > snapshot_order(newest):
        return today.isoformat()
    date, _, counter = newest.partition(".")
    return f"{date}.{int(counter or 1) + 1}"
