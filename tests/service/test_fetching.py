"""Fetching from addresses that users give: what must not be reached is not even knocked at."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service import fetching as fetching_module
from service.fetching import FetchRefused, ImageFetcher
from sessions.errors import InvalidInput

UNREACHABLE = "Nothing can be fetched from the image's address; it must be public and answer"
SHAPE = "The image's address must be a public http or https URL without user name and unusual port"
#: in these tests the one address is anybody's, the other is this machine's own business
PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Counts who comes, and plays what a script says."""

    port: int = 0
    play: Script | None = None
    seen: int = 0
    requests: list[bytes] = field(default_factory=list)
    visits: dict[asyncio.Task[Any], asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        assert visit
        self.visits[visit] = writer
        self.seen += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await (self.play or says(b"picture"))(reader, writer)
        writer.close()


def says(body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None) -> Script:
    """Answers that, and closes the connection."""
    size = len(body) if length is None else length
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""))
    return lambda _, writer: _send(writer, head.encode() + body)


def redirects(*locations: str, status: str = "302 Found", each: Callable[[], object] = int) -> Script:
    """One place after the other; when there are no more, the picture."""
    left = list(locations)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        each()
        answer = says(b"", f"Location: {left.pop(0)}", status=status) if left else says(b"picture")
        await answer(reader, writer)

    return play


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


@asynccontextmanager
async def listening(*hosts: str, port: int = 0, **how: Any) -> AsyncIterator[Server]:
    """A server on all of these, on the same port."""
    server, sockets = Server(), []
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        door = socket.create_server((host, port or server.port), family=family)
        server.port = door.getsockname()[1]
        sockets.append(await asyncio.start_server(server.serve, sock=door, **how))
    try:
        yield server
    finally:
        for each in sockets:
            each.close()
        for writer in server.visits.values():
            writer.transport.abort()
        if server.visits:
            await asyncio.wait(server.visits)


