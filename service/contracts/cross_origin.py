"""Pages of other origins, as far as the configuration lets them in (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from http import HTTPStatus

from aiohttp import hdrs, web

#: what a page may send
_SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "X-API-Key",
    "X-Request-ID",
)

#: what a page may see of an answer, besides what every page may
_SEEN = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Warning",
    "X-Request-ID",
)

#: for how long a browser need not ask again, in seconds; none keeps it longer than two hours
_MAX_AGE = 7200

_EVERY = "*"

_ORIGIN = web.RequestKey("origin", str)


class CrossOrigin:
    """The origins that are let in: ``origins``, as browsers write them; "*" lets everybody in.

    Everybody means every page, but nobody's cookies: a browser sends those without asking its user.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._listed = frozenset(origins) - {_EVERY}
        self._every = _EVERY in origins

    def __bool__(self) -> bool:
        """Whether anybody is let in."""
        return self._every or bool(self._listed)

    def admits(self, request: web.Request, origin: str) -> bool:
        """Whether the page may do what it asks for; remembered for the answer's headers."""
        if origin not in self._listed and not self._every:
            return False
        request[_ORIGIN] = origin
        return origin in self._listed or hdrs.COOKIE not in request.headers

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks for permission; None if that is not what is asked."""
        if request.method != hdrs.METH_OPTIONS or request.get(_ORIGIN) is None:
            return None
        if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        refusal = request.match_info.http_exception
        if not isinstance(refusal, web.HTTPMethodNotAllowed):
            return None  # there is nothing at this address
        return web.Response(
            status=HTTPStatus.NO_CONTENT,
            headers={
                str(hdrs.ACCESS_CONTROL_ALLOW_METHODS): ", ".join(sorted(refusal.allowed_methods)),
                str(hdrs.ACCESS_CONTROL_ALLOW_HEADERS): ", ".join(_SENT),
                str(hdrs.ACCESS_CONTROL_MAX_AGE): str(_MAX_AGE),
            },
        )

    def headers(self, request: web.Request) -> Iterator[tuple[str, str]]:
        """What lets the page see the answer, whatever it is."""
        yield hdrs.VARY, hdrs.ORIGIN  # a cache must not hand one page's answer to another
        origin = request.get(_ORIGIN)
        if origin is None:
            return
        yield hdrs.ACCESS_CONTROL_EXPOSE_HEADERS, ", ".join(_SEEN)
        if origin in self._listed:
            yield hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, origin
            yield hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"
        else:
            yield hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, _EVERY
