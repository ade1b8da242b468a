"""Clips that somebody pays for, and what stands in the books afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sessions import lifecycle
from sessions.database import Database
from sessions.ledger import ChargeKind, Currency, Price, Purchase
from sessions.lifecycle import Transition
from sessions.model import Frames, Job, Scene
from tests.sessions.making import FAILURE, NOW, a_take, new_id, sql

COST = 50
BOOKS = ("accounts", "holds", "charges")

#: what may happen to a scene
VERBS: Mapping[str, Callable[[Scene], Transition]] = {
    "start": lambda it: lifecycle.start(it, NOW),
    "sent": lambda it: lifecycle.sent(it, NOW),
    "tick": lambda it: lifecycle.tick(it, 40, NOW),
    "reconcile": lambda it: lifecycle.reconcile(it, NOW),
    "generated": lambda it: lifecycle.generated(it, "http://x/y.mp4", 0.1, f"{it.id}.mp4", NOW),
    "downloaded": lambda it: lifecycle.downloaded(it, NOW),
    "succeed": lambda it: lifecycle.succeed(it, a_take(it), NOW),
    "fail": lambda it: lifecycle.fail(it, FAILURE, NOW),
    "put back": lambda it: lifecycle.put_back(it, NOW),
    "retry": lambda it: lifecycle.retry(it, FAILURE, new_id(), NOW),
    "cancel": lambda it: lifecycle.cancel(it, NOW),
}


def clips(number: int = 1, **changes: Any) -> tuple[Job, list[Scene]]:
    """A job of clips without a session."""
    job = Job(id=new_id(), session_id=None, created_at=NOW)
    values: dict[str, Any] = {
        "job_id": job.id,
        "session_id": None,
        "scenario": None,
        "take": 0,
        "prompt": "A lamp",
        "model": "local:preview@1",
        "provider": "local",
        "seconds": 5.0,
        "width": 256,
        "height": 144,
        "frames": Frames(),
        "sound": True,
        "created_at": NOW,
        "updated_at": NOW,
        **changes,
    }
    return job, [Scene(id=new_id(), task_id=new_id(), **values) for _ in range(number)]


def purchase(
    owner: str = "ann", cost: int = COST, *, currency: Currency = Currency.TOKENS, opening: int = 0
) -> Purchase:
    return Purchase(owner=owner, price=Price(currency=currency, amount=cost), opening=opening)


async def bought(database: Database, number: int = 1, **changes: Any) -> tuple[Scene, ...]:
    """The scenes of a new job, for which ann has paid; her account opens with as much if she has none."""
    order = purchase(opening=COST * number)
    return (await database.create_job(*clips(number, **changes), purchase=order)).scenes


async def granted(database: Database, amount: int, owner: str = "ann", *, at: datetime = NOW) -> None:
    await database.grant(owner, Currency.TOKENS, amount, note="", now=at)


async def balance(database: Database, owner: str = "ann") -> tuple[int, int]:
    found = await database.balance(owner, Currency.TOKENS)
    return found.available, found.held


def charged(database: Database, scene: Scene) -> list[ChargeKind]:
    """The kinds of the scene's charges, in their order."""
    found = sql(database, "SELECT kind FROM charges WHERE scene_id = ? ORDER BY seq", scene.id)
    return [ChargeKind(kind) for (kind,) in found]


def on_record(database: Database, *tables: str) -> dict[str, int]:
    return {table: sql(database, f"SELECT count(*) FROM {table}")[0][0] for table in tables}
