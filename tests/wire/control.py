"""The remote control of a server in another process: what a test does with the object, over HTTP.

GET  /control/counts       {"submits": n, "reads": n, "downloads": n}
GET  /control/state        {"charges": [...], "paid_twice": [...], "deliveries": [...], "messages": n,
                           "submits": n, "reads": n, "downloads": n, "connections": n}
POST /control/script       {"prompt": "substring", "scripts": [{...fields of Script}]}; no prompt: the default
POST /control/text         {"answers": ["...", ...], "seconds": 0}
POST /control/release      {"prompt": "substring"}
POST /control/progress     {"prompt": "substring", "percent": 40}
POST /control/forget       {"prompt": "substring", "wholly": false}
POST /control/drop         {"code": null}
POST /control/refuse       {"refuse": true}
POST /control/refuse-next  {"count": 3, "status": 503}
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from tests.wire.ledger import Charge
from tests.wire.provider import TextAnswers
from tests.wire.scripts import Script
from tests.wire.tasks import Json
from tests.wire.webhooks import Delivery


class Controlled(Protocol):
    """What can be controlled from afar."""

    refuse_connections: bool
    downloads: list[str]
    messages: int
    deliveries: list[Delivery]

    @property
    def charges(self) -> list[Charge]: ...
    @property
    def submits(self) -> list[Json]: ...
    @property
    def reads(self) -> int: ...
    @property
    def connections(self) -> int: ...
    def paid_twice(self) -> list[str]: ...
    def script(self, substring: str, *scripts: Script) -> None: ...
    def script_default(self, script: Script) -> None: ...
    def script_text(self, answers: TextAnswers, *, seconds: float = 0.0) -> None: ...
    def release(self, substring: str = "") -> int: ...
    def report_progress(self, substring: str, percent: int) -> int: ...
    def forget(self, substring: str = "", *, wholly: bool = False) -> int: ...
    def refuse_next(self, count: int, status: int = 503) -> None: ...
    async def drop_connections(self, code: int | None = None) -> int: ...


def routes(server: Controlled) -> list[web.RouteDef]:
    async def state(_: web.Request) -> web.Response:
        return web.json_response(_state(server))

    async def counts(_: web.Request) -> web.Response:
        return web.json_response(_counts(server))

    orders: dict[str, Callable[[Json], Awaitable[Any]]] = {
        "script": lambda order: _script(server, order),
        "text": lambda order: _text(server, order),
        "release": lambda order: _release(server, order),
        "progress": lambda order: _progress(server, order),
        "forget": lambda order: _forget(server, order),
        "drop": lambda order: server.drop_connections(order.get("code")),
        "refuse": lambda order: _refuse(server, order),
        "refuse-next": lambda order: _refuse_next(server, order),
    }
    posts = [web.post(f"/control/{name}", _obeying(obey)) for name, obey in orders.items()]
    return [web.get("/control/counts", counts), web.get("/control/state", state), *posts]


def _obeying(obey: Callable[[Json], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"result": await obey(await request.json())})

    return handler


def _state(server: Controlled) -> Json:
    return {
        "charges": [json.loads(charge.to_line()) for charge in server.charges],
        "paid_twice": server.paid_twice(),
        **_counts(server),
        "messages": server.messages,
        "deliveries": [delivery.to_json() for delivery in server.deliveries],
        "connections": server.connections,
    }


def _counts(server: Controlled) -> Json:
    """What is asked for again and again, without all that has been."""
    return {
        "submits": len(server.submits),
        "reads": server.reads,
        "downloads": len(server.downloads),
    }


async def _script(server: Controlled, order: Json) -> None:
    scripts = [Script.from_json(fields) for fields in order["scripts"]]
    if order.get("prompt"):
        server.script(order["prompt"], *scripts)
    else:
        server.script_default(scripts[0])


async def _text(server: Controlled, order: Json) -> None:
    server.script_text(order["answers"], seconds=order.get("seconds", 0.0))


async def _release(server: Controlled, order: Json) -> int:
    return server.release(order.get("prompt", ""))


async def _progress(server: Controlled, order: Json) -> int:
    return server.report_progress(order["prompt"], order["percent"])


async def _forget(server: Controlled, order: Json) -> int:
    return server.forget(order.get("prompt", ""), wholly=order.get("wholly", False))


async def _refuse(server: Controlled, order: Json) -> None:
    server.refuse_connections = order["refuse"]


async def _refuse_next(server: Controlled, order: Json) -> None:
    server.refuse_next(order["count"], order.get("status", 503))
