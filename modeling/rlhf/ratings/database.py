"""The database of what people leave in the chat: connections to SQLite or PostgreSQL, and its revisions.

CRIA_RATINGS names it as an SQLAlchemy address. The default is the file `ratings.sqlite` in the artifact store, with a
write-ahead log. Servers on several machines share a PostgreSQL. On both, what was acknowledged is on disk.
"""

import datetime
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from alembic.util import CommandError

from data_cleaning import paths
from modeling.rlhf.ratings import schema

ADDRESS = "CRIA_RATINGS"
FILE = "ratings.sqlite"
WAIT_S = 30  # for another server that is writing, or for a database that does not answer
WAITS = {"pysqlite": "timeout", "psycopg": "connect_timeout", "psycopg2": "connect_timeout"}  # the setting, by driver
WRITING = 0x43726961  # PostgreSQL's advisory lock of those who write
FIRST_TABLE = "votes"  # of the first revision: without it, the database is empty
NUL = "\x00"  # PostgreSQL keeps no text with this character, which a model can generate

METADATA = sa.MetaData()  # the tables as the newest revision makes them (schema.py)


class RatingsError(ValueError):
    """The database cannot be read or written."""


@dataclass(frozen=True)
class Database:
    """The database at an SQLAlchemy address. Its tables are made when something is first written."""

    address: str

    @classmethod
    def here(cls) -> Self:
        """The database that CRIA_RATINGS names, else the file in the artifact store."""
        return cls(os.environ.get(ADDRESS) or f"sqlite:///{paths.store() / FILE}")

    def rows(self, asked: sa.Select) -> list[dict]:
        """The rows that a query finds; none in a database that is still empty. Raises RatingsError."""
        url = sa.make_url(self.address)
        if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
            return []
        with self.connection() as connection:
            if not sa.inspect(connection).has_table(FIRST_TABLE):
                return []
            old = not schema.is_current(connection)
        with self.connection(make=old) as connection:
            return [dict(row) for row in connection.execute(asked).mappings()]

    @contextmanager
    def connection(self, make: bool = False) -> Iterator[sa.Connection]:
        """A connection that commits at the end. `make`: with folder and tables, made or brought up to date.

        With `make`, PostgreSQL lets one process write at a time. Raises RatingsError.
        """
        try:
            url = sa.make_url(self.address)
            waits = WAITS.get(url.get_driver_name())
            engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={waits: WAIT_S} if waits else {})
            lite = engine.dialect.name == "sqlite"
            if make and lite:
                _make_file(engine, Path(url.database))
            with engine.connect() as connection:
                if lite:
                    connection.exec_driver_sql("PRAGMA synchronous=FULL")  # a vote survives a cut of power
                    connection.commit()
                elif make:
                    _lock_and_make(connection)
                yield connection
                connection.commit()
        except ModuleNotFoundError as error:
            raise RatingsError(_install(url, error)) from error
        except CommandError as error:
            raise RatingsError(
                f"the database of {ADDRESS} has the tables of a newer version: update the code"
            ) from error
        except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
            raise RatingsError(f"the ratings of {ADDRESS} cannot be used ({type(error).__name__}): {error}") from error

    @contextmanager
    def erasing(self) -> Iterator[sa.Connection]:
        """A connection whose deletions leave nothing in the files of SQLite. Raises RatingsError."""
        with self.connection(make=True) as connection:
            lite = connection.dialect.name == "sqlite"
            if lite:
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # overwrites the pages too
            yield connection
            connection.commit()
            if lite:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _make_file(engine: sa.Engine, file: Path) -> None:
    """Makes the tables of a file, one process at a time: SQLite does not wait where two change the journal's mode."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            if not schema.is_current(connection):
                schema.upgrade(connection)
            connection.commit()


def _lock_and_make(connection: sa.Connection) -> None:
    """Makes the tables of a database server, as part of the transaction that writes a vote.

    In PostgreSQL one transaction writes at a time. Votes then become visible in the order of their numbers, so that a
    complete batch stays the same, and no two servers make the tables at once.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_S}s'")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITING)))
        connection.exec_driver_sql("SET LOCAL synchronous_commit = on")  # a vote survives a cut of power
    if not schema.is_current(connection):
        schema.upgrade(connection)


def _install(url: sa.URL, error: ModuleNotFoundError) -> str:
    """What to do where the driver of an address is not installed."""
    if url.get_backend_name() != "postgresql":
        return f"the ratings of {ADDRESS} need the driver {error.name}, which is not installed"
    return (
        f"the ratings of {ADDRESS} need a driver for PostgreSQL: .venv/bin/pip install 'psycopg[binary]', and an address "
        "that begins with postgresql+psycopg://"
    )


def clean(row: dict) -> dict:
    """The row without the character that PostgreSQL refuses."""
    return {name: value.replace(NUL, "\ufffd") if isinstance(value, str) else value for name, value in row.items()}


def now() -> str:
    return stamp(datetime.datetime.now(datetime.UTC))


def stamp(time: datetime.datetime) -> str:
    """A time in UTC as the tables hold it: ISO 8601, which sorts as text."""
    return time.isoformat(timespec="milliseconds")
