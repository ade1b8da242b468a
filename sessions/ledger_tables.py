"""The ledger's part of the schema (see ``ledger``). Changes go through ``migrations/``."""

from __future__ import annotations

import sqlalchemy as sa

from sessions.tables import UtcTime, metadata

_SCENE_ID = sa.String(36)
_WORD = sa.String(32)
_OWNER = sa.String(255)


def _of_account(*names: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(names, ["accounts.owner", "accounts.currency"])


accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("owner", _OWNER, primary_key=True),
    sa.Column("currency", _WORD, primary_key=True),
    sa.Column("available", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    # Whatever the program believes, nobody spends what is not there.
    sa.CheckConstraint("available >= 0", name="ck_accounts_available"),
    sa.CheckConstraint("held >= 0", name="ck_accounts_held"),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("scene_id", _SCENE_ID, sa.ForeignKey("scenes.id"), primary_key=True),
    sa.Column("owner", _OWNER, nullable=False),
    sa.Column("currency", _WORD, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("state", _WORD, nullable=False),
    _of_account("owner", "currency"),
    sa.CheckConstraint("amount > 0", name="ck_holds_amount"),
)

# Only ever added to: a refund is a row of its own.
charges = sa.Table(
    "charges",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("owner", _OWNER, nullable=False),
    sa.Column("currency", _WORD, nullable=False),
    sa.Column("scene_id", _SCENE_ID, sa.ForeignKey("scenes.id")),
    sa.Column("kind", _WORD, nullable=False),
    sa.Column("available_delta", sa.BigInteger, nullable=False),
    sa.Column("held_delta", sa.BigInteger, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("note", sa.String(255), nullable=False),
    _of_account("owner", "currency"),
    # Whatever the program believes, a scene is paid for once and refunded once.
    sa.UniqueConstraint("scene_id", "kind"),
    sa.Index(None, "owner", "currency", "seq"),
)
