"""``/healthz``: the process lives. ``/readyz``: it can do its work, part by part."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import structlog
from aiohttp import web

from service.contracts.access import Access
from service.contracts.base import Contract, Route
from service.contracts.problems import Problem
from service.health import Health


def _render_problem(problem: Problem) -> web.Response:
    return web.json_response({"error": problem.message}, status=problem.status)


CONTRACT = Contract(name="health", prefixes=("/healthz", "/readyz"), render_problem=_render_problem)

_log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[Health]]

#: a part that does not answer in this time is not well, in seconds
_PATIENCE = 6.0


class HealthContract:
    """``vital`` parts decide about readiness; ``others`` are only reported."""

    def __init__(self, vital: Mapping[str, Check], others: Mapping[str, Check]) -> None:
        self._vital = vital
        self._others = others
        self._draining = False

    def drain(self) -> None:
        """From now on the process is not ready: it is going to stop."""
        self._draining = True

    def routes(self) -> list[Route]:
        return [
            Route(method="GET", path="/healthz", handler=self.alive, contract=CONTRACT, access=Access.PUBLIC),
            Route(method="GET", path="/readyz", handler=self.ready, contract=CONTRACT, access=Access.PUBLIC),
        ]

    async def alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        checks = {**self._vital, **self._others}
        found = dict(zip(checks, await asyncio.gather(*map(_examined, checks.values())), strict=True))
        ready = not self._draining and all(found[name].ok for name in self._vital)
        well = all(health.ok for health in found.values())
        body = {
            "status": "draining"
            if self._draining
            else "unready"
            if not ready
            else "ok"
            if well
            else "degraded",
            "parts": {name: {"ok": health.ok, "detail": health.detail} for name, health in found.items()},
        }
        return web.json_response(body, status=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)


async def _examined(check: Check) -> Health:
    try:
        return await asyncio.wait_for(check(), timeout=_PATIENCE)
    except TimeoutError:
        return Health(ok=False, detail="does not answer")
    except Exception:  # noqa: BLE001 - a part that breaks is what this page is for
        _log.exception("health.broke")
        return Health(ok=False, detail="broke; the log has the details")
