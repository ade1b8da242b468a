"""A part of a file as (part of) the body of a request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractStreamWriter

#: bytes read from disk at once
_PIECE = 256 << 10


class FilePart(aiohttp.Payload):
    """``size`` bytes of a file from ``start``, read while they are sent.

    Each piece is read by a call of its own, which opens and closes the file: a request that is
    cancelled leaves none open, and closes none under a thread that is reading.
    """

    _autoclose = True

    def __init__(self, file: Path, start: int, size: int, *, content_type: str) -> None:
        super().__init__(file, content_type=content_type)
        self._file = file
        self._start = start
        self._count = size

    @property
    def size(self) -> int:
        return self._count

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's words
        raise TypeError("a part of a file is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        at, end = self._start, self._start + self._count
        while at < end:
            piece = await asyncio.to_thread(_read, self._file, at, min(_PIECE, end - at))
            if not piece:
                raise EOFError("the file has become shorter")
            await writer.write(piece)
            at += len(piece)


def _read(file: Path, start: int, count: int) -> bytes:
    with file.open("rb", buffering=0) as stream:
        stream.seek(start)
        return stream.read(count)
