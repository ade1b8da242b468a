"""Bodies of requests, read and checked."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from service.contracts.problems import BadRequest, Problem

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises ``BadRequest`` (400) or aiohttp's 413."""
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=request.content_length)
    try:
        return await request.read()
    except web.RequestPayloadError:
        raise BadRequest(
            Problem(status=HTTPStatus.BAD_REQUEST, message="The body cannot be read: its encoding is broken")
        ) from None


async def read_json(request: web.Request, shape: type[Body]) -> Body:
    """The request's JSON body as ``shape``. Raises ``BadRequest``: 400, 413, 415 or 422."""
    if request.content_type != "application/json":
        raise BadRequest(
            Problem(
                status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                message="Send the body as JSON, with Content-Type: application/json",
            )
        )
    body = await read_body(request)
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(_validation_problem(error)) from None


def _validation_problem(error: ValidationError) -> Problem:
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
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        message=f"The request is not valid: {where}{first['problem']}",
        detail={"code": "invalid", "fields": fields},
    )
