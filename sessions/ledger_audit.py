"""Whether the ledger agrees with itself and with the scenes; nothing else may be believed of it.

Each question is one statement, and so speaks of one moment, whoever is writing meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from sessions.ledger import EFFECTS, HISTORIES, ChargeKind, Discrepancy, permitted
from sessions.ledger_tables import accounts, charges, holds
from sessions.model import SceneState, Stage
from sessions.tables import scenes

# Statements are built once: building one costs more than running it.


def _differences(*sides: sa.Select[Any], by: tuple[str, ...], of: tuple[str, ...]) -> sa.Select[Any]:
    """The sums that are not 0: what both sides say, with different signs, leaves nothing."""
    entries = sa.union_all(*sides).subquery()
    key: list[sa.ColumnElement[Any]] = [entries.c[name] for name in by]
    # PostgreSQL's sums of whole numbers are decimals.
    sums: list[sa.ColumnElement[Any]] = [
        sa.cast(sa.func.sum(entries.c[name]), sa.BigInteger).label(name) for name in of
    ]
    wrong = sa.or_(*(total != 0 for total in sums))
    return sa.select(*key, *sums).group_by(*key).having(wrong).order_by(*key)


def _by_state(number: Callable[[Sequence[ChargeKind]], int]) -> sa.ColumnElement[int]:
    """A number made from the charges that lead to the hold's state."""
    numbers = {state.value: number(kinds) for state, kinds in HISTORIES.items()}
    return sa.case(numbers, value=holds.c.state, else_=0)


_available = holds.c.amount * _by_state(lambda kinds: sum(EFFECTS[kind][0] for kind in kinds))
_held = holds.c.amount * _by_state(lambda kinds: sum(EFFECTS[kind][1] for kind in kinds))

_ACCOUNTS = _differences(
    sa.select(accounts),
    sa.select(
        *charges.c["owner", "currency"],
        -charges.c.available_delta,
        -charges.c.held_delta,
    ),
    by=("owner", "currency"),
    of=("available", "held"),
)

_HOLDS = _differences(
    sa.select(
        *holds.c["owner", "currency", "scene_id"],
        _available.label("available"),
        _held.label("held"),
        _by_state(len).label("number"),
    ),
    sa.select(
        *charges.c["owner", "currency", "scene_id"],
        -charges.c.available_delta,
        -charges.c.held_delta,
        sa.literal_column("-1", sa.Integer),
    ).where(charges.c.scene_id.is_not(None)),
    by=("owner", "currency", "scene_id"),
    of=("available", "held", "number"),
)

_SCENES = (
    sa.select(
        *holds.c["owner", "currency", "scene_id", "state"],
        scenes.c.state.label("scene_state"),
        *scenes.c["stage", "owed"],
    )
    .join(scenes, scenes.c.id == holds.c.scene_id)
    .order_by(holds.c.owner, holds.c.currency, holds.c.scene_id)
)


def discrepancies(connection: sa.Connection) -> list[Discrepancy]:
    """Everything on record that contradicts something else; empty if all is well."""
    return [
        *_wrong_accounts(connection),
        *_wrong_holds(connection),
        *_wrongly_settled(connection),
    ]


def _wrong_accounts(connection: sa.Connection) -> Iterator[Discrepancy]:
    """Accounts that are not the sums of their charges."""
    for row in connection.execute(_ACCOUNTS):
        yield Discrepancy(
            owner=row.owner,
            currency=row.currency,
            scene_id=None,
            problem=f"the account differs from its charges by {row.available:+d} available"
            f" and {row.held:+d} held",
        )


def _wrong_holds(connection: sa.Connection) -> Iterator[Discrepancy]:
    """Holds in a state to which their charges do not lead, and charges for which there is no hold."""
    for row in connection.execute(_HOLDS):
        yield Discrepancy(
            owner=row.owner,
            currency=row.currency,
            scene_id=row.scene_id,
            problem=f"the hold differs from its charges by {row.available:+d} available, {row.held:+d} held"
            f" and {row.number:+d} in their number",
        )


def _wrongly_settled(connection: sa.Connection) -> Iterator[Discrepancy]:
    """Holds that have not followed their scenes."""
    for row in connection.execute(_SCENES):
        state = SceneState(row.scene_state)
        if row.state not in permitted(state, Stage(row.stage), owed=row.owed):
            yield Discrepancy(
                owner=row.owner,
                currency=row.currency,
                scene_id=row.scene_id,
                problem=f"the scene is {'owed' if row.owed else state.value}, and its hold is {row.state}",
            )
