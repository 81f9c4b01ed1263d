"""The votes of people who compared two answers in the chat (paper 3.2.1), in a database that several servers may share.

A vote that was acknowledged is on disk, and it is never changed. Its rater can withdraw it, and
`python -m modeling.rlhf.ratings.forget NAME` deletes all votes of a rater.

A vote begins a comparison, or gives another opinion on one. Votes from before revision 0002 belong to none: their raters
were not told that others may see what they asked.
"""

import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from modeling.core import hashing, json_text
from modeling.rlhf.labels import DEGREES
from modeling.rlhf.ratings.database import METADATA, Database, RatingsError, clean, now

MOST_OPINIONS = 3  # raters of a comparison, as in the paper (3.4.2)
DRAWN_FROM = 50  # comparisons with the fewest opinions, the oldest first

VOTES = sa.Table(
    "votes",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), unique=True, nullable=False),
    sa.Column("time", sa.String(32), nullable=False),
    sa.Column("rater", sa.String(64), nullable=False),
    sa.Column("scale", sa.String(32), nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("messages", "answer_a", "answer_b")),
    *(sa.Column(name, sa.String(64), nullable=False) for name in ("version_a", "version_b", "content_a", "content_b")),
    sa.Column("sampling", sa.Text, nullable=False),
    sa.Column("preferred", sa.String(1), nullable=False),
    sa.Column("degree", sa.Integer, nullable=False),
    sa.Column("safe_a", sa.Boolean, nullable=False),
    sa.Column("safe_b", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("withdrawn", sa.String(32)),
    sa.Column("comparison", sa.String(32)),  # the id of the vote that began it
)


@dataclass(frozen=True)
class Vote:
    """One comparison. Raises ValueError for a preference or degree that is out of range, or without a question."""

    rater: str
    scale: str
    messages: Sequence[dict]  # the dialogue, which ends with the person's message
    answer_a: str
    answer_b: str
    version_a: str  # names as the chat shows them
    version_b: str
    content_a: str  # content hashes of the two artifacts
    content_b: str
    sampling: dict  # temperature, top_p, max_new_tokens and seed of each side
    preferred: str  # "a" or "b"
    degree: int  # modeling.rlhf.labels
    safe_a: bool
    safe_b: bool
    reason: str = ""
    comparison: str = ""  # the id of the vote on whose comparison this is another opinion; "": it begins one

    def __post_init__(self) -> None:
        if self.preferred not in ("a", "b") or self.degree not in DEGREES:
            raise ValueError(f"a vote prefers 'a' or 'b' by 0 to 3, not {self.preferred!r} by {self.degree!r}")
        if not self.messages or self.messages[-1]["role"] != "user":
            raise ValueError("a vote needs a dialogue that ends with a question")


@dataclass(frozen=True)
class Store(Database):
    """The votes in a database."""

    def add(self, vote: Vote) -> str:
        """Write a vote and return its id, once it is on disk.

        Raises RatingsError if it is not, or if the vote that began its comparison no longer counts.
        """
        identifier = uuid.uuid4().hex
        row = clean(vars(vote)) | {
            "id": identifier,
            "comparison": vote.comparison or identifier,
            "time": now(),
            "messages": json_text.dumps(list(vote.messages), ensure_ascii=False),
            "sampling": json_text.dumps(vote.sampling),
        }
        with self.connection(make=True) as connection:
            connection.execute(VOTES.insert().values(row))
            # After the insert, which locks the database: nobody can withdraw or forget the first vote in between.
            began = sa.select(VOTES.c.id).where((VOTES.c.id == row["comparison"]) & _counts(vote.scale))
            if connection.execute(began).first() is None:
                raise RatingsError("the vote that began this comparison was withdrawn meanwhile")
        return identifier

    def second_opinion(self, scale: str, rater: str, shuffle: random.Random) -> dict | None:
        """The first vote of a comparison that other raters judged and this one did not, or None.

        Comparisons with the fewest opinions come first; none gets more than MOST_OPINIONS.
        """
        said = (
            sa.select(VOTES.c.comparison, sa.func.count().label("opinions"))
            .where(_counts(scale))
            .group_by(VOTES.c.comparison)
            .having(sa.func.count() < MOST_OPINIONS)
            .subquery()
        )
        judged = sa.select(VOTES.c.comparison).where((VOTES.c.rater == rater) & VOTES.c.comparison.is_not(None))
        differ = sa.func.trim(VOTES.c.answer_a) != sa.func.trim(VOTES.c.answer_b)
        others = sa.select(VOTES.c.id).join(said, said.c.comparison == VOTES.c.id)
        others = others.where(_counts(scale) & differ & VOTES.c.id.not_in(judged))
        found = self.rows(others.order_by(said.c.opinions, VOTES.c.number).limit(DRAWN_FROM))
        if not found:
            return None
        rows = self.rows(sa.select(VOTES).where(VOTES.c.id == shuffle.choice(found)["id"]))
        return _parsed(rows[0]) if rows else None  # none if it was forgotten meanwhile

    def withdraw(self, identifier: str, rater: str) -> bool:
        """Withdraw a vote of this rater. Returns whether there was one that counted."""
        mine = (VOTES.c.id == identifier) & (VOTES.c.rater == rater) & VOTES.c.withdrawn.is_(None)
        with self.connection(make=True) as connection:
            return connection.execute(VOTES.update().where(mine).values(withdrawn=now())).rowcount == 1

    def forget(self, rater: str) -> tuple[int, int]:
        """Delete all votes of a rater from the database, and the opinions of others on what this rater asked.

        Returns the numbers of both.
        """
        mine = VOTES.c.rater == rater
        if not self.rows(sa.select(VOTES.c.id).where(mine)):
            return 0, 0
        with self.erasing() as connection:
            asked = VOTES.c.comparison.in_(sa.select(VOTES.c.id).where(mine))
            others = connection.execute(VOTES.delete().where(asked & ~mine)).rowcount
            return connection.execute(VOTES.delete().where(mine)).rowcount, others

    def counted(self, scale: str, first: int = 0) -> list[dict]:
        """The votes on a scale's versions that are not withdrawn, in the order of voting: all, or the `first` ones."""
        asked = sa.select(VOTES).where(_counts(scale)).order_by(VOTES.c.number)
        rows = self.rows(asked.limit(first) if first else asked)
        return [_parsed(row) for row in rows]

    def count(self, scale: str) -> int:
        """The number of votes on a scale's versions that are not withdrawn."""
        return len(self._identifiers(scale))

    def batches(self, scale: str, size: int) -> tuple[int, str]:
        """(number of a scale's votes in complete batches of `size`, which ones: `digest`)."""
        votes = self._identifiers(scale)
        whole = len(votes) // size * size
        return whole, digest(votes[:whole])

    def _identifiers(self, scale: str) -> list[dict]:
        return self.rows(sa.select(VOTES.c.id).where(_counts(scale)).order_by(VOTES.c.number))


def _counts(scale: str) -> sa.ColumnElement[bool]:
    return (VOTES.c.scale == scale) & VOTES.c.withdrawn.is_(None)


def _parsed(row: dict) -> dict:
    return row | {name: json.loads(row[name]) for name in ("messages", "sampling")}


def digest(votes: Sequence[dict]) -> str:
    """A hash of which votes these are: votes are never changed, so their ids tell."""
    return hashing.digest("\n".join(vote["id"] for vote in votes)).hex() if votes else ""
