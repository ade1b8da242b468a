"""The ledger of credits: two currencies, accounts, holds, charges, and the rules between them. Pure.

A scene is paid for in three steps. Its price is *held* when its job is created: taken from what
is available, so that nobody spends it twice. It is *captured* when the job starts. It comes
back if there is no video: *released* if it was only held, *refunded* if it was captured. Each
step happens at most once for a scene, and leaves a charge on record that is never changed;
at any moment the sums of an owner's charges are the balance.

Amounts are whole numbers of a currency's smallest unit; there are no fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from sessions.model import Scene, SceneState, Stage

#: most units in one grant and in one account: far below where SQLite's whole numbers end
LARGEST = 10**15

#: longest note of a charge
NOTE_LIMIT = 255

#: the note of the grant with which an account opens
OPENING = "opening balance"


class Currency(StrEnum):
    """What is paid with. One is never changed into the other."""

    TOKENS = "tokens"
    DUST = "dust"


class ChargeKind(StrEnum):
    """Why a balance has changed."""

    GRANT = "grant"  #: put by an opening account or by whoever looks after the service; may be negative
    HOLD = "hold"  #: put with the scene's job
    CAPTURE = "capture"  #: put by the scene's start, at the latest by its video
    RELEASE = "release"  #: put by the end of a scene that was never started
    REFUND = "refund"  #: put by the end of a started scene that has no video


class HoldState(StrEnum):
    """What has become of a scene's price."""

    HELD = "held"  #: in with the scene's job; out by its start or its end
    CAPTURED = "captured"  #: in by the scene's start; out by an end without a video
    RELEASED = "released"  #: in by an end before any start; final
    REFUNDED = "refunded"  #: in by an end without a video after a start; final


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one scene costs."""

    currency: Currency
    amount: int  #: more than 0; what is free has no price


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """Who pays for the scenes of a job."""

    owner: str  #: the user whose account it is
    price: Price  #: of each scene
    opening: int = 0  #: what an account that does not exist yet opens with


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What is in an account. What has been captured is gone."""

    available: int  #: can be spent
    held: int  #: belongs to scenes that have not been started


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A change of a balance, as it stands on record."""

    seq: int  #: its place in the order of all charges
    owner: str
    currency: Currency
    scene_id: str | None  #: the scene it is for; None for a grant
    kind: ChargeKind
    available_delta: int  #: what was added to the available units, or taken from them
    held_delta: int  #: what was added to the held units, or taken from them
    at: datetime
    note: str  #: for people; empty if there is nothing to say


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """Two things on record that contradict each other."""

    owner: str
    currency: str  #: as it is on record
    scene_id: str | None  #: None if it concerns the account as a whole
    problem: str  #: what is wrong, for people


#: what a charge adds to the available and to the held units, for each unit of its amount
EFFECTS: Mapping[ChargeKind, tuple[int, int]] = MappingProxyType(
    {
        ChargeKind.GRANT: (1, 0),
        ChargeKind.HOLD: (-1, 1),
        ChargeKind.CAPTURE: (0, -1),
        ChargeKind.RELEASE: (1, -1),
        ChargeKind.REFUND: (1, 0),
    }
)

#: the charges that settle a hold: the state each one finds it in, and the state it leaves it in
MOVES: Mapping[ChargeKind, tuple[HoldState, HoldState]] = MappingProxyType(
    {
        ChargeKind.CAPTURE: (HoldState.HELD, HoldState.CAPTURED),
        ChargeKind.RELEASE: (HoldState.HELD, HoldState.RELEASED),
        ChargeKind.REFUND: (HoldState.CAPTURED, HoldState.REFUNDED),
    }
)

#: the charges behind a hold in each state, in their order
HISTORIES: Mapping[HoldState, tuple[ChargeKind, ...]] = MappingProxyType(
    {
        HoldState.HELD: (ChargeKind.HOLD,),
        HoldState.CAPTURED: (ChargeKind.HOLD, ChargeKind.CAPTURE),
        HoldState.RELEASED: (ChargeKind.HOLD, ChargeKind.RELEASE),
        HoldState.REFUNDED: (ChargeKind.HOLD, ChargeKind.CAPTURE, ChargeKind.REFUND),
    }
)

_OPEN = frozenset({HoldState.HELD, HoldState.CAPTURED})
_PAID = frozenset({HoldState.CAPTURED})
_RETURNED = frozenset({HoldState.RELEASED, HoldState.REFUNDED})


def permitted(state: SceneState, stage: Stage, *, owed: bool) -> frozenset[HoldState]:
    """The states in which the hold of a scene may be.

    A cancelled scene that is owed waits for the provider, which bills what it delivers: nothing
    is given back until no video can come any more. One in the queue has been captured if it was
    put back there, after a start.
    """
    match state:
        case SceneState.QUEUED:
            return _OPEN
        case SceneState.RUNNING | SceneState.RECONCILING | SceneState.SUCCEEDED:
            return _PAID
        case SceneState.FAILED:
            return _RETURNED
        case SceneState.CANCELLED if owed:
            return _OPEN
        case SceneState.CANCELLED:
            return _PAID if stage is Stage.COMPLETE else _RETURNED


def settlement(scene: Scene, hold: HoldState) -> ChargeKind | None:
    """The charge that is due for the scene as it is now; None if there is nothing to do."""
    may_be = permitted(scene.state, scene.stage, owed=scene.owed)
    if hold in may_be:
        return None
    due = (kind for kind, (found, left) in MOVES.items() if found is hold and left in may_be)
    return next(due, None)
