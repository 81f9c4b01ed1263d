"""The table of votes."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table(
        "votes",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), unique=True, nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
        sa.Column("rater", sa.String(64), nullable=False),
        sa.Column("scale", sa.String(32), nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("answer_a", sa.Text, nullable=False),
        sa.Column("answer_b", sa.Text, nullable=False),
        sa.Column("version_a", sa.String(64), nullable=False),
        sa.Column("version_b", sa.String(64), nullable=False),
        sa.Column("content_a", sa.String(64), nullable=False),
        sa.Column("content_b", sa.String(64), nullable=False),
        sa.Column("sampling", sa.Text, nullable=False),
        sa.Column("preferred", sa.String(1), nullable=False),
        sa.Column("degree", sa.Integer, nullable=False),
        sa.Column("safe_a", sa.Boolean, nullable=False),
        sa.Column("safe_b", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("withdrawn", sa.String(32)),
        if_not_exists=True,
    )
