"""What the parts of the gallery contract share: the shape of errors, and what document 000 wants logged."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web

from service.contracts import gallery_views as views
from service.contracts.access import caller_of
from service.contracts.base import Contract
from service.contracts.gallery_replies import GalleryProblem
from service.contracts.problems import BadRequest, Problem
from sessions.errors import ScenewrightError

_log = structlog.get_logger(__name__)


def _render_problem(problem: Problem, *, failed: str) -> web.Response:
    """``failed`` is what is said where the fault is ours."""
    status, message = problem.status, problem.message
    if status == HTTPStatus.UNAUTHORIZED:
        message = "Authentication required"
    elif status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST  # all that the document's clients know
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        message = failed
    return web.json_response(views.refusal(message, status), status=status)


def _contract(part: str, prefix: str, failed: str) -> Contract:
    return Contract(
        name=f"gallery: {part}",
        prefixes=(prefix,),
        render_problem=partial(_render_problem, failed=failed),
        error_model=GalleryProblem,
    )


# Three, because each says in its own words that something broke.
ORDERS = _contract("orders", "/api/video/generate", "Failed to start video generation")
STATUS = _contract("status", "/api/video/", "Failed to check video status")
LIST = _contract("list", "/api/videos/gallery", "Failed to load the gallery")


@contextmanager
def logged(request: web.Request, event: str, **known: Any) -> Iterator[dict[str, Any]]:
    """One line about a request, or about one of its videos, whatever comes of it.

    The block completes the line's fields. An error goes on to whoever answers it.
    """
    started = time.perf_counter()
    line: dict[str, Any] = {"user": caller_of(request) or None, **known}
    try:
        yield line
    except Exception as error:
        _log.info("gallery.refused", **line, error=_sentence(error), ms=_since(started))
        raise
    _log.info(event, **line, ms=_since(started))


def json_answer(body: Any) -> web.Response:
    return web.json_response(body, dumps=dumps)


def dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _sentence(error: Exception) -> str:
    match error:
        case ScenewrightError(message=message):
            return message
        case BadRequest(problem=problem):
            return problem.message
    return type(error).__name__  # the guard logs the rest of it
