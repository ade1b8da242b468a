"""Sessions belong to users; those of before belong to nobody."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("owner", sa.String(length=255), nullable=True))
    op.create_index(op.f("ix_sessions_owner"), "sessions", ["owner"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sessions_owner"), "sessions")
    op.drop_column("sessions", "owner")
