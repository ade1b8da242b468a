"""``/healthz``: the process lives. ``/readyz``: it can do its work, part by part."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Literal

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from service.contracts.access import Access
from service.contracts.base import Contract, Route
from service.contracts.describing import Doc, Reply, Tag
from service.contracts.problems import Problem
from service.health import Health


def _render_problem(problem: Problem) -> web.Response:
    return web.json_response({"error": problem.message}, status=problem.status)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HealthProblem(_Answer):
    """Every error of these addresses."""

    error: str


class Alive(_Answer):
    """The process lives."""

    status: Literal["ok"]


class PartHealth(_Answer):
    """How one part is."""

    ok: bool
    detail: str


class Readiness(_Answer):
    """Whether work can be done."""

    status: Literal["ok", "degraded", "unready", "draining"] = Field(
        description="`degraded`: ready, but a part is not well; `draining`: about to stop"
    )
    parts: dict[str, PartHealth]


CONTRACT = Contract(
    name="health",
    prefixes=("/healthz", "/readyz"),
    render_problem=_render_problem,
    error_model=HealthProblem,
)

HEALTH = Tag(name="Health", description="For load balancers and for whoever wonders.")

_PARTS = {
    "database": {"ok": True, "detail": "answers"},
    "outputs": {"ok": True, "detail": "writable"},
    "provider local": {"ok": True, "detail": "renders on this machine"},
}
_ALIVE = Doc(
    operation_id="getHealth",
    summary="Whether the process lives",
    tag=HEALTH,
    replies={200: Reply("It does", model=Alive, examples={"Alive": {"status": "ok"}})},
)
_READY = Doc(
    operation_id="getReadiness",
    summary="Whether work can be done, part by part",
    description="Database and outputs decide; the other parts are only reported.",
    tag=HEALTH,
    replies={
        200: Reply("Ready", model=Readiness, examples={"Well": {"status": "ok", "parts": _PARTS}}),
        503: Reply(
            "Not ready: send requests elsewhere",
            model=Readiness,
            examples={"Stopping": {"status": "draining", "parts": _PARTS}},
        ),
    },
)

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
            Route(method="GET", path=path, handler=handler, contract=CONTRACT, access=Access.PUBLIC, doc=doc)
            for path, handler, doc in (
                ("/healthz", self.alive, _ALIVE),
                ("/readyz", self.ready, _READY),
            )
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
