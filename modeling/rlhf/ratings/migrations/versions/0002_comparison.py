"""Which comparison a vote judges: one of its own, or that of an earlier vote. Votes from before this revision have none."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.add_column("votes", sa.Column("comparison", sa.String(32)))
