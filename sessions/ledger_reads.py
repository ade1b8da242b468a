"""What is read from the ledger, each function on the caller's connection."""

from __future__ import annotations

import sqlalchemy as sa

from sessions.errors import InsufficientCredit
from sessions.ledger import Balance, Charge, ChargeKind, Currency, Purchase
from sessions.ledger_tables import accounts, charges

# Statements are built once: building one costs more than running it.
_by = sa.bindparam

_BALANCE = sa.select(accounts.c.available, accounts.c.held).where(
    accounts.c.owner == _by("owner"), accounts.c.currency == _by("currency")
)
_CHARGES = (
    sa.select(charges)
    .where(charges.c.owner == _by("owner"), charges.c.currency == _by("currency"))
    .order_by(charges.c.seq.desc())
    .limit(_by("limit", type_=sa.Integer))
)


def balance(connection: sa.Connection, owner: str, currency: Currency, *, opening: int = 0) -> Balance:
    """What is in the account; one that does not exist yet is taken for what it would open with."""
    row = connection.execute(_BALANCE, {"owner": owner, "currency": currency.value}).first()
    return Balance(available=row.available, held=row.held) if row else Balance(available=opening, held=0)


def check_funds(connection: sa.Connection, purchase: Purchase) -> None:
    """Raise ``InsufficientCredit`` if there is not enough for one scene now."""
    owner, currency, cost = purchase.owner, purchase.price.currency, purchase.price.amount
    available = balance(connection, owner, currency, opening=purchase.opening).available
    if available < cost:
        raise InsufficientCredit(currency=currency.value, cost=cost, available=available)


def charges_of(connection: sa.Connection, owner: str, currency: Currency, limit: int) -> list[Charge]:
    """The newest ``limit`` charges of the account, newest first."""
    found = connection.execute(_CHARGES, {"owner": owner, "currency": currency.value, "limit": limit})
    return [
        Charge(**{**row, "currency": Currency(row["currency"]), "kind": ChargeKind(row["kind"])})
        for row in found.mappings()
    ]
