"""What whoever looks after the service does: at present, credits.

Errors are ``{"success": false, "error": sentence}``, and beside it what programs need.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from service.accounts import Accounts
from service.contracts import admin_docs as docs
from service.contracts.access import Access
from service.contracts.admin_bodies import AdminProblem, Grant, Newest
from service.contracts.base import Contract, Route
from service.contracts.idempotency import keyed
from service.contracts.problems import BadRequest, Problem
from service.contracts.reading import read_json, validation_problem
from sessions.api_keys import NAME_LIMIT, is_name
from sessions.errors import InvalidInput
from sessions.ledger import Balance, Charge


def _render_problem(problem: Problem) -> web.Response:
    body = {"success": False, "error": problem.message, **(problem.detail or {})}
    return web.json_response(body, status=problem.status)


CONTRACT = Contract(
    name="admin", prefixes=("/api/admin",), render_problem=_render_problem, error_model=AdminProblem
)


class AdminContract:
    """Handlers of the contract."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/api/admin/credits/grant",
                handler=self.grant,
                contract=CONTRACT,
                access=Access.ADMIN,
                creates=True,
                doc=docs.GRANT,
            ),
            Route(
                method="GET",
                path="/api/admin/credits/{user_id}",
                handler=self.account,
                contract=CONTRACT,
                access=Access.ADMIN,
                doc=docs.ACCOUNT,
            ),
        ]

    async def grant(self, request: web.Request) -> web.Response:
        """With an idempotency key it is granted once, and the balance is always that of the moment."""
        body = await read_json(request, Grant)
        balance = await self._accounts.grant(
            body.user_id, body.currency, body.amount, note=body.note, request=keyed(request)
        )
        granted = {"success": True, "user_id": body.user_id, "currency": body.currency.value}
        return web.json_response({**granted, **_balance(balance)})

    async def account(self, request: web.Request) -> web.Response:
        user = request.match_info["user_id"]
        if not is_name(user):
            raise InvalidInput(f"A user is named by 1 to {NAME_LIMIT} printable characters")
        balances = await self._accounts.balances(user)
        charges = await self._accounts.charges(user, _newest(request.query).limit)
        return web.json_response(
            {
                "success": True,
                "user_id": user,
                "balances": {currency.value: _balance(it) for currency, it in balances.items()},
                "charges": [_charge(it) for it in charges],
            }
        )


def _newest(query: Mapping[str, str]) -> Newest:
    try:
        return Newest.model_validate(dict(query))
    except ValidationError as error:
        raise BadRequest(validation_problem(error, HTTPStatus.UNPROCESSABLE_ENTITY)) from None


def _balance(balance: Balance) -> dict[str, int]:
    return {"available": balance.available, "held": balance.held}


def _charge(charge: Charge) -> dict[str, Any]:
    return {
        "seq": charge.seq,
        "currency": charge.currency.value,
        "kind": charge.kind.value,
        "scene_id": charge.scene_id,
        "available_delta": charge.available_delta,
        "held_delta": charge.held_delta,
        "at": charge.at.isoformat(),
        "note": charge.note,
    }
