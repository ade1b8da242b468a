"""The HTTP border: routes that know their contract, one guard, bodies that are checked.

A contract is one of the HTTP APIs that clients were written against. It says how its
errors look; the guard finds the contract by the route, so that two contracts can share
a path prefix.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from pydantic import BaseModel

from service.contracts import idempotency
from service.contracts.access import Access, Doorkeeper
from service.contracts.cross_origin import CrossOrigin
from service.contracts.describing import Doc
from service.contracts.headers import name_request
from service.contracts.idempotency import Idempotency
from service.contracts.problems import BadRequest, Problem
from service.contracts.rates import READING, Turnstile
from service.contracts.reading import FORM_LIMIT
from sessions.errors import (
    Conflict,
    Forbidden,
    IdentityUnavailable,
    InsufficientCredit,
    InvalidInput,
    NotFound,
    QuotaReached,
    ScenewrightError,
    Stopping,
    TooMany,
    Unauthenticated,
    UnsupportedByModel,
)
from sessions.store import StoreUnavailable

_log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: answered by the thousand; only their errors are worth a line
_QUIET = frozenset({"GET", "HEAD"})

#: what may be larger than other bodies
_FORM = "multipart/form-data"

#: finished files: a player asks for one of them piece by piece
_FILES = "/outputs/"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One HTTP API: its name, the paths it owns, and how its errors look."""

    name: str
    prefixes: tuple[str, ...]
    render_problem: Callable[[Problem], web.Response]
    error_model: type[BaseModel] | None = None  #: shape of its errors, for the documentation


@dataclass(frozen=True, kw_only=True)
class Route:
    """One line of the route table."""

    method: str
    path: str
    handler: Handler
    contract: Contract
    access: Access
    creates: bool = False  #: makes something new, so that an idempotency key means something
    permits: Callable[[web.Request], bool] | None = None  #: tells requests that bring their own permission
    form_limit: int | None = None  #: its largest multipart body, in bytes, where files are taken
    doc: Doc | None = None  #: what is to be known of it


#: when it makes sense to ask whether a job has ended meanwhile, in seconds
_QUOTA_PAUSE = 30

