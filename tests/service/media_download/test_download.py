"""Fetching a finished video from a server that answers well or badly."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.media.download import Downloader
from service.sections import DownloadsSettings
from sessions.errors import DownloadError
from tests.wire.files import send_file
from tests.wire.scripts import FileReply

FILM = bytes(range(256)) * 1200  # 300 KiB
MIB = 1 << 20


@dataclass(kw_only=True)
class Server:
    """A file server of one film."""

    address: str = ""
    film: bytes = FILM
    reply: FileReply = FileReply()  # noqa: RUF009 - frozen
    requests: list[web.Request] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        match request.match_info["how"]:
            case "film":
                return await send_file(request, self.film, self.reply)
            case "moved":
                raise web.HTTPFound("/film")
            case "round":
                raise web.HTTPFound("/round")
            case "elsewhere":
                raise web.HTTPFound("file:///etc/passwd")
            case "silent":
                await self.over.wait()
                return web.Response()
            case "stalling":
                return await self._stall(request, announced=1000, sent=4)
            case "half":
                return await self._stall(request, announced=4 * MIB, sent=2 * MIB)
            case "endless":
                return await self._stream(request, 64)
        return web.Response(status=404)

    async def _stall(self, request: web.Request, *, announced: int, sent: int) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = announced
        await response.prepare(request)
        await response.write(bytes(sent))
        await self.over.wait()
        return response

    async def _stream(self, request: web.Request, mib: int) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = mib * MIB
        await response.prepare(request)
        piece = bytes(MIB // 4)
        for _ in range(4 * mib):
            await response.write(piece)
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.add_routes([web.get("/{how:.*}", server.answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    server.over.set()
    await runner.cleanup()


async def _open(scratch: Path, **changes: Any) -> Downloader:
    values: dict[str, Any] = {
        "parallel": 1,
        "give_up_seconds": 0,
        "attempts": 1,
        "pause_seconds": 0.01,
        "stall_seconds": 5,
        "limit_mib": 100,
    }
    downloader = Downloader(DownloadsSettings(**{**values, **changes}), scratch=scratch)
    await downloader.open()
    return downloader


@pytest.fixture
async def downloader(tmp_path: Path) -> AsyncIterator[Downloader]:
    downloader = await _open(tmp_path)
    yield downloader
    await downloader.close()


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Downloader]:
    """Patient for 0.1 seconds, and for 1 MiB."""
    downloader = await _open(tmp_path, stall_seconds=0.1, limit_mib=1)
    yield downloader
    await downloader.close()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "a.mp4.part"


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


async def _refusal(downloader: Downloader, location: str, part: Path) -> DownloadError:
    with pytest.raises(DownloadError) as refused:
        async with asyncio.timeout(20):
            await downloader.fetch(location, part)
    return refused.value


# ---------------------------------------------------------------------- well


@pytest.mark.parametrize(
    "reply",
    [FileReply(), FileReply(chunked=True), FileReply(chunk_size=7 * 1024), FileReply(content_type="x/y")],
)
async def test_a_film_arrives_byte_for_byte(
    server: Server, downloader: Downloader, part: Path, reply: FileReply
) -> None:
    server.reply = reply
    assert await downloader.fetch(f"{server.address}/film", part) == len(FILM)
    assert _content(part) == FILM


async def test_what_an_earlier_try_left_is_replaced(
    server: Server, downloader: Downloader, part: Path
) -> None:
    _write(part, b"x" * (len(FILM) + 1))
    await downloader.fetch(f"{server.address}/film", part)
    assert _content(part) == FILM


async def test_an_empty_file_is_fetched_and_left_to_the_check(
    server: Server, downloader: Downloader, part: Path
) -> None:
    server.film = b""
    assert await downloader.fetch(f"{server.address}/film", part) == 0
    assert _content(part) == b""


async def test_a_redirect_is_followed(server: Server, downloader: Downloader, part: Path) -> None:
    assert await downloader.fetch(f"{server.address}/moved", part) == len(FILM)
    assert [request.path for request in server.requests] == ["/moved", "/film"]


async def test_no_compression_is_asked_for(server: Server, downloader: Downloader, part: Path) -> None:
    await downloader.fetch(f"{server.address}/film", part)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


async def test_a_signed_address_is_asked_for_exactly_as_it_was_given(
    server: Server, downloader: Downloader, part: Path
) -> None:
    signed = "/film?Policy=a%2Fb%7Ec&Signature=x%2By%3D%3D&e=%C3%A4&t=a+b%20c,(d)"
    await downloader.fetch(server.address + signed, part)
    assert server.requests[0].raw_path == signed


# ---------------------------------------------------------------------- answers that are no film


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (400, 401, 405, 410, 451)),
        *(
            (status, True)
            for status in (202, 204, 206, 403, 404, 408, 409, 416, 425, 429, 500, 502, 503, 504)
        ),
    ],
)
async def test_every_other_status_is_refused_and_some_are_worth_another_try(
    server: Server, downloader: Downloader, part: Path, status: int, retryable: bool
) -> None:
    server.reply = FileReply(status=status)
    error = await _refusal(downloader, f"{server.address}/film", part)
    assert error.message.endswith(f"answers {status}")
    assert (error.code, error.retryable) == ("download", retryable)
    assert _content(part) is None


@pytest.mark.parametrize("how", ["round", "elsewhere"])
async def test_a_redirect_to_nowhere_is_refused(
    server: Server, downloader: Downloader, part: Path, how: str
) -> None:
    error = await _refusal(downloader, f"{server.address}/{how}", part)
    assert "broke off" in error.message
    assert len(server.requests) <= 11


@pytest.mark.parametrize(
    "reply",
    [
        FileReply(declare=len(FILM) + 1),
        FileReply(reset_after=100_000),
        FileReply(reset_after=0),
        FileReply(reset_after=100_000, chunked=True),
    ],
    ids=["one byte short", "reset inside", "reset at once", "reset inside chunks"],
)
async def test_a_download_that_ends_early_is_refused(
    server: Server, downloader: Downloader, part: Path, reply: FileReply
) -> None:
    server.reply = reply
    error = await _refusal(downloader, f"{server.address}/film", part)
    assert (error.code, error.retryable) == ("download", True)


async def test_after_a_broken_download_the_next_one_works(
    server: Server, downloader: Downloader, part: Path
) -> None:
    server.reply = FileReply(reset_after=100_000)
    await _refusal(downloader, f"{server.address}/film", part)
    server.reply = FileReply()
    assert await downloader.fetch(f"{server.address}/film", part) == len(FILM)
    assert _content(part) == FILM


@pytest.mark.parametrize("how", ["silent", "stalling"])
async def test_a_stall_is_broken_off(server: Server, strict: Downloader, part: Path, how: str) -> None:
    error = await _refusal(strict, f"{server.address}/{how}", part)
    assert (error.message, error.retryable) == ("The download stalled", True)


async def test_a_slow_download_that_moves_is_no_stall(server: Server, strict: Downloader, part: Path) -> None:
    server.film = FILM[:40_000]
    server.reply = FileReply(chunk_size=8_000, chunk_delay=0.04)  # 0.2 seconds in all
    assert await strict.fetch(f"{server.address}/film", part) == 40_000


async def test_a_server_that_is_not_there_is_worth_another_try(downloader: Downloader, part: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/film"
        error = await _refusal(downloader, address, part)
    assert (error.code, error.retryable) == ("download", True)


@pytest.mark.parametrize("url", ["http://", "http://[", "https://127.0.0.1:99999/x", "http:///x"])
async def test_an_address_that_is_none_is_refused(downloader: Downloader, part: Path, url: str) -> None:
    assert (await _refusal(downloader, url, part)).code == "download"


async def test_no_message_holds_the_address(server: Server, downloader: Downloader, part: Path) -> None:
    for how in ("gone", "round", "elsewhere"):
        error = await _refusal(downloader, f"{server.address}/{how}?signature=secret", part)
        assert "secret" not in error.message
        assert server.address not in error.message


# ---------------------------------------------------------------------- too large


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "not announced"])
async def test_a_film_over_the_limit_is_refused_for_good(
    server: Server, strict: Downloader, part: Path, chunked: bool
) -> None:
    server.film = bytes(MIB + 1)
    server.reply = FileReply(chunked=chunked)
    error = await _refusal(strict, f"{server.address}/film", part)
    assert error.message == "The video is larger than 1 MiB (downloads.limit_mib)"
    assert error.retryable is False
    begun = _content(part)
    assert (begun is not None) is chunked, "what announces itself as too large is not begun"
    assert len(begun or b"") <= MIB


async def test_a_film_at_the_limit_is_fetched(server: Server, strict: Downloader, part: Path) -> None:
    server.film = bytes(MIB)
    assert await strict.fetch(f"{server.address}/film", part) == MIB


async def test_a_large_film_needs_little_memory(server: Server, downloader: Downloader, part: Path) -> None:
    tracemalloc.start()
    try:
        size = await downloader.fetch(f"{server.address}/endless", part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == _size(part) == 64 * MIB
    assert peak < 16 * MIB, "server and client together"


# ---------------------------------------------------------------------- local files and the disk


async def test_a_local_result_is_copied_and_then_removed(
    downloader: Downloader, part: Path, tmp_path: Path
) -> None:
    source = tmp_path / "task.local.part"
    source.write_bytes(FILM)
    assert await downloader.fetch(str(source), part) == len(FILM)
    assert _content(part) == FILM
    await downloader.discard(str(source))
    assert _content(source) is None
    await downloader.discard(str(source))  # twice does no harm


async def test_a_local_result_that_is_gone_is_refused(
    downloader: Downloader, part: Path, tmp_path: Path
) -> None:
    error = await _refusal(downloader, str(tmp_path / "gone.part"), part)
    assert (error.message, error.retryable) == ("The rendered file is gone", False)
    assert _content(part) is None


@pytest.mark.parametrize(
    "place", ["{scratch}/../secret", "/etc/passwd", "{scratch}/a/secret", "secret", "file://{scratch}/x"]
)
async def test_a_result_from_anywhere_else_is_neither_read_nor_removed(
    downloader: Downloader, part: Path, tmp_path: Path, place: str
) -> None:
    secret = tmp_path.parent / "secret"
    _write(secret, b"secret")
    location = place.format(scratch=tmp_path)
    assert (await _refusal(downloader, location, part)).retryable is False
    await downloader.discard(location)
    assert _content(part) is None
    assert _content(secret) == b"secret"


async def test_a_remote_result_is_the_providers_to_remove(server: Server, downloader: Downloader) -> None:
    await downloader.discard(f"{server.address}/film")
    assert server.requests == []


@pytest.mark.parametrize("remote", [True, False])
async def test_a_disk_that_refuses_is_told_apart_from_the_network(
    server: Server, downloader: Downloader, tmp_path: Path, remote: bool
) -> None:
    source = tmp_path / "task.local.part"
    source.write_bytes(FILM)
    location = f"{server.address}/film" if remote else str(source)
    places: Mapping[str, Path] = {
        "No such file or directory": tmp_path / "no" / "folder.part",
        "Is a directory": tmp_path,
    }
    for reason, place in places.items():
        error = await _refusal(downloader, location, place)
        assert error.code == "storage"
        assert reason in error.message


async def test_a_full_disk_is_told_apart_from_the_network(server: Server, downloader: Downloader) -> None:
    error = await _refusal(downloader, f"{server.address}/film", Path("/dev/full"))
    assert (error.code, error.message) == (
        "storage",
        "The video could not be stored: No space left on device",
    )


async def test_a_cancelled_download_stops_at_once(server: Server, downloader: Downloader, part: Path) -> None:
    fetching = asyncio.create_task(downloader.fetch(f"{server.address}/half", part))
    async with asyncio.timeout(5):
        while not _size(part):
            await asyncio.sleep(0)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
