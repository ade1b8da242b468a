"""Fetching an image from an address that a user gave, without lending the user this machine's network.

Every address that is really connected to is looked at where its socket is made: after names are
resolved and numbers are read in whatever notation, for redirects too. Nothing lies between that look
and the connection, so that a name with changing answers gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.addresses import is_public, plain_web_address
from sessions.errors import InvalidInput

_log = structlog.get_logger(__name__)

#: fetches at a time; each may hold a whole image in memory
_AT_ONCE = 16
#: names that are resolved at a time
_NAMES_AT_ONCE = 8
#: seconds in which a server must take the connection
_CONNECT_SECONDS = 5.0
#: letters of a reason in the log: some repeat what the server said
_REASON_LIMIT = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "User-Agent": "scenewright (fetches images for its users)",
    "Accept": "image/jpeg, image/png, image/webp",
    "Accept-Encoding": "identity",  # what is counted is what is kept: nothing small unfolds
}
_SHAPE = "The image's address must be a public http or https URL without user name and unusual port"
#: the same for private addresses, closed ports, unknown names and bad certificates: whoever asks
#: learns nothing about the network around this server
_UNREACHABLE = "Nothing can be fetched from the image's address; it must be public and answer"


class FetchRefused(InvalidInput):
    """The image's address cannot be fetched."""

    code = "bad_image_address"


class _NotAllowed(OSError):
    """A connection that this service does not make."""


class ImageFetcher:
    """Fetches what users point at, from public addresses only, on the usual ports.

    ``allowed`` is asked with every IP address, as text, before it is connected to. ``seconds``
    is the time for all of it, redirects and reading included.
    """

    def __init__(
        self,
        *,
        limit_mib: int = 10,
        seconds: float = 15.0,
        redirects: int = 3,
        allowed: Callable[[str], bool] = is_public,
        ports: Collection[int] = frozenset({80, 443}),
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._limit_mib = limit_mib
        self._seconds = seconds
        self._redirects = redirects
        self._allowed = allowed
        self._ports = ports
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._resolver = self._resolver or _Resolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._socket,
                resolver=self._resolver,
                use_dns_cache=False,
                force_close=True,
                limit=_AT_ONCE,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            trust_env=False,  # a proxy would connect in our place, unseen
        )

    async def close(self) -> None:
        if self._session:
            await self._session.close()
        if self._resolver:
            await self._resolver.close()

    async def fetch(self, url: str) -> bytes:
        """What is at ``url``, whatever it is. Raises ``FetchRefused``."""
        try:
            address = URL(plain_web_address(url), encoded=True)  # other escapes would spoil a signature
        except ValueError as error:
            raise FetchRefused(_SHAPE) from error
        try:
            async with asyncio.timeout(self._seconds) as clock:
                return await self._follow(address)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: names that cannot be
            # The user hears what helps; the reason is the operator's to know.
            reason = str(error)[:_REASON_LIMIT] or type(error).__name__
            _log.info("image.not_fetched", host=address.host, reason=reason)
            if clock.expired():
                raise FetchRefused(f"The image did not come within {self._seconds:g} seconds") from error
            if isinstance(error, aiohttp.ClientPayloadError):
                raise FetchRefused("The image broke off on its way") from error
            raise FetchRefused(_UNREACHABLE) from error

    async def _follow(self, address: URL) -> bytes:
        assert self._session is not None, "open() comes first"
        for _ in range(self._redirects + 1):
            self._check_shape(address)
            async with self._session.get(address, allow_redirects=False) as answer:
                if answer.status not in _REDIRECTS:
                    return await self._read(answer)
                address = address.join(URL(answer.headers.get("Location", "")))
        raise FetchRefused(f"The image's address redirects more than {self._redirects} times")

    def _check_shape(self, address: URL) -> None:
        named = address.user is not None or address.password is not None
        somewhere = address.scheme in ("http", "https") and address.host and address.port in self._ports
        if named or not somewhere:
            raise FetchRefused(_SHAPE)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        if answer.status != 200:  # noqa: PLR2004 - the one good answer to a plain GET
            raise FetchRefused(f"The image's address answers {answer.status}")
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise FetchRefused("The image's address sends compressed data that was not asked for")
        limit = self._limit_mib << 20
        body = bytearray()
        if (answer.content_length or 0) <= limit:
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        raise FetchRefused(f"The image is larger than {self._limit_mib} MiB")

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for one address that was resolved, if it may be connected to."""
        family, kind, protocol, _, (host, *_) = info
        if not self._allowed(host):
            raise _NotAllowed(f"{host} is not for users")
        return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """The system's resolver on threads of its own.

    A name whose server never answers holds a thread far longer than the fetch lasts; those of
    the service's other work must not be used up by it.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NAMES_AT_ONCE, thread_name_prefix="image-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
