"""Bodies of requests, read and checked."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from service.contracts.problems import BadRequest, Problem

Body = TypeVar("Body", bound=BaseModel)

#: how long a body may take to arrive, in seconds
BODY_SECONDS = web.AppKey("body_seconds", float)

#: the largest multipart body of this request, in bytes; others have the application's ``client_max_size``
FORM_LIMIT = web.RequestKey("form_limit", int)

#: what has arrived gives the rest more time: so many bytes a second are fast enough
_SLOWEST = 32 << 10

_BODY = web.RequestKey("body", bytes)


class Arriving:
    """A body on its way, counted and timed: neither its sender nor a packer decides how large it gets."""

    def __init__(self, request: web.Request) -> None:
        self._content = request.content
        self._limit = request.client_max_size
        if request.content_type == "multipart/form-data":
            self._limit = request.get(FORM_LIMIT, self._limit)
        self._patience = request.app[BODY_SECONDS]
        self._begun = asyncio.get_running_loop().time()
        self._received = 0
        self._check(request.content_length or 0)
        #: read by somebody before
        self._whole: bytes | None = request.get(_BODY)

    async def piece(self) -> bytes:
        """What has arrived since; empty at the end.

        Raises ``BadRequest`` (400, 408) or aiohttp's 413.
        """
        if self._whole is not None:
            whole, self._whole = self._whole, b""
            return whole
        try:
            async with asyncio.timeout_at(self._begun + self._patience + self._received / _SLOWEST):
                piece = await self._content.readany()
        except TimeoutError:
            raise bad_body("The body did not arrive in time", HTTPStatus.REQUEST_TIMEOUT) from None
        except web.RequestPayloadError:
            raise bad_body("The body cannot be read: its encoding is broken") from None
        except ConnectionError:
            raise bad_body("The body ended before its end") from None
        self._received += len(piece)
        self._check(self._received)
        return piece

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise web.HTTPRequestEntityTooLarge(max_size=self._limit, actual_size=size)


async def read_body(request: web.Request) -> bytes:
    """The whole body, also for a second time. Raises ``BadRequest`` (400, 408) or aiohttp's 413."""
    known: bytes | None = request.get(_BODY)
    if known is not None:
        return known
    arriving, pieces = Arriving(request), []
    while piece := await arriving.piece():
        pieces.append(piece)
    body = b"".join(pieces)
    request[_BODY] = body
    return body


async def read_json(
    request: web.Request,
    shape: type[Body],
    *,
    any_type: bool = False,
    invalid_status: int = HTTPStatus.UNPROCESSABLE_ENTITY,
) -> Body:
    """The request's JSON body as ``shape``.

    With ``any_type`` whatever Content-Type the client's library has put there by itself is right; a
    page elsewhere cannot make use of that, because the guard refuses its origin. Raises
    ``BadRequest``: 400, 408, 413, 415, or ``invalid_status`` for JSON of another shape.
    """
    if not any_type and request.content_type != "application/json":
        raise bad_body(
            "Send the body as JSON, with Content-Type: application/json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        )
    return parse_json(await read_body(request), shape, invalid_status)


def parse_json(body: bytes, shape: type[Body], invalid_status: int) -> Body:
    """Bytes as ``shape``. Raises ``BadRequest``: 400, or ``invalid_status`` for another shape."""
    try:
        parsed = shape.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(validation_problem(error, invalid_status)) from None
    check_names(body)
    return parsed


def check_names(body: bytes) -> None:
    """Refuse JSON in which an object has one name twice.

    Readers differ in which of the two counts: one that looked at it before us may have seen the
    other. Raises ``BadRequest`` (400).
    """
    json.loads(body, object_pairs_hook=_no_name_twice, parse_int=float)


def bad_body(sentence: str, status: int = HTTPStatus.BAD_REQUEST) -> BadRequest:
    return BadRequest(Problem(status=status, message=sentence))


def validation_problem(error: ValidationError, status: int) -> Problem:
    """What pydantic found, the first of it as a sentence."""
    items = error.errors(include_url=False, include_input=False, include_context=False)
    if any(item["type"] == "json_invalid" for item in items):
        return Problem(status=HTTPStatus.BAD_REQUEST, message="The body is not valid JSON")
    fields = [
        {"field": ".".join(map(str, item["loc"])), "problem": item["msg"].removeprefix("Value error, ")}
        for item in items[:20]
    ]
    first = fields[0]
    where = f"{first['field']}: " if first["field"] else ""
    return Problem(
        status=status,
        message=f"The request is not valid: {where}{first['problem']}",
        detail={"code": "invalid", "fields": fields},
    )


def _no_name_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise bad_body(f"The body is ambiguous: {name[:40]!r} is in one object twice")
    return found