#: the first match counts
_STATUS: tuple[tuple[type[ScenewrightError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (IdentityUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Conflict, HTTPStatus.CONFLICT),
    (UnsupportedByModel, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InvalidInput, HTTPStatus.BAD_REQUEST),
    (InsufficientCredit, HTTPStatus.PAYMENT_REQUIRED),
    (QuotaReached, HTTPStatus.TOO_MANY_REQUESTS),
    (TooMany, HTTPStatus.TOO_MANY_REQUESTS),
    (Stopping, HTTPStatus.SERVICE_UNAVAILABLE),
    (ScenewrightError, HTTPStatus.INTERNAL_SERVER_ERROR),
)

_UNAVAILABLE = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    message="The database cannot be used at the moment; try again",
    detail={"code": "unavailable"},
    headers={hdrs.RETRY_AFTER: "2"},
)
_INTERNAL = Problem(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    message="Something went wrong inside the server; its log has the details",
    detail={"code": "internal"},
)


class Guard:
    """Answers every request in the shape of its contract, whatever happens inside."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        fallback: Contract,
        names: Iterable[str],
        idempotency: Idempotency,
        doorkeeper: Doorkeeper,
        turnstile: Turnstile,
        cross_origin: CrossOrigin,
    ) -> None:
        self._names = frozenset({"localhost", "127.0.0.1", "[::1]", *names})
        self._by_handler = {route.handler: route for route in routes}
        self._fallback = fallback
        self._idempotency = idempotency
        self._doorkeeper = doorkeeper
        self._turnstile = turnstile
        self._cross_origin = cross_origin
        contracts = {*(route.contract for route in self._by_handler.values()), fallback}
        self._by_prefix = sorted(
            ((prefix, contract) for contract in contracts for prefix in contract.prefixes),
            key=lambda item: -len(item[0]),
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name_request(request)
        started = time.perf_counter()
        try:
            self._check_names(request)
            response = self._cross_origin.preflight(request) or await self._answer(request, handler)
        except Exception as error:  # noqa: BLE001 - the border: whatever breaks, the client gets a plain answer
            response = self._refusal(request, error)
        if request.method not in _QUIET or response.status >= HTTPStatus.BAD_REQUEST:
            # Who asks too often gets plenty of refusals, and no line for each.
            log = _log.debug if response.status == HTTPStatus.TOO_MANY_REQUESTS else _log.info
            log(
                "http",
                method=request.method,
                path=request.rel_url.raw_path[:200],
                status=response.status,
                ms=round((time.perf_counter() - started) * 1000, 1),
            )
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer, to those who may have it."""
        route = self._by_handler.get(request.match_info.handler)
        if route is not None and self._doorkeeper.asks(route.access) and not _permitted(route, request):
            await self._doorkeeper.admit(request, route.access)
        self._count(request, route)
        if route is None or route.form_limit is None or request.content_type != _FORM:
            return await self._handled(request, route, handler)
        request[FORM_LIMIT] = route.form_limit
        async with self._turnstile.form(request):
            return await self._handled(request, route, handler)

    async def _handled(
        self, request: web.Request, route: Route | None, handler: Handler
    ) -> web.StreamResponse:
        if route is not None and route.creates and idempotency.HEADER in request.headers:
            return await self._idempotency.answer(request, handler)
        return await handler(request)

    def _count(self, request: web.Request, route: Route | None) -> None:
        """Refuse whoever asks too often. What is public is cheap, and asked for by machines in step."""
        if route is None:
            self._turnstile.fetch(request)
        elif route.access is Access.PUBLIC:
            pass
        elif route.creates or request.method not in READING:
            self._turnstile.change(request)
        elif route.path.startswith(_FILES):
            self._turnstile.fetch(request)
        else:
            self._turnstile.look(request)

    def _check_names(self, request: web.Request) -> None:
        """Refuse requests that a foreign web page has made, or made possible by DNS rebinding."""
        if not self._ours(request.host):
            raise BadRequest(_foreign("the name in Host is not among server.names"))
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or self._cross_origin.admits(request, origin) or request.method in _QUIET:
            return
        if not self._ours(origin.partition("//")[2]):
            raise BadRequest(_foreign("this page's origin is not among server.cors_origins"))

    def _ours(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        return (name if port.isdigit() else host).lower() in self._names

    def _refusal(self, request: web.Request, error: Exception) -> web.Response:
        """The error in the shape of the route's contract."""
        match error:
            case BadRequest(problem=problem):
                pass
            case ScenewrightError():
                problem = _problem(error)
            case StoreUnavailable():
                _log.warning("store.unavailable", reason=str(error))
                problem = _UNAVAILABLE
            case web.HTTPException(status=status) if status >= HTTPStatus.BAD_REQUEST:
                problem = _http_problem(error)
            case web.HTTPException():
                raise error
            case _:
                _log.error("http.broke", path=request.rel_url.raw_path[:200], exc_info=error)
                problem = _INTERNAL
        response = self._contract(request).render_problem(problem)
        response.headers.update(problem.headers)
        return response

    def _contract(self, request: web.Request) -> Contract:
        route = self._by_handler.get(request.match_info.handler)
        if route is not None:
            return route.contract
        # No such path or method: whose clients would ask here?
        matching = (item for prefix, item in self._by_prefix if request.path.startswith(prefix))
        return next(matching, self._fallback)


def _permitted(route: Route, request: web.Request) -> bool:
    """Whether nobody has to know who is asking."""
    return route.permits is not None and route.permits(request)


def _foreign(reason: str) -> Problem:
    return Problem(
        status=HTTPStatus.FORBIDDEN,
        message=f"Refused: {reason}",
        detail={"code": "foreign"},
    )


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Put the route table into the application; GET answers HEAD too."""
    for route in routes:
        if route.method == hdrs.METH_GET:
            app.router.add_get(route.path, route.handler)
        else:
            app.router.add_route(route.method, route.path, route.handler)


def _problem(error: ScenewrightError) -> Problem:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers: dict[str, str] = {hdrs.RETRY_AFTER: "5"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    if isinstance(error, QuotaReached):
        headers[hdrs.RETRY_AFTER] = str(_QUOTA_PAUSE)
    if isinstance(error, TooMany):
        headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthenticated):  # RFC 6750, 3
        wrong = f', error="{error.reason}"' if error.reason else ""
        headers[hdrs.WWW_AUTHENTICATE] = f'Bearer realm="scenewright"{wrong}'
    detail = {"code": error.code, **error.details}
    return Problem(status=status, message=error.message, detail=detail, headers=headers)


def _http_problem(error: web.HTTPException) -> Problem:
    """An error of aiohttp's own: unknown path or method, body too large, and the like."""
    sentences = {
        HTTPStatus.NOT_FOUND: "There is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: "This address does not answer to this method",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large",
    }
    kept = (hdrs.ALLOW, hdrs.RETRY_AFTER, hdrs.CONTENT_RANGE, hdrs.WWW_AUTHENTICATE)
    return Problem(
        status=error.status,
        message=sentences.get(HTTPStatus(error.status), error.reason),
        headers={str(name): error.headers[name] for name in kept if name in error.headers},
    )
