"""``Idempotency-Key``: a repeated request is answered like the first, and does nothing again.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

A key is on record in the transaction that creates something, so that the repetition after a
crash finds it. The answer is put on record when it is made; until then a repetition waits
for it, and after a restart it is made again from what the first request has created.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web

from service.contracts.access import caller_of
from service.contracts.problems import BadRequest, Problem
from service.contracts.reading import read_body
from sessions.clock import Clock
from sessions.idempotency import KEPT, KeyedRequest
from sessions.store import Store, StoreUnavailable

_log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

#: visible ASCII, as it is or, as the draft has it, in quotes; a regular expression
KEY = r'"[!#-~]{1,255}"|[!#-~]{1,255}'

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KEYED = web.RequestKey("keyed", KeyedRequest)


def keyed(request: web.Request) -> KeyedRequest | None:
    """The request as it goes on record, if it has a key."""
    return request.get(_KEYED)


class Idempotency:
    """Answers create requests that carry a key."""

    def __init__(self, store: Store, now: Clock) -> None:
        self._store = store
        self._now = now
        self._under_way: dict[tuple[str, str], tuple[str, asyncio.Future[web.Response]]] = {}

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer, made once for each key."""
        key = request.headers.getone(HEADER)
        if not re.fullmatch(KEY, key):
            message = f"{HEADER} must be 1 to 255 visible ASCII characters"
            raise BadRequest(Problem(status=HTTPStatus.BAD_REQUEST, message=message))
        caller, key = caller_of(request), key.strip('"')
        fingerprint = _fingerprint(request, await read_body(request))
        while (running := self._under_way.get((caller, key))) is not None:
            _check_same(running[0], fingerprint)
            await asyncio.wait({running[1]})
            if not running[1].cancelled():  # else somebody has to be the first in its place
                return _again(running[1].result())
        future: asyncio.Future[web.Response] = asyncio.get_running_loop().create_future()
        self._under_way[caller, key] = (fingerprint, future)
        try:
            response = await self._first(request, handler, caller, key, fingerprint)
        except BaseException as error:
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()  # seen, even if nobody else waits
            else:
                future.cancel()
            raise
        else:
            future.set_result(response)
            return response
        finally:
            del self._under_way[caller, key]

    async def forget_old(self) -> None:
        """Forget keys that are too old."""
        await self._store.forget_requests(self._now() - KEPT)

    async def _first(
        self, request: web.Request, handler: Handler, caller: str, key: str, fingerprint: str
    ) -> web.Response:
        """The answer on record, or the handler's, which then goes on record."""
        known = await self._store.request(caller, key)
        if known is None or known.created_at <= self._now() - KEPT:
            known = KeyedRequest(caller=caller, key=key, fingerprint=fingerprint, created_at=self._now())
        _check_same(known.fingerprint, fingerprint)
        if known.status is not None:
            return _again(web.Response(body=known.body, status=known.status, content_type="application/json"))
        request[_KEYED] = known
        response = await handler(request)
        assert isinstance(response, web.Response), "creating requests are answered in one piece"
        if known.subject is not None:
            response.headers[REPLAYED] = "true"
        if response.status == HTTPStatus.OK and isinstance(response.body, bytes):
            await self._keep(replace(known, status=response.status, body=response.body))
        return response

    async def _keep(self, answered: KeyedRequest) -> None:
        try:
            await self._store.remember_request(answered)
        except StoreUnavailable as error:
            # What was created is on record with its key: the answer can be made again from it.
            _log.warning("idempotency.not_kept", reason=str(error))


def _fingerprint(request: web.Request, body: bytes) -> str:
    """Of method, address and content; the same JSON or form written differently is the same content."""
    # What is larger is a form with files, whatever is in it: to read it as JSON would hold everybody up.
    canonical = _canonical_json(body) if len(body) <= request.client_max_size else None
    if canonical is None:
        # Clients choose the boundary of a form anew each time.
        boundary = request.headers.get(hdrs.CONTENT_TYPE, "").partition("boundary=")[2].strip('"')
        canonical = body.replace(boundary.encode(), b"") if boundary else body
    place = f"{request.method} {request.rel_url.raw_path_qs}\n".encode()
    return hashlib.sha256(place + canonical).hexdigest()


def _canonical_json(body: bytes) -> bytes | None:
    """None for what is no JSON."""
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except (ValueError, RecursionError):
        return None


def _check_same(known: str, fingerprint: str) -> None:
    if known != fingerprint:
        raise BadRequest(
            Problem(
                status=HTTPStatus.UNPROCESSABLE_ENTITY,
                message=f"This {HEADER} was used for another request; use a new one",
                detail={"code": "idempotency_key_reused"},
            )
        )


def _again(response: web.Response) -> web.Response:
    """A copy: an answer can be sent once only."""
    copy = web.Response(body=response.body, status=response.status, content_type=response.content_type)
    copy.headers.update({name: value for name, value in response.headers.items() if name == "Location"})
    copy.headers[REPLAYED] = "true"
    return copy
