"""What every answer carries, whether it is sent at once or bit by bit."""

from __future__ import annotations

import random
import re
from http import HTTPStatus

from aiohttp import hdrs, web
from multidict import CIMultiDict

from service.contracts.cross_origin import CrossOrigin
from service.logs import request_id

_REQUEST_ID = "X-Request-ID"
_GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

_CSP = "Content-Security-Policy"

#: data is neither a page nor part of one
_NOTHING = "default-src 'none'; frame-ancestors 'none'"

#: browsers make a page of their own around a video, which has to be able to load it
_NO_FRAME = "frame-ancestors 'none'"
_MEDIA = ("video/", "image/", "audio/")

#: no handler decides about these
_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
)

#: somebody's data, and errors: no cache in between is to keep them, unless the handler says so
_NO_STORE = "no-store"

#: a year in seconds: from then on the browser comes by https only
_HSTS = ("Strict-Transport-Security", "max-age=31536000")


def name_request(request: web.Request) -> str:
    """Give the request its id, for its answer and its log lines: the client's own if it is a sane one."""
    name = request.headers.get(_REQUEST_ID)
    if name is None or not _GOOD_REQUEST_ID.fullmatch(name):
        name = f"{random.getrandbits(128):032x}"
    request_id.set(name)  # never reset: a connection's next request puts its own
    return name


class AnswerHeaders:
    """Completes the headers of answers; ``https`` if the outside world reaches the server by it."""

    def __init__(self, cross_origin: CrossOrigin, *, https: bool) -> None:
        self._cross_origin = cross_origin
        self._always = CIMultiDict((*_ALWAYS, _HSTS) if https else _ALWAYS)

    async def complete(self, request: web.Request, response: web.StreamResponse) -> None:
        """For the application's ``on_response_prepare``: just before the first byte goes out."""
        headers = response.headers
        # What aiohttp refuses by itself, such as an Expect that it does not know, has passed no guard.
        headers[_REQUEST_ID] = request_id.get("") or name_request(request)
        if response.status != HTTPStatus.NOT_MODIFIED:  # the client has them, with what it has not lost
            headers.extend(self._always)
            headers.setdefault(hdrs.CACHE_CONTROL, _NO_STORE)
            self._complete_policy(response)
        if self._cross_origin:
            for name, value in self._cross_origin.headers(request):
                headers.add(name, value)

    def _complete_policy(self, response: web.StreamResponse) -> None:
        headers = response.headers
        if _CSP not in headers:
            media = headers.get(hdrs.CONTENT_TYPE, "").startswith(_MEDIA)
            headers[_CSP] = _NO_FRAME if media else _NOTHING
        elif response.content_type == "text/html":
            # No other page that opened this one can reach into it.
            headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
