"""Callbacks: each finished task is posted to the address it was submitted with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass

import aiohttp

from tests.wire.tasks import Json, Task, outcome

_TRIES = 4
_FIRST_PAUSE = 0.25
#: a slower receiver counts as none
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One try to deliver a callback."""

    url: str
    #: of the answer; None: there was none
    status: int | None

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def to_json(self) -> Json:
        return asdict(self)


class Caller:
    """Delivers callbacks, and tells of each try."""

    def __init__(self, record: Callable[[Delivery], None]) -> None:
        self._record = record
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)

    async def close(self) -> None:
        await self._session.close()

    async def call_back(self, task: Task) -> None:
        """Once the task is finished, as often as its script wants it."""
        await task.until_finished()
        url, body = str(task.params["webhookURL"]), _body(task)
        await asyncio.gather(*(self._deliver(url, body) for _ in range(task.script.webhook_copies)))

    async def _deliver(self, url: str, body: Json) -> None:
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_FIRST_PAUSE * 2 ** (attempt - 1))
            delivery = Delivery(url=url, status=await self._post(url, body))
            self._record(delivery)
            if delivery.accepted:
                return

    async def _post(self, url: str, body: Json) -> int | None:
        try:
            async with self._session.post(url, json=body) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return None


def _body(task: Task) -> Json:
    """The flat result, without the envelope of a read; failures keep theirs."""
    reply = outcome(task)
    return {"errors": list(reply.errors)} if reply.errors else reply.data[0]
