"""The ledger of credits: accounts, holds, charges."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ACCOUNT = ["accounts.owner", "accounts.currency"]


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("currency", sa.String(length=32), nullable=False),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "currency", name=op.f("pk_accounts")),
        sa.CheckConstraint("available >= 0", name=op.f("ck_accounts_available")),
        sa.CheckConstraint("held >= 0", name=op.f("ck_accounts_held")),
    )
    op.create_table(
        "holds",
        sa.Column("scene_id", sa.String(length=36), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("currency", sa.String(length=32), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("scene_id", name=op.f("pk_holds")),
        sa.ForeignKeyConstraint(["owner", "currency"], ACCOUNT, name=op.f("fk_holds_owner_currency")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_holds_amount")),
        sa.ForeignKeyConstraint(["scene_id"], ["scenes.id"], name=op.f("fk_holds_scene_id")),
    )
    op.create_table(
        "charges",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("currency", sa.String(length=32), nullable=False),
        sa.Column("scene_id", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("available_delta", sa.BigInteger(), nullable=False),
        sa.Column("held_delta", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_charges")),
        sa.ForeignKeyConstraint(["owner", "currency"], ACCOUNT, name=op.f("fk_charges_owner_currency")),
        sa.UniqueConstraint("scene_id", "kind", name=op.f("uq_charges_scene_id_kind")),
        sa.ForeignKeyConstraint(["scene_id"], ["scenes.id"], name=op.f("fk_charges_scene_id")),
    )
    op.create_index(
        op.f("ix_charges_owner_currency_seq"), "charges", ["owner", "currency", "seq"], unique=False
    )


def downgrade() -> None:
    for table in ("charges", "holds", "accounts"):
        op.drop_table(table)
