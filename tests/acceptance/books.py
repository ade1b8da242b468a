"""The books of a chaos run: what is on record, against what customers and the provider say.

Read with SQL of its own, so that nothing of the product vouches for itself; only whether the ledger
contradicts itself is the product's own question, ``scenewright credits check``.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sessions.database import Database
from tests.acceptance.orders import Order
from tests.acceptance.server import DATABASE
from tests.wire.ledger import Charge

#: what one clip costs under the terms of each API, and in what; the gallery's are free
PRICES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {"video_jobs": ("tokens", 50), "credits": ("dust", 10)}
)

#: what every account opens with, in either currency
OPENING = 1_000_000

#: video jobs of one user that run side by side
RUNNING = 3

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "SCENEWRIGHT_TERMS__VIDEO_JOBS__PRICE": str(PRICES["video_jobs"][1]),
        "SCENEWRIGHT_TERMS__VIDEO_JOBS__RUNNING": str(RUNNING),
        "SCENEWRIGHT_TERMS__VIDEO_JOBS__WAITING": "1000",
        "SCENEWRIGHT_TERMS__CREDITS__PRICE": str(PRICES["credits"][1]),
        "SCENEWRIGHT_CREDITS__OPENING_TOKENS": str(OPENING),
        "SCENEWRIGHT_CREDITS__OPENING_DUST": str(OPENING),
    }
)

_UNSETTLED = "SELECT count(*) FROM scenes WHERE owed OR state NOT IN ('succeeded', 'failed', 'cancelled')"

_WAITING = "SELECT count(*) FROM jobs WHERE terms = 'video_jobs' AND state = 'queued' AND deleted_at IS NULL"

_CLIPS = """
SELECT jobs.id, jobs.owner, jobs.terms, jobs.deleted_at IS NOT NULL AS deleted, scenes.prompt,
       holds.owner AS payer, holds.currency, holds.amount, holds.state AS hold, takes.file
FROM jobs JOIN scenes ON scenes.job_id = jobs.id
LEFT JOIN holds ON holds.scene_id = scenes.id LEFT JOIN takes ON takes.scene_id = scenes.id
WHERE jobs.terms <> 'scenes'
"""

_ENDS = """
SELECT scenes.prompt, jobs.owner, min(events.at) AS at
FROM events JOIN scenes ON scenes.id = events.scene_id JOIN jobs ON jobs.id = scenes.job_id
WHERE jobs.terms = 'video_jobs' AND events.kind IN ('succeeded', 'failed', 'cancelled')
GROUP BY scenes.id
"""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """An order as it stands on record."""

    id: str
    owner: str
    terms: str
    deleted: bool
    prompt: str
    payer: str | None
    currency: str | None
    amount: int | None
    hold: str | None
    file: str | None


class Books:
    """The database of a server, read beside it or after it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def when_killed(self) -> tuple[int, list[str]]:
        """Video jobs that wait, and contradictions in the ledger, at the instant of the end.

        Looks at a copy: the next start shall find everything as the kill has left it.
        """
        copies = self._folder / "when-killed"
        shutil.rmtree(copies, ignore_errors=True)
        copies.mkdir()
        for file in (DATABASE, f"{DATABASE}-wal"):
            if (self._folder / file).exists():
                shutil.copyfile(self._folder / file, copies / file)
        database = Database(f"sqlite:///{copies / DATABASE}")
        await database.open_beside()
        try:
            wrong = [str(it) for it in await database.discrepancies()]
        finally:
            await database.close()
        return _read(copies, _WAITING)[0][0], wrong

    def unsettled(self) -> int:
        """Scenes that are not over, or for which a video may still come."""
        found: int = _read(self._folder, _UNSETTLED)[0][0]
        return found

    def clips(self) -> list[Clip]:
        return [Clip(**row) for row in _read(self._folder, _CLIPS)]

    def side_by_side(self, charges: Sequence[Charge]) -> int:
        """The most video jobs of one user that ran at the same time.

        Each from the moment at which the provider took it to its end on our record. Where the provider
        took it later than that, it had been cancelled on its way there.
        """
        ends = {row["prompt"]: (row["owner"], _moment(row["at"])) for row in _read(self._folder, _ENDS)}
        steps: dict[str, list[tuple[datetime, int]]] = {}
        for charge in charges:
            owner, end = ends.get(charge.prompt, ("", charge.at))
            if charge.at < end:
                steps.setdefault(owner, []).extend([(charge.at, 1), (end, -1)])
        return max((_most(sorted(its)) for its in steps.values()), default=0)


def contradictions(
    clips: Sequence[Clip], orders: Mapping[str, Order], charged: Collection[str]
) -> Iterator[str]:
    """What the records say otherwise than customers and the provider, who billed the prompts ``charged``."""
    times = Counter(clip.prompt for clip in clips)
    yield from (f"lost: {orders[prompt]}" for prompt in orders.keys() - times.keys())
    yield from (f"nobody ordered {prompt!r}" for prompt in times.keys() - orders.keys())
    yield from (f"made {number} times: {prompt!r}" for prompt, number in times.items() if number > 1)
    for clip in clips:
        if clip.prompt in orders:
            wrong = _wrong(clip, orders[clip.prompt], billed=clip.prompt in charged)
            yield from (f"{problem}: {clip}, {orders[clip.prompt]}" for problem in wrong)


def balances(clips: Sequence[Clip], users: Sequence[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """What must be available and held: whoever has a video has paid for it, and nobody else."""
    left = {(user, currency): OPENING for user in users for currency, _ in PRICES.values()}
    for clip in clips:
        if clip.file and clip.terms in PRICES:
            currency, price = PRICES[clip.terms]
            left[clip.owner, currency] -= price
    return {account: (available, 0) for account, available in left.items()}


def _wrong(clip: Clip, order: Order, *, billed: bool) -> Iterator[str]:
    if (clip.id, clip.owner, clip.terms) != (order.job_id, order.plan.user, order.plan.api):
        yield "not what was answered"
    if clip.deleted != (order.possible == {"deleted"}):
        yield "deleted by nobody, or not at all"
    price = PRICES.get(clip.terms)
    if (clip.payer, clip.currency, clip.amount) != ((clip.owner, *price) if price else (None, None, None)):
        yield "another price, or another payer"
    if (clip.file is not None) != (billed and not order.plan.fails):
        yield "a video that nobody made, or one that was made and is not there"
    if clip.hold == "captured" and not (billed and clip.file):
        yield "paid for nothing"
    if clip.hold in ("released", "refunded") and clip.file:
        yield "not paid for"
    if clip.hold == "released" and billed:
        yield "given back as if it had never been sent"
    if clip.hold == "held":
        yield "neither paid nor given back"


def _most(steps: Sequence[tuple[datetime, int]]) -> int:
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _read(folder: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as file:
        file.row_factory = sqlite3.Row
        return file.execute(statement).fetchall()
