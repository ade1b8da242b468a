"""Customers of the chaos run: they order clips that cost credits, lose answers, and change their minds.

An order that was not answered is placed again with the same key, as by a client that cannot know
whether it was heard; so is, now and then, one that was answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus

import aiohttp
import jwt

from tests.acceptance.orders import Order, Plan, Request, ending, job_in, looking, placing, state_in
from tests.acceptance.server import ServerProcess
from tests.house import Answer

USERS = ("ann", "ben", "cyd")

#: what tokens are signed with
SECRET = "a secret that is long enough for HS256"


def token(user: str) -> dict[str, str]:
    """The header with which the user shows who they are, for a day."""
    claims = {"sub": user, "role": "authenticated", "exp": int(time.time()) + 86_400}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}


class Customers:
    """Place orders and end them, and remember what they were told. ``heard`` is called at every answer."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._tokens = {user: token(user) for user in USERS}
        self.orders: dict[str, Order] = {}  # by prompt
        #: orders whose repetition was told that they were known already
        self.replayed = 0
        #: by what was asked, and what was answered
        self.endings: Counter[str] = Counter()
        #: answers that no customer should get
        self.surprises: list[str] = []

    async def place(self, server: ServerProcess, plans: Iterable[Plan]) -> None:
        """For the first time, or once more by customers who are not sure; an answer may be lost."""
        placed = [self.orders.setdefault(plan.prompt, Order(plan)) for plan in plans]
        await asyncio.gather(*(self._place(server, order) for order in placed))

    async def catch_up(self, server: ServerProcess) -> None:
        """Repeat whatever was not answered, at a server that lives long enough to answer."""
        lost = [order for order in self.orders.values() if not order.job_id]
        ended = [order for order in self.orders.values() if order.end_tries and not order.end_status]
        await asyncio.gather(
            *(self._place(server, order) for order in lost), *(self._end(server, order) for order in ended)
        )
        self.surprises += [f"never answered: {it.plan}" for it in lost if not it.job_id]
        self.surprises += [f"ending never answered: {it.plan}" for it in ended if not it.end_status]

    def wanted_endings(self) -> list[Order]:
        """The orders that are answered and to be ended."""
        return [order for order in self.orders.values() if order.job_id and order.ends]

    async def end(self, server: ServerProcess, orders: Iterable[Order]) -> None:
        await asyncio.gather(*(self._end(server, order) for order in orders))

    async def states(self, server: ServerProcess) -> dict[str, str]:
        """How each order is, by its prompt."""
        found = {}
        for prompt, order in self.orders.items():
            answer = await self._ask(server, order, looking(order))
            found[prompt] = state_in(answer) if answer else "not answered"
        return found

    async def balances(self, server: ServerProcess) -> dict[tuple[str, str], tuple[int, int]]:
        """What each user is told is available and held, by user and currency."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for user, shown in self._tokens.items():
            told = (await server.get("/videos/credits", headers=shown))["balances"]
            found |= {(user, name): (it["available"], it["held"]) for name, it in told.items()}
        return found

    async def _place(self, server: ServerProcess, order: Order) -> None:
        answer = await self._ask(server, order, placing(order.plan))
        if answer is None:
            return
        if answer.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            self.surprises.append(f"{answer.status} {answer.body[:300]!r} for {order}")
            return
        told = job_in(order.plan, answer)
        if told != (order.job_id or told):
            self.surprises.append(f"another job, {told}, for {order}")
        order.job_id = told
        self.replayed += "Idempotency-Replayed" in answer.headers

    async def _end(self, server: ServerProcess, order: Order) -> None:
        order.end_tries += 1
        answer = await self._ask(server, order, ending(order))
        if answer is None:
            return
        order.end_status = answer.status
        wish = order.plan.ending
        self.endings[f"{wish} {answer.status}"] += 1
        expected = {HTTPStatus.OK, HTTPStatus.CONFLICT} if wish == "cancel" else {HTTPStatus.NO_CONTENT}
        if wish == "delete" and order.end_tries > 1:
            expected.add(HTTPStatus.NOT_FOUND)
        if answer.status not in expected:
            self.surprises.append(f"{answer.status} {answer.body[:300]!r} at the {wish} of {order}")

    async def _ask(self, server: ServerProcess, order: Order, request: Request) -> Answer | None:
        """The answer; None if it was lost, or if the server was about to stop."""
        headers = {**self._tokens[order.plan.user], **request.headers}
        try:
            answer = await server.ask(request.method, request.path, body=request.body, headers=headers)
        except (aiohttp.ClientError, ConnectionError):
            return None
        self._heard()
        return None if answer.status == HTTPStatus.SERVICE_UNAVAILABLE else answer
