"""Who may ask how often, at the HTTP border; ``service.rates`` counts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import hdrs, web

from service.contracts.access import caller_of, scopes_of
from service.rates import Rates
from sessions.api_keys import Scope
from sessions.errors import TooMany

#: requests that change nothing
READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


#: forms of one client in memory at the same time
_FORMS = 4


@dataclass(eq=False)
class _Line:
    """The forms of one client."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_FORMS))
    forms: int = 0  #: that are read or wait


class Turnstile:
    """Counts the requests of each client.

    ``proxies`` in front of the server are believed about who asks: each adds one entry to
    X-Forwarded-For. Every method raises ``TooMany``.
    """

    def __init__(self, rates: Rates, *, proxies: int) -> None:
        self._rates = rates
        self._proxies = proxies
        self._lines: dict[str, _Line] = {}

    def look(self, request: web.Request) -> None:
        """A poll: each address is counted on its own, query and all, so that jobs do not take turns from
        each other.
        """
        _let_in(self._rates.read(self._client(request), request.raw_path))

    def fetch(self, request: web.Request) -> None:
        """A read of what is asked for piece by piece, or of what there is not."""
        _let_in(self._rates.fetch(self._client(request)))

    def change(self, request: web.Request) -> None:
        """Whatever makes or changes something; who may hand in a batch is not counted."""
        if Scope.BATCH not in scopes_of(request):
            _let_in(self._rates.create(self._client(request)))

    @contextlib.asynccontextmanager
    async def form(self, request: web.Request) -> AsyncIterator[None]:
        """Wait until a form with files may be read: it is held in memory for as long as its client likes."""
        client = self._client(request)
        line = self._lines.setdefault(client, _Line())
        line.forms += 1
        try:
            async with line.room:
                yield
        finally:
            line.forms -= 1
            if not line.forms:
                del self._lines[client]

    def _client(self, request: web.Request) -> str:
        """The caller, if known; else the address, which no name of a caller can look like."""
        return caller_of(request) or "\n" + _neighbourhood(self._address(request))

    def _address(self, request: web.Request) -> str:
        if self._proxies:
            passed = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ())).split(",")
            if len(passed) >= self._proxies and (address := passed[-self._proxies].strip()):
                return address
        return request.remote or ""


def _let_in(wait: float) -> None:
    if wait:
        raise TooMany(retry_after=wait)


@functools.lru_cache(maxsize=4096)
def _neighbourhood(address: str) -> str:
    """One client's addresses: with IPv6 whoever has one has all that share its first 64 bits."""
    try:
        ip = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), 64), strict=False))
