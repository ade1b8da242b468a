"""Finished videos over HTTP, as well or as badly as a script wants it."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from aiohttp import web

from tests.wire.scripts import FileReply


async def send_file(request: web.Request, video: bytes, reply: FileReply) -> web.StreamResponse:
    """Answers one download."""
    whole = _whole_body(video, reply)
    start, stop = _wanted(request, len(whole), reply)
    if start > stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(whole)}"})
    body = whole[start:stop]
    response = _head(reply, body, partial=len(body) < len(whole))
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(whole)}"
    with suppress(ConnectionError):  # a client that left
        await response.prepare(request)
        await _send_body(request, response, body, reply)
    return response


def abort(request: web.Request) -> None:
    """Resets the connection of a request: no goodbye, no rest of the body."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


def _whole_body(video: bytes, reply: FileReply) -> bytes:
    if reply.body is not None:
        return reply.body
    return video[: reply.truncate_to] if reply.status == 200 else b""


def _wanted(request: web.Request, size: int, reply: FileReply) -> tuple[int, int]:
    if not reply.ranges or reply.status != 200 or "Range" not in request.headers:
        return 0, size
    wanted = request.http_range
    start, stop, _ = wanted.indices(size)
    beyond_the_end = wanted.start is not None and wanted.start >= size
    return (1, 0) if beyond_the_end else (start, stop)


def _head(reply: FileReply, body: bytes, *, partial: bool) -> web.StreamResponse:
    headers = {"Content-Type": reply.content_type, "Accept-Ranges": "bytes", **reply.headers}
    response = web.StreamResponse(status=206 if partial else reply.status, headers=headers)
    if reply.chunked:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(body) if reply.declare is None else reply.declare
    return response


async def _send_body(
    request: web.Request, response: web.StreamResponse, body: bytes, reply: FileReply
) -> None:
    sent = body if reply.reset_after is None else body[: reply.reset_after]
    for start in range(0, len(sent), reply.chunk_size):
        if reply.chunk_delay:
            await asyncio.sleep(reply.chunk_delay)
        await response.write(sent[start : start + reply.chunk_size])
    if reply.reset_after is not None:
        abort(request)
    elif (reply.declare or 0) > len(body) and request.transport is not None:
        request.transport.close()
    else:
        await response.write_eof()
