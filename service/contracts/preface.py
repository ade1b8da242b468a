"""What stands before the routes in the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from service.contracts.base import Contract
from service.contracts.problems import Problem
from service.sections import AuthSettings
from sessions.idempotency import KEPT

_BEGINNING = """\
Videos from words and pictures. Several APIs, each with its own words and its own shape of errors, stand on
one engine: an order becomes a *job*, a job's *scenes* are filmed side by side, and every step is on disk
before anyone is told of it. So a job outlives the request that ordered it, the client that watches it and a
restart of the server.

### Units
Ids are UUIDs in lower case. Times are UTC as in RFC 3339, durations are seconds, sizes bytes, measures
pixels, progress whole percent from 0 to 100, prices US dollars; where an API differs, its fields say so.
Addresses that begin with `/` are on this server.

### Asking how far a job is
Making a video takes seconds to minutes. Ask every 2 to 10 seconds, or when the answer says
(`poll_after_ms`): a status is answered from memory. Where an answer has an `ETag`, send it back in
`If-None-Match`; what is unchanged is `304` without a body. `GET /api/videos/status/{{job_id}}` can also hold
its answer until something changes (`?wait=30`), and comes as server-sent events for
`Accept: text/event-stream`.

### Repeating a request
An order without an answer may or may not have been taken. Send an `Idempotency-Key` with it: the same
request with the same key is answered like the first and orders nothing again, for {hours} hours.

### Every answer
carries `X-Request-ID`, under which the server's log knows the request; send your own (8 to 64 letters,
digits, `.`, `_` or `-`) and it is kept. Whatever answers `GET` answers `HEAD` too.
"""

_OPEN = """\
### Who is asking
This server asks nobody (`auth.mode` is `off`): credentials are not looked at.
"""

_KNOWN = """\
### Who is asking
Show a user's token or an API key, in one way only: `Authorization: Bearer ...`, `X-API-Key`, or the cookie
where one is named below. Where `{}` is among the choices of a route, credentials may be left out. What a
known caller makes is theirs alone: for anybody else it is not there.
"""


_ERRORS = """\
### Errors
An error is one sentence for people, in the shape of its API; some carry more for programs.

| API | addresses | error |
|---|---|---|"""


def info(contracts: Iterable[Contract], auth: AuthSettings) -> dict[str, Any]:
    """The document's ``info``."""
    parts = (
        _BEGINNING.format(hours=round(KEPT.total_seconds() / 3600)),
        _OPEN if auth.mode == "off" else _KNOWN,
        _errors(contracts),
    )
    return {
        "title": "Scenewright API",
        "version": _version(),
        "summary": "One engine for AI videos, and the APIs that speak to it",
        "description": "\n".join(parts),
        "license": {"name": "MIT", "identifier": "MIT"},
    }


def _errors(contracts: Iterable[Contract]) -> str:
    """How each contract says the same thing; made by the contracts themselves."""
    rows = [
        f"| {contract.name} | {' '.join(f'`{it}`' for it in contract.prefixes)} | `{_refusal(contract)}` |"
        for contract in contracts
    ]
    return "\n".join((_ERRORS, *rows)) + "\n"


def _refusal(contract: Contract) -> str:
    return contract.render_problem(Problem(status=404, message="There is no such job")).text or ""


def _version() -> str:
    try:
        return version("scenewright")
    except PackageNotFoundError:
        return "0"  # a checkout that was never installed
