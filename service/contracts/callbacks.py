"""``POST /callbacks/{task_id}``: a provider says that a task has ended.

The address carries a secret of its own for every task. The body is not believed, and not even
looked at: the provider is asked. So a forged, repeated or late call changes nothing.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from service.contracts.access import Access
from service.contracts.base import Contract, Route
from service.contracts.problems import Problem
from service.recipes.callbacks import PATH
from service.recipes.watch import Watch


def _render_problem(problem: Problem) -> web.Response:
    return web.json_response({"error": problem.message}, status=problem.status)


CONTRACT = Contract(name="callbacks", prefixes=("/callbacks",), render_problem=_render_problem)


class CallbacksContract:
    """Receives a provider's webhooks."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def routes(self) -> list[Route]:
        return [Route(method="POST", path=PATH, handler=self.called, contract=CONTRACT, access=Access.PUBLIC)]

    async def called(self, request: web.Request) -> web.Response:
        self._watch.called(request.match_info["task_id"], request.query.get("token", ""))
        return web.Response(status=HTTPStatus.NO_CONTENT)
