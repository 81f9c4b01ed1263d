"""Dialogues that people shared by a link, in the database of the votes.

The id in the link is random: who does not have the link cannot guess it. A dialogue is deleted when its owner withdraws
it, when the owner is forgotten (`python -m modeling.rlhf.ratings.forget NAME`), and, once it has expired, as soon as the
next one is shared. Nobody can read it from its expiry on. No training reads this table.
"""

import datetime
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from modeling.rlhf.ratings.database import METADATA, Database, RatingsError, now, stamp

ID_BYTES, ID = 32, "[A-Za-z0-9_-]{43}"  # random bytes of an id, and its form as a regular expression
MOST_BYTES = 200_000  # of a dialogue, in UTF-8
MOST_LINKS = 100  # of one owner at a time

SHARED = sa.Table(
    "shared_dialogues",
    METADATA,
    sa.Column("id", sa.String(43), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("made", sa.String(32), nullable=False),
    sa.Column("expires", sa.String(32), nullable=False),
    sa.Column("dialogue", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class SharedDialogues(Database):
    """The shared dialogues in a database. Every method raises RatingsError if it cannot be used."""

    def add(self, owner: str, dialogue: str, days: float) -> str:
        """Store a dialogue for `days`, and return its id once it is on disk.

        Raises RatingsError if it has more than MOST_BYTES, or if its owner has MOST_LINKS already.
        """
        if len(dialogue.encode()) > MOST_BYTES:
            raise RatingsError(f"a shared dialogue has at most {MOST_BYTES:,} bytes")
        identifier = secrets.token_urlsafe(ID_BYTES)
        expires = stamp(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days))
        row = {"id": identifier, "owner": owner, "made": now(), "expires": expires, "dialogue": dialogue}
        with self.erasing() as connection:
            connection.execute(SHARED.delete().where(SHARED.c.expires <= now()))
            connection.execute(SHARED.insert().values(row))
            # After the insert, which locks the database: two clicks at once cannot both be the last one.
            mine = sa.select(sa.func.count()).select_from(SHARED).where(SHARED.c.owner == owner)
            if connection.execute(mine).scalar_one() > MOST_LINKS:
                raise RatingsError(f"you share {MOST_LINKS} dialogues already: withdraw one first")
        return identifier

    def get(self, identifier: str) -> dict | None:
        """The row of a dialogue that can still be read, or None."""
        found = self.rows(sa.select(SHARED).where((SHARED.c.id == identifier) & _lives()))
        return found[0] if found else None

    def of(self, owner: str) -> list[dict]:
        """The rows of an owner's dialogues that can still be read, the newest first."""
        return self.rows(sa.select(SHARED).where((SHARED.c.owner == owner) & _lives()).order_by(SHARED.c.made.desc()))

    def withdraw(self, identifier: str, owner: str) -> bool:
        """Delete a dialogue of this owner. Returns whether there was one."""
        return self._delete((SHARED.c.id == identifier) & (SHARED.c.owner == owner)) == 1

    def forget(self, owner: str) -> int:
        """Delete all dialogues of an owner. Returns their number."""
        return self._delete(SHARED.c.owner == owner)

    def _delete(self, which: sa.ColumnElement[bool]) -> int:
        if not self.rows(sa.select(SHARED.c.id).where(which)):
            return 0
        with self.erasing() as connection:
            return connection.execute(SHARED.delete().where(which)).rowcount


def _lives() -> sa.ColumnElement[bool]:
    return SHARED.c.expires > now()
