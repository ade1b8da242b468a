"""``POST /callbacks/{task_id}``: a provider says that a task has ended.

The address carries a secret of its own for every task. The body is not believed, and not even
looked at: the provider is asked. So a forged, repeated or late call changes nothing.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from service.contracts.access import Access
from service.contracts.base import Contract, Route
from service.contracts.describing import Doc, Tag
from service.contracts.problems import Problem
from service.recipes.callbacks import PATH
from service.recipes.watch import Watch


def _render_problem(problem: Problem) -> web.Response:
    return web.json_response({"error": problem.message}, status=problem.status)


class CallbackProblem(BaseModel):
    """Every error of a callback."""

    model_config = ConfigDict(extra="forbid")

    error: str


class CallbackSecret(BaseModel):
    """What makes a callback's address a secret."""

    token: str = Field(default="", description="As it was in the address that the provider was given")


CONTRACT = Contract(
    name="callbacks",
    prefixes=("/callbacks",),
    render_problem=_render_problem,
    error_model=CallbackProblem,
)

CALLBACKS = Tag(name="Callbacks", description="Where providers report; nothing that a client would call.")

_CALLED = Doc(
    operation_id="reportTask",
    summary="A provider says that a task has ended",
    description=(
        "The body is not looked at: the provider is asked. So a repeated, late or untrue call does nothing."
    ),
    tag=CALLBACKS,
    path={"task_id": "The task's UUID"},
    query=CallbackSecret,
    replies={204: "Heard", 404: "The address has no secret, or not that of this task"},
)


class CallbacksContract:
    """Receives a provider's webhooks."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def routes(self) -> list[Route]:
        route = Route(
            method="POST",
            path=PATH,
            handler=self.called,
            contract=CONTRACT,
            access=Access.PUBLIC,
            doc=_CALLED,
        )
        return [route]

    async def called(self, request: web.Request) -> web.Response:
        self._watch.called(request.match_info["task_id"], request.query.get("token", ""))
        return web.Response(status=HTTPStatus.NO_CONTENT)
