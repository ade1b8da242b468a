"""Fetching a finished video: streamed to disk in constant memory, on a retry budget of its own."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiofiles.threadpool
import aiohttp
from aiofiles.threadpool.binary import AsyncFileIO
from yarl import URL

from service.sections import DownloadsSettings
from sessions.errors import DownloadError

#: bytes gathered for one write: fewer cost thread hops, more cost memory in every download
_BUFFER = 256 << 10

#: answers that will not change by asking again; a 403 or 404 may, right after a file was made
_FINAL = frozenset({400, 401, 405, 410, 451})

#: a download slower than this, in bytes a second, is broken off after ``_GRACE`` seconds
_SLOWEST, _GRACE = 4096, 60.0


class Downloader:
    """Brings provider results to local files; ``scratch`` is where local results may come from."""

    def __init__(self, settings: DownloadsSettings, *, scratch: Path) -> None:
        self._settings = settings
        self._scratch = scratch
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._settings.stall_seconds, sock_read=self._settings.stall_seconds
        )
        # Identity only: the length that the server announces must be the length of the file.
        # No limit but ``parallel``: whoever waited for a connection would count as stalled.
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            headers={"Accept-Encoding": "identity"},
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def fetch(self, location: str, part: Path) -> int:
        """One try to bring ``location`` (URL or local path) to ``part``; answers its size in bytes.

        Raises ``DownloadError``; ``retryable`` says whether another try can help.
        """
        try:
            if _is_url(location):
                return await self._fetch_url(location, part)
            return await asyncio.to_thread(_copy, self._local(location), part)
        except TimeoutError as error:
            raise DownloadError("The download stalled") from error
        except aiohttp.ClientError as error:
            raise DownloadError(f"The download broke off ({type(error).__name__})") from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DownloadError(f"The video could not be stored: {reason}", code="storage") from error

    async def discard(self, location: str) -> None:
        """Remove a local result that is no longer needed; a remote one is the provider's."""
        if not _is_url(location) and Path(location).parent == self._scratch:
            await asyncio.to_thread(Path(location).unlink, missing_ok=True)

    def _local(self, location: str) -> Path:
        path = Path(location)
        if path.parent != self._scratch:
            raise DownloadError("The provider names a place that is none of its own", retryable=False)
        return path

    async def _fetch_url(self, url: str, part: Path) -> int:
        assert self._session is not None, "open() comes first"
        async with self._session.get(_as_given(url)) as answer:
            if answer.status != 200:  # noqa: PLR2004 - the one good answer to a plain GET
                raise DownloadError(
                    f"The provider's file server answers {answer.status}",
                    retryable=answer.status not in _FINAL,
                )
            announced = answer.content_length
            limit = self._settings.limit_mib << 20
            if announced is not None and announced > limit:
                raise DownloadError(_too_large(self._settings.limit_mib), retryable=False)
            size = await self._stream(answer.content, part, limit)
        if announced is not None and size != announced:
            raise DownloadError(f"The download ended after {size} of {announced} bytes")
        return size

    async def _stream(self, content: aiohttp.StreamReader, part: Path, limit: int) -> int:
        size, started = 0, time.monotonic()
        # Opened here and not in a thread: a cancellation meanwhile would lose the open file.
        with part.open("wb", buffering=0) as raw:
            file = aiofiles.threadpool.wrap(raw)
            buffer = bytearray()
            async for chunk in content.iter_any():
                size += len(chunk)
                if size > limit:
                    raise DownloadError(_too_large(self._settings.limit_mib), retryable=False)
                seconds = time.monotonic() - started
                if seconds > _GRACE and size < seconds * _SLOWEST:
                    raise DownloadError("The download is too slow to ever end")
                buffer += chunk
                if len(buffer) >= _BUFFER:
                    await _write(file, buffer)
                    buffer = bytearray()
            await _write(file, buffer)
        return size


async def _write(file: AsyncFileIO, data: bytearray) -> None:
    """All of it: a disk that fills up takes a part, and refuses only what comes next."""
    left = memoryview(data)
    while left:
        left = left[await _to_its_end(file.write(left)) :]


async def _to_its_end(writing: Coroutine[Any, Any, int]) -> int:
    """Wait for a write in a thread even when cancelled: its file must not be closed under it."""
    task = asyncio.create_task(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _as_given(url: str) -> URL:
    """The address without other escapes: those would spoil a signature."""
    try:
        given = URL(url, encoded=True)
        usable = bool(given.host and given.port)
    except ValueError:
        usable = False
    if not usable:
        raise DownloadError("The provider gives an address that is none", retryable=False)
    return given


def _is_url(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def _too_large(limit_mib: int) -> str:
    return f"The video is larger than {limit_mib} MiB (downloads.limit_mib)"


def _copy(source: Path, part: Path) -> int:
    if not source.is_file():
        raise DownloadError("The rendered file is gone", retryable=False)
    shutil.copyfile(source, part)
    return part.stat().st_size