class Names(AbstractResolver):
    """Answers in turn what a list says, the last for ever; numbers as the system reads them.

    Nothing else is known, and no question leaves this machine.
    """

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.left = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.left:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            return [_result(host, str(address[0]), port) for *_, address in found]
        answers = self.left[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [_result(host, number, port) for number in answer]

    async def close(self) -> None:
        self.left.clear()


def _result(name: str, number: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in number else socket.AF_INET
    return ResolveResult(hostname=name, host=number, port=port, family=family, proto=0, flags=0)


@asynccontextmanager
async def fetching(server: Server | None = None, **how: Any) -> AsyncIterator[ImageFetcher]:
    """A fetcher that may go to the server's port, and in the world of these tests to ``PUBLIC`` only."""
    given: dict[str, Any] = {"allowed": lambda number: number == PUBLIC, "resolver": Names()}
    if server:
        given["ports"] = {server.port}
    fetcher = ImageFetcher(**given | how)
    await fetcher.open()
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def refusal(fetcher: ImageFetcher, url: str) -> str:
    with pytest.raises(FetchRefused) as caught:
        await fetcher.fetch(url)
    assert isinstance(caught.value, InvalidInput)
    assert (caught.value.code, caught.value.details) == ("bad_image_address", {})
    return caught.value.message


@pytest.fixture
def knocks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that this loop tries to connect to."""
    tried: list[Any] = []

    async def watch(loop: Any, sock: socket.socket, address: Any) -> None:
        tried.append(address)
        await connect(loop, sock, address)

    connect = asyncio.SelectorEventLoop.sock_connect
    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", watch)
    return tried


@pytest.fixture
async def open_web() -> AsyncIterator[Server]:
    """A server that everybody may reach."""
    async with listening(PUBLIC) as server:
        yield server


#: ways to say "this machine" or "its network"; PORT stands for a port on which a server listens
INWARD = {
    "number": "http://127.0.0.1:PORT/a.png",
    "another number": "http://127.9.9.9:PORT/",
    "short": "http://127.1:PORT/",
    "decimal": "http://2130706433:PORT/",
    "hexadecimal": "http://0x7f000001:PORT/",
    "hexadecimal parts": "http://0x7f.0x0.0x0.0x1:PORT/",
    "octal": "http://0177.0.0.1:PORT/",
    "octal, whole": "http://017700000001:PORT/",
    "dot at the end": "http://127.0.0.1.:PORT/",
    "this host": "http://0.0.0.0:PORT/",
    "this host, short": "http://0:PORT/",
    "IPv6": "http://[::1]:PORT/",
    "IPv6, long": "http://[0:0:0:0:0:0:0:1]:PORT/",
    "IPv6, any": "http://[::]:PORT/",
    "IPv6, mapped": "http://[::ffff:127.0.0.1]:PORT/",
    "IPv6, mapped in hexadecimal": "http://[::ffff:7f00:1]:PORT/",
    "IPv6, compatible": "http://[::127.0.0.1]:PORT/",
    "NAT64": "http://[64:ff9b::7f00:1]:PORT/",
    "NAT64 of one network": "http://[64:ff9b:1::7f00:1]:PORT/",
    "6to4": "http://[2002:7f00:1::]:PORT/",
    "Teredo": "http://[2001:0:7f00:1::]:PORT/",
    "IPv6, link-local": "http://[fe80::1]:PORT/",
    "IPv6, site-local": "http://[fec0::1]:PORT/",
    "IPv6, unique local": "http://[fd00:ec2::254]:PORT/latest/meta-data/",
    "metadata": "http://169.254.169.254:PORT/latest/meta-data/",
    "metadata among the protocols": "http://192.0.0.192:PORT/",
    "metadata behind a carrier": "http://100.100.100.200:PORT/",
    "inner services with a public number": "http://168.63.129.16:PORT/",
    "private network": "http://10.0.0.1:PORT/",
    "multicast": "http://224.0.0.1:PORT/",
    "broadcast": "http://255.255.255.255:PORT/",
    "name": "http://localhost:PORT/",
    "name of a stranger": "http://inward.example:PORT/",
    "name of a stranger, IPv6": "http://inward6.example:PORT/",
    "name of a stranger, mapped": "http://mapped.example:PORT/",
    "name of a stranger, metadata": "http://metadata.example:PORT/",
    "secure": "https://127.0.0.1:PORT/",
}
NAMES = {
    "localhost": [["127.0.0.1", "::1"]],
    "inward_example": [["127.0.0.1"]],
    "inward6_example": [["::1"]],
    "mapped_example": [["::ffff:127.0.0.1"]],
    "metadata_example": [["169.254.169.254"]],
}


@pytest.mark.parametrize("form", INWARD)
async def test_nothing_inward_is_reached(form: str, knocks: list[Any]) -> None:
    async with (
        listening("0.0.0.0", "::1") as server,
        fetching(ports={server.port}, resolver=Names(**NAMES), **_default_rule()) as fetcher,
    ):
        url = INWARD[form].replace("PORT", str(server.port))
        assert await refusal(fetcher, url) == UNREACHABLE
        assert (server.seen, knocks) == (0, [])


def _default_rule() -> dict[str, Any]:
    """What the service itself uses."""
    defaults = ImageFetcher.__init__.__kwdefaults__
    assert defaults is not None
    return {"allowed": defaults["allowed"]}


@pytest.mark.parametrize(
    "form", ["number", "another number", "this host", "IPv6", "IPv6, mapped", "name", "name of a stranger"]
)
async def test_without_the_rule_they_would_be_reached(form: str) -> None:
    """The server of the test above listens where these lead."""
    async with (
        listening("0.0.0.0", "::1") as server,
        fetching(server, resolver=Names(**NAMES), allowed=lambda _: True) as fetcher,
    ):
        url = INWARD[form].replace("PORT", str(server.port))
        assert await fetcher.fetch(url) == b"picture"
        assert server.seen == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://user@127.0.0.2:PORT/",
        "http://user:word@127.0.0.2:PORT/",
        "http://@127.0.0.2:PORT/",
        "http://:@127.0.0.2:PORT/",
        "http://example.com@127.0.0.2:PORT/",
        "http://127.0.0.2:PORT@example.com/",
        "http://example.com\\@127.0.0.2:PORT/",
        "http://127.0.0.2:PORT\\.example.com/",
        "http://127.0.0.2:PORT/\r\nHost: inward",
        "http://127.0.0.2:PORT/ HTTP/1.1",
        "http://127.0.0.2:PORT/\u0131",
        "http://\uff11\uff12\uff17.0.0.1:PORT/",
        "http://127.0.0.2/",
        "https://127.0.0.2/",
        "http://127.0.0.2:22/",
        "http://127.0.0.2:0/",
        "http://127.0.0.2:99999/",
        "http://127.0.0.2:port/",
        "http://:PORT/",
        "http:///a.png",
        "http:/127.0.0.2:PORT/",
        "//127.0.0.2:PORT/",
        "127.0.0.2:PORT",
        "ftp://127.0.0.2:PORT/",
        "file:///etc/passwd",
        "gopher://127.0.0.2:PORT/",
        "ws://127.0.0.2:PORT/",
        "http+unix://127.0.0.2:PORT/",
        "data:image/png;base64,AA==",
        "",
        "http://[::1",
    ],
)
async def test_addresses_of_the_wrong_shape(open_web: Server, url: str, knocks: list[Any]) -> None:
    names = Names()
    async with fetching(open_web, resolver=names) as fetcher:
        assert await refusal(fetcher, url.replace("PORT", str(open_web.port))) == SHAPE
    assert (open_web.seen, knocks, names.asked) == (0, [], [])


async def test_only_the_usual_ports_by_default(knocks: list[Any]) -> None:
    async with listening(PUBLIC) as server, fetching() as fetcher:
        for scheme in ("http", "https"):
            assert await refusal(fetcher, f"{scheme}://{PUBLIC}:{server.port}/") == SHAPE
        assert (server.seen, knocks) == (0, [])
        # Nothing listens there, but it is tried.
        for url in (f"http://{PUBLIC}/", f"https://{PUBLIC}/", f"http://{PUBLIC}:443/"):
            assert await refusal(fetcher, url) == UNREACHABLE
        assert knocks == [(PUBLIC, 80), (PUBLIC, 443), (PUBLIC, 443)]


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Server, Server]]:
    """A public server, and one on the same port that is nobody's business."""
    async with listening(PUBLIC) as public, listening(PRIVATE, port=public.port) as private:
        yield public, private


async def test_a_name_that_changes_its_mind() -> None:
    async with both() as (public, private):
        names = Names(rebinding_example=[[PUBLIC], [PRIVATE]])
        async with fetching(public, resolver=names) as fetcher:
            url = f"http://rebinding.example:{public.port}/"
            assert await fetcher.fetch(url) == b"picture"
            assert await refusal(fetcher, url) == UNREACHABLE
        assert (public.seen, private.seen) == (1, 0)
        assert len(names.asked) == 2, "asked once for each connection: what was checked is what is reached"


async def test_a_name_that_changes_its_mind_for_a_redirect() -> None:
    async with both() as (public, private):
        names = Names(rebinding_example=[[PUBLIC], [PRIVATE]])
        async with fetching(public, resolver=names) as fetcher:
            public.play = redirects(f"http://rebinding.example:{public.port}/b")
            assert await refusal(fetcher, f"http://rebinding.example:{public.port}/a") == UNREACHABLE
        assert (public.seen, private.seen) == (1, 0)


@pytest.mark.parametrize("answer", [[PRIVATE, PUBLIC], [PUBLIC, PRIVATE], ["::1", PRIVATE, PUBLIC]])
async def test_of_a_names_addresses_only_the_public_ones(answer: list[str]) -> None:
    async with both() as (public, private):
        async with fetching(public, resolver=Names(mixed_example=[answer])) as fetcher:
            assert await fetcher.fetch(f"http://mixed.example:{public.port}/") == b"picture"
        assert (public.seen, private.seen) == (1, 0)


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("http://127.0.0.1:PORT/", UNREACHABLE),
        ("//127.0.0.1:PORT/", UNREACHABLE),
        ("http://inward.example:PORT/", UNREACHABLE),
        ("http://2130706433:PORT/", UNREACHABLE),
        ("http://\uff11\uff12\uff17.0.0.1:PORT/", UNREACHABLE),
        ("http://[::ffff:127.0.0.1]:PORT/", UNREACHABLE),
        ("http://127.0.0.1/", SHAPE),
        ("http://127.0.0.2:22/", SHAPE),
        ("http://user@127.0.0.2:PORT/", SHAPE),
        ("file:///etc/passwd", SHAPE),
        ("ftp://127.0.0.2:PORT/", SHAPE),
        ("data:image/png;base64,AA==", SHAPE),
        ("javascript:alert(1)", SHAPE),
        ("http://[::1", UNREACHABLE),
    ],
)
async def test_redirects_to_where_nobody_is_led(location: str, sentence: str) -> None:
    async with both() as (public, private):
        async with fetching(public, resolver=Names(**NAMES)) as fetcher:
            public.play = redirects(location.replace("PORT", str(public.port)))
            assert await refusal(fetcher, f"http://{PUBLIC}:{public.port}/") == sentence
        assert (public.seen, private.seen) == (1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_three_times(open_web: Server, status: int) -> None:
    start = f"http://{PUBLIC}:{open_web.port}/a/b?c=d"
    steps = [f"http://{PUBLIC}:{open_web.port}/1", "2", "?q=%2F3", "/4"]
    async with fetching(open_web) as fetcher:
        open_web.play = redirects(*steps[:3], status=f"{status} Elsewhere")
        assert await fetcher.fetch(start) == b"picture"
        lines = [request.split(b" HTTP")[0] for request in open_web.requests]
        assert lines == [b"GET /a/b?c=d", b"GET /1", b"GET /2", b"GET /2?q=/3"]
        open_web.play = redirects(*steps)
        assert await refusal(fetcher, start) == "The image's address redirects more than 3 times"
        assert open_web.seen == 8


async def test_a_signed_address_is_asked_for_as_it_was_given(open_web: Server) -> None:
    async with fetching(open_web) as fetcher:
        await fetcher.fetch(f"http://{PUBLIC}:{open_web.port}/a%2Fb/%7E?sig=a%2Bb%3D&t=a+b#part")
    assert open_web.requests[0].startswith(b"GET /a%2Fb/%7E?sig=a%2Bb%3D&t=a+b HTTP/1.1\r\n")


async def test_what_is_told_about_us(open_web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cookies come back, no proxy is asked, nothing is sent that could be used elsewhere."""
    async with listening(PRIVATE) as proxy, fetching(open_web) as fetcher:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{PRIVATE}:{proxy.port}")
        open_web.play = says(b"picture", "Set-Cookie: a=b; Path=/")
        for _ in range(2):
            await fetcher.fetch(f"http://{PUBLIC}:{open_web.port}/")
        assert proxy.seen == 0
    for request in open_web.requests:
        given = dict(line.split(b": ", 1) for line in request.strip().split(b"\r\n")[1:])
        assert set(given) - {b"Connection"} == {b"Host", b"User-Agent", b"Accept", b"Accept-Encoding"}
        assert given[b"Accept-Encoding"] == b"identity"
        assert given[b"User-Agent"].startswith(b"scenewright")


async def test_whoever_asks_cannot_scan_this_network(
    open_web: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence for all that has not answered, whatever the reason."""
    monkeypatch.setattr(fetching_module, "_CONNECT_SECONDS", 0.5)
    with socket.create_server((PUBLIC, 0)) as door:
        closed = door.getsockname()[1]

    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    open_web.play = resets
    async with (
        listening(PUBLIC, ssl=_certificate(tmp_path)) as secure,
        fetching(ports={open_web.port, secure.port, closed}, resolver=Names(**NAMES)) as fetcher,
    ):
        urls = {
            "private and open": f"http://{PRIVATE}:{open_web.port}/",
            "private name": f"http://inward.example:{open_web.port}/",
            "private and closed": f"http://{PRIVATE}:{closed}/",
            "public and closed": f"http://{PUBLIC}:{closed}/",
            "unknown name": f"http://unknown.example:{closed}/",
            "a name that cannot be": f"http://{'a' * 64}.example:{closed}/",
            "a certificate of its own": f"https://{PUBLIC}:{secure.port}/",
            "no TLS, and no end of the handshake": f"https://{PUBLIC}:{open_web.port}/",
            "no answer": f"http://{PUBLIC}:{open_web.port}/",
        }
        said = {why: await refusal(fetcher, url) for why, url in urls.items()}
        assert said == dict.fromkeys(urls, UNREACHABLE)
        assert secure.requests == []


def _certificate(folder: Path) -> ssl.SSLContext:
    """That nobody vouches for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, *form)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context


MIB = 1 << 20
TOO_LARGE = "The image is larger than 1 MiB"


async def _endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await _send(writer, b"x" * 65536)


async def _endless_chunks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await _send(writer, b"10000\r\n" + b"x" * 65536 + b"\r\n")


async def _endless_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, b"HTTP/1.1 200 OK\r\n")
    while True:
        await _send(writer, b"X-More: more\r\n" * 1000)


async def _announced(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Announces too much, and sends nothing before the client has gone."""
    await _send(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    await _.read()


BODIES: dict[str, tuple[Script, bytes | str]] = {
    "whole": (says(b"picture"), b"picture"),
    "empty": (says(b""), b""),
    "as large as may be": (says(b"x" * MIB), b"x" * MIB),
    "one byte more": (says(b"x" * (MIB + 1)), TOO_LARGE),
    "announced and never sent": (_announced, TOO_LARGE),
    "without length": (lambda _, w: _send(w, b"HTTP/1.1 200 OK\r\n\r\npicture"), b"picture"),
    "without end": (_endless, TOO_LARGE),
    "in chunks without end": (_endless_chunks, TOO_LARGE),
    "headers without end": (_endless_head, UNREACHABLE),
    "more than announced": (says(b"picture, and more", length=7), UNREACHABLE),
    "less than announced": (says(b"pic", length=7), "The image broke off on its way"),
    "a length that is none": (says(b"picture", length=-7), UNREACHABLE),
    "no HTTP": (lambda _, w: _send(w, b"SSH-2.0-OpenSSH_9.2\r\n"), UNREACHABLE),
    "as asked": (says(b"picture", "Content-Encoding: Identity"), b"picture"),
    "compressed": (
        says(gzip.compress(b"\0" * 50 * MIB), "Content-Encoding: gzip"),
        "The image's address sends compressed data that was not asked for",
    ),
    "compressed twice": (
        says(b"", "Content-Encoding: gzip, deflate"),
        "The image's address sends compressed data that was not asked for",
    ),
    "looks compressed": (says(gzip.compress(b"\0" * MIB)), gzip.compress(b"\0" * MIB)),
}


@pytest.mark.parametrize("how", BODIES)
async def test_bodies(open_web: Server, how: str) -> None:
    open_web.play, outcome = BODIES[how]
    async with fetching(open_web, limit_mib=1) as fetcher:
        url = f"http://{PUBLIC}:{open_web.port}/"
        if isinstance(outcome, bytes):
            assert await fetcher.fetch(url) == outcome
        else:
            assert await refusal(fetcher, url) == outcome


@pytest.mark.parametrize(
    "status", [201, 204, 206, 300, 304, 305, 400, 401, 403, 404, 410, 418, 500, 503, 999]
)
async def test_other_answers(open_web: Server, status: int) -> None:
    open_web.play = says(b"picture" if status not in {204, 304} else b"", status=f"{status} Other")
    async with fetching(open_web) as fetcher:
        sentence = f"The image's address answers {status}"
        assert await refusal(fetcher, f"http://{PUBLIC}:{open_web.port}/") == sentence


async def _drip(writer: asyncio.StreamWriter, start: bytes, drop: bytes) -> None:
    await _send(writer, start)
    while True:
        await _send(writer, drop)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "play",
    [
        lambda _, writer: _drip(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        lambda _, writer: _drip(writer, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        lambda reader, _: reader.read(),
    ],
    ids=["body", "headers", "silence"],
)
async def test_what_comes_too_slowly(open_web: Server, play: Script) -> None:
    open_web.play = play
    async with fetching(open_web, seconds=0.3) as fetcher:
        sentence = "The image did not come within 0.3 seconds"
        assert await refusal(fetcher, f"http://{PUBLIC}:{open_web.port}/") == sentence


async def test_redirects_share_the_time(open_web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's clock jumps with each answer; none takes too long on its own."""
    loop, ahead = asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + ahead)

    def later() -> None:
        nonlocal ahead
        ahead += 400

    open_web.play = redirects("/1", "/2", "/3", each=later)
    async with fetching(open_web, seconds=1000) as fetcher:
        sentence = "The image did not come within 1000 seconds"
        assert await refusal(fetcher, f"http://{PUBLIC}:{open_web.port}/") == sentence


async def test_a_fetch_can_be_cancelled(open_web: Server) -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()

    open_web.play = silent
    async with fetching(open_web) as fetcher:
        task = asyncio.create_task(fetcher.fetch(f"http://{PUBLIC}:{open_web.port}/"))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_names_that_take_for_ever_leave_the_service_its_threads(
    open_web: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's resolver cannot be interrupted."""
    asked, answered, resolve = threading.Semaphore(0), threading.Event(), socket.getaddrinfo

    def slow(host: str, *rest: Any, **more: Any) -> Any:
        if host == "slow.example":
            asked.release()
            assert answered.wait(60)
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    async with fetching(open_web, resolver=None) as fetcher:
        url = f"http://slow.example:{open_web.port}/"
        fetches = [asyncio.create_task(fetcher.fetch(url)) for _ in range(60)]
        try:
            assert await asyncio.to_thread(asked.acquire, timeout=20)
            async with asyncio.timeout(20):
                assert await asyncio.gather(*(asyncio.to_thread(int, "1") for _ in range(60))) == [1] * 60
        finally:
            for fetch in fetches:
                fetch.cancel()
            await asyncio.wait(fetches)
            answered.set()


async def test_the_systems_resolver(open_web: Server) -> None:
    async with fetching(open_web, resolver=None, allowed=lambda _: True) as fetcher:
        # Other than 127.0.0.1 this one is not read by aiohttp itself.
        assert await fetcher.fetch(f"http://0x7f000002:{open_web.port}/") == b"picture"
