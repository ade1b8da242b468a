"""What is written to the ledger, each function inside the caller's transaction.

Every change is one conditional UPDATE, and the charge that says so: of two that meet, in
whichever processes, the database lets one come first, and the other finds nothing to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from sessions import ledger_reads
from sessions.api_keys import NAME_LIMIT, is_name
from sessions.errors import InsufficientCredit, InvalidInput
from sessions.ledger import (
    EFFECTS,
    LARGEST,
    MOVES,
    NOTE_LIMIT,
    OPENING,
    Balance,
    ChargeKind,
    Currency,
    HoldState,
    Purchase,
    settlement,
)
from sessions.ledger_tables import accounts, charges, holds
from sessions.model import Scene

# Statements are built once: building one costs more than running it.
_by = sa.bindparam

# As text: SQLAlchemy has it for each database under another name, and both of ours read this.
_OPEN_ACCOUNT = sa.text(
    "INSERT INTO accounts (owner, currency, available, held) VALUES (:owner, :currency, 0, 0)"
    " ON CONFLICT (owner, currency) DO NOTHING"
)
_CHANGE_ACCOUNT = (
    sa.update(accounts)
    .where(
        accounts.c.owner == _by("its_owner"),
        accounts.c.currency == _by("its_currency"),
        accounts.c.available + _by("more") >= 0,
    )
    .values(available=accounts.c.available + _by("more"), held=accounts.c.held + _by("more_held"))
)
_INSERT_CHARGE = sa.insert(charges)
_INSERT_HOLD = sa.insert(holds)
_HOLD = sa.select(holds).where(holds.c.scene_id == _by("scene_id"))
_MOVE_HOLD = sa.update(holds).where(holds.c.scene_id == _by("its_scene"), holds.c.state == _by("found"))


def hold(connection: sa.Connection, purchase: Purchase, scene_ids: Sequence[str], now: datetime) -> None:
    """Put the price of each of the scenes, which are on record, aside: of all of them, or of none.

    Opens the account if there is none. Raises ``InsufficientCredit``, naming the price of all;
    what was written until then is the caller's to roll back.
    """
    owner, currency, amount = purchase.owner, purchase.price.currency, purchase.price.amount

    def paid() -> bool:
        return _charge(connection, ChargeKind.HOLD, owner, currency, amount, scene_ids=scene_ids, now=now)

    if not paid():
        _open(connection, owner, currency, purchase.opening, now)
        if not paid():
            raise InsufficientCredit(
                currency=currency.value,
                cost=amount * len(scene_ids),
                available=ledger_reads.balance(connection, owner, currency).available,
            )
    common = {"owner": owner, "currency": currency.value, "amount": amount}
    rows = [{"scene_id": scene_id, "state": HoldState.HELD.value, **common} for scene_id in scene_ids]
    connection.execute(_INSERT_HOLD, rows)


def settle(connection: sa.Connection, before: Scene, after: Scene, now: datetime) -> None:
    """Charge what is due for the scene after a change; nothing for one without a hold."""
    if before.state is after.state and before.owed is after.owed:
        return
    row = connection.execute(_HOLD, {"scene_id": after.id}).first()
    kind = settlement(after, HoldState(row.state)) if row else None
    if row is None or kind is None:
        return
    found, left = MOVES[kind]
    moved = connection.execute(_MOVE_HOLD, {"its_scene": after.id, "found": found.value, "state": left.value})
    if moved.rowcount == 1:
        _charge(
            connection, kind, row.owner, Currency(row.currency), row.amount, scene_ids=[after.id], now=now
        )


def grant(
    connection: sa.Connection,
    owner: str,
    currency: Currency,
    amount: int,
    *,
    note: str,
    now: datetime,
    opening: int = 0,
) -> Balance:
    """Add to what the owner can spend; a negative amount takes back, what is held excepted.

    Opens the account if there is none, with ``opening`` beside the grant. Raises
    ``InvalidInput``; what was written until then is the caller's to roll back.
    """
    if not is_name(owner):
        raise InvalidInput(f"an owner is named by 1 to {NAME_LIMIT} printable characters")
    if len(note) > NOTE_LIMIT or not note.isprintable():
        raise InvalidInput(f"a note has up to {NOTE_LIMIT} printable characters")
    if not 0 < abs(amount) <= LARGEST:
        raise InvalidInput(f"an amount is a whole number up to {LARGEST}, below 0 to take back, and not 0")
    _open(connection, owner, currency, opening, now)
    granted = _charge(connection, ChargeKind.GRANT, owner, currency, amount, now=now, note=note)
    balance = ledger_reads.balance(connection, owner, currency)
    if not granted:
        raise InvalidInput(f"{owner} has {balance.available} {currency} available: no more can be taken back")
    if balance.available > LARGEST:
        raise InvalidInput(f"an account holds up to {LARGEST} {currency}")
    return balance


def _open(connection: sa.Connection, owner: str, currency: Currency, opening: int, now: datetime) -> None:
    """Open the account with what its owner begins with, unless it is there."""
    opened = connection.execute(_OPEN_ACCOUNT, {"owner": owner, "currency": currency.value})
    if opened.rowcount == 1 and opening:
        _charge(connection, ChargeKind.GRANT, owner, currency, opening, now=now, note=OPENING)


def _charge(
    connection: sa.Connection,
    kind: ChargeKind,
    owner: str,
    currency: Currency,
    amount: int,
    *,
    scene_ids: Sequence[str | None] = (None,),
    now: datetime,
    note: str = "",
) -> bool:
    """Change the account by ``amount`` for each of the scenes (without any: once), and put that on record.

    False, and nothing is written, if there is no account, or not enough in it.
    """
    more, more_held = (amount * effect for effect in EFFECTS[kind])
    changed = connection.execute(
        _CHANGE_ACCOUNT,
        {
            "its_owner": owner,
            "its_currency": currency.value,
            "more": more * len(scene_ids),
            "more_held": more_held * len(scene_ids),
        },
    )
    if changed.rowcount != 1:
        return False
    row = {
        "owner": owner,
        "currency": currency.value,
        "kind": kind.value,
        "available_delta": more,
        "held_delta": more_held,
        "at": now,
        "note": note,
    }
    connection.execute(_INSERT_CHARGE, [{"scene_id": scene_id, **row} for scene_id in scene_ids])
    return True
