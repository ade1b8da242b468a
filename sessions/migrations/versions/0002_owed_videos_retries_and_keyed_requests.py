"""Retries, reconciling and late videos; lanes; learned durations; idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

UNSETTLED = "state NOT IN ('cancelled', 'failed', 'succeeded') OR owed"
UNSETTLED_IN_SQLITE = UNSETTLED + " = 1"  # a partial index serves the queries that are worded like it


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("lane", sa.String(length=32), nullable=False, server_default="interactive")
    )
    op.add_column("scenes", sa.Column("tries", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("scenes", sa.Column("submitted_at", sa.BigInteger(), nullable=True))
    op.add_column("scenes", sa.Column("generated_at", sa.BigInteger(), nullable=True))
    op.add_column("scenes", sa.Column("owed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("takes", sa.Column("late", sa.Boolean(), nullable=False, server_default=sa.false()))
    # What has been started may have been sent: to be asked for, not to be sent blindly.
    op.execute("UPDATE scenes SET submitted_at = updated_at WHERE attempt > 0")
    op.create_index(op.f("ix_scenes_generated_at"), "scenes", ["generated_at"], unique=False)
    op.create_index(
        "ix_scenes_unsettled",
        "scenes",
        ["job_id"],
        unique=False,
        sqlite_where=sa.text(UNSETTLED_IN_SQLITE),
        postgresql_where=sa.text(UNSETTLED),
    )
    op.create_table(
        "requests",
        sa.Column("caller", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(length=36), nullable=True),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_requests")),
    )
    op.create_index(op.f("ix_requests_created_at"), "requests", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("requests")
    op.drop_index("ix_scenes_unsettled", "scenes")
    op.drop_index(op.f("ix_scenes_generated_at"), "scenes")
    op.drop_column("takes", "late")
    for column in ("owed", "generated_at", "submitted_at", "tries"):
        op.drop_column("scenes", column)
    op.drop_column("jobs", "lane")
