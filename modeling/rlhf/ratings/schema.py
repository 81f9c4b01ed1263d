"""The tables of the votes' database, as Alembic's revisions in migrations/versions/ make them, one after another.

A change of the tables is a new revision. It may add, and it keeps every vote. A database is brought up to date when it is
next used; one from before revisions were kept counts as empty of them, and the first leaves its table as it is.
"""

import functools
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).with_name("migrations")


@functools.cache
def newest() -> tuple[str, ...]:
    """The revision of the tables that this code reads and writes."""
    return tuple(ScriptDirectory(str(MIGRATIONS)).get_heads())


def is_current(connection: sa.Connection) -> bool:
    """Whether the tables of the database are those of the newest revision."""
    return MigrationContext.configure(connection).get_current_heads() == newest()


def upgrade(connection: sa.Connection) -> None:
    """Bring the tables up to date, in the transaction of the connection; one process at a time.

    Raises alembic's CommandError for a database that a newer revision made.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
