"""What the tests of the contracts share: raw requests, the shape of errors, a job's whole history."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from multidict import CIMultiDict

from sessions.model import JobSnapshot, Session
from tests.house import Answer, House

#: what no client may ever see: the inside of the server
_INSIDE = (
    "Traceback",
    'File "',
    ".py",
    "site-packages",
    "sqlalchemy",
    "sqlite3",
    "pydantic",
    "aiohttp",
    "function-after",
    "list[",
    "Exception",
    "ValueError",
    "RuntimeError",
    "KeyError",
    "NewSession",
    "NamedScene",
    "SceneEdit",
    "StartGeneration",
    "RegenerateScene",
    "SessionReference",
    "RewriteDescription",
)


async def send(house: House, *pieces: bytes) -> asyncio.StreamReader:
    """Bytes to the service exactly as they are, on a connection of their own."""
    reader, _ = await connect(house, *pieces)
    return reader


async def connect(house: House, *pieces: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(house.address)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    return reader, writer


async def raw(
    house: House, method: str, target: str | bytes, body: bytes | None = None, **headers: str | bytes
) -> Answer:
    """A request that no client has tidied up; underscores in header names stand for dashes."""
    lines = [b"%s %s HTTP/1.1" % (method.encode(), _bytes(target)), b"Host: localhost", b"Connection: close"]
    lines += [b"%s: %s" % (name.replace("_", "-").encode(), _bytes(value)) for name, value in headers.items()]
    if body is not None and not {"Content_Length", "Transfer_Encoding"} & set(headers):
        lines.append(b"Content-Length: %d" % len(body))
    return await exchange(house, b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""), method=method)


async def exchange(house: House, request: bytes, *, method: str = "GET") -> Answer:
    """The one answer to ``request``, read until the server closes."""
    reader, writer = await connect(house, request)
    try:
        async with asyncio.timeout(10):
            whole = await reader.read()
    finally:
        writer.close()
    assert b"\r\n\r\n" in whole, f"the server closed the connection without an answer: {whole!r}"
    head, _, rest = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = CIMultiDict[str]()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    body = _dechunked(rest) if headers.get("Transfer-Encoding") == "chunked" else rest
    is_json = headers.get("Content-Type", "").startswith("application/json") and body and method != "HEAD"
    return Answer(
        status=int(first.split()[1]), headers=headers, body=body, json=json.loads(body) if is_json else None
    )


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _dechunked(rest: bytes) -> bytes:
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        body, rest = body + rest[:count], rest[count + 2 :]
        if not count:
            break
    return body


def problem(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The error of an answer that has exactly the contract's shape and tells nothing of the inside."""
    said = f"{answer.status} {dict(answer.headers)} {answer.body[:300]!r}"
    assert answer.status in statuses, said
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json", said
    assert answer.headers["X-Content-Type-Options"] == "nosniff", said
    assert answer.headers["X-Request-ID"], said
    error: dict[str, Any] = answer.json
    assert list(error) == ["success", "error", "detail"], said
    assert error["success"] is False, said
    assert isinstance(error["error"], str), said
    assert len(error["error"].split()) >= 3, said
    assert error["detail"] is None or isinstance(error["detail"], dict), said
    tells_nothing(answer)
    return error


def tells_nothing(answer: Answer) -> None:
    """Nothing of the server's inside is in the answer."""
    text = answer.body.decode()
    assert not [word for word in _INSIDE if word.lower() in text.lower()], text[:500]


def detail(error: Mapping[str, Any]) -> Mapping[str, Any]:
    found = error["detail"]
    assert isinstance(found, dict), error
    return found


def fields(error: Mapping[str, Any]) -> list[str]:
    """The fields that a 422 names."""
    return [str(item["field"]) for item in detail(error)["fields"]]


class History:
    """Every snapshot of every job, in order."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.snapshots: list[JobSnapshot] = []
        put = house.service.live._put

        def recording(snapshot: JobSnapshot, *notes: Any) -> Any:
            self.snapshots.append(snapshot)
            return put(snapshot, *notes)

        monkeypatch.setattr(house.service.live, "_put", recording)

    def of(self, job_id: str) -> list[JobSnapshot]:
        return [snapshot for snapshot in self.snapshots if snapshot.job.id == job_id]

    def progress(self, job_id: str, scenario: str) -> list[int]:
        """The scene's percents, one per snapshot."""
        return [
            scene.progress
            for snapshot in self.of(job_id)
            for scene in snapshot.scenes
            if scene.name == scenario
        ]


async def reached(house: House, job_id: str, holds: Callable[[JobSnapshot], bool]) -> JobSnapshot:
    """Wait until a snapshot of the job satisfies ``holds``."""
    async with asyncio.timeout(15):
        return await house.service.live.until(job_id, holds)


async def scene_state(house: House, job_id: str, scenario: str, *states: str) -> None:
    """Wait until the scene is in one of these states."""
    await reached(
        house,
        job_id,
        lambda it: any(s.name == scenario and s.state.value in states for s in it.scenes),
    )


@asynccontextmanager
async def pressed(ask: Awaitable[Answer]) -> AsyncIterator[asyncio.Task[Answer]]:
    """A request under way; never left behind."""

    async def asking() -> Answer:
        return await ask

    task = asyncio.create_task(asking())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def stored(house: House, session_id: str) -> Session:
    """The session as the store has it."""
    return await house.service.studio.drafts.session(session_id)
