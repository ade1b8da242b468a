"""Status polls per second: the service against a bare aiohttp handler with the same bytes and headers.

python -m bench.status_polls
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs

from bench.house import Client, Process, film, median, scratch, service_process, table
from tests.wire.process import RunwareProcess

ROUNDS = 5
ROUND_SECONDS = 1.5
CONNECTIONS = 16
_WARM_SECONDS = 0.1

#: headers that aiohttp writes by itself
_OWN = {"Date", "Server", "Content-Length", "Connection"}


class _Connection(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it has the answer, and only counts bytes."""

    def __init__(self, request: bytes, status: int, size: int) -> None:
        self.answers = 0
        self.fault: str | None = None
        self._request = request
        self._begins = f"HTTP/1.1 {status} ".encode()
        self._size = self._left = size
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._left == self._size and not data.startswith(self._begins):
            self._break(f"answered {data[:40]!r}")
        self._left -= len(data)
        if self._left < 0:
            self._break("an answer was longer than the first")
        elif not self._left and self._transport is not None:
            self.answers += 1
            self._left = self._size
            self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self.fault = self.fault or f"the connection was lost: {exc}"

    def stop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _break(self, fault: str) -> None:
        self.fault = fault
        self.stop()


@dataclass(frozen=True, kw_only=True)
class Poll:
    """What is asked, and with which status it is answered."""

    name: str
    job_id: str
    status: int
    etag: str | None = None

    @property
    def request(self) -> bytes:
        known = f"If-None-Match: {self.etag}\r\n" if self.etag else ""
        return (
            f"GET /api/videos/status/{self.job_id} HTTP/1.1\r\n"
            f"Host: 127.0.0.1\r\nAccept: application/json\r\n{known}\r\n"
        ).encode()


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Rounds of one server answering one poll."""

    per_second: list[float] = field(default_factory=list)
    cpu_microseconds: list[float] = field(default_factory=list)  #: the server's, per answer
    client_busy: list[float] = field(default_factory=list)  #: part of a processor that asking took


async def answer_size(port: int, poll: Poll) -> int:
    """Bytes of one answer with its header; all answers of a measurement have the same."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(poll.request)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return len(head) + (int(length[1]) if length and poll.status == HTTPStatus.OK else 0)


async def one_round(server: Process, poll: Poll, into: Figures) -> None:
    """All connections ask for a while."""
    loop, port = asyncio.get_running_loop(), urlsplit(server.address).port or 0
    size = await answer_size(port, poll)
    connections = [_Connection(poll.request, poll.status, size) for _ in range(CONNECTIONS)]
    for connection in connections:
        await loop.create_connection(functools.partial(_same, connection), "127.0.0.1", port)
    await asyncio.sleep(_WARM_SECONDS)
    before, cpu = sum(it.answers for it in connections), server.cpu_seconds()
    started, own = time.perf_counter(), time.process_time()
    await asyncio.sleep(ROUND_SECONDS)
    answers = sum(it.answers for it in connections) - before
    elapsed, cpu_after = time.perf_counter() - started, server.cpu_seconds()
    into.client_busy.append((time.process_time() - own) / elapsed)
    for connection in connections:
        connection.stop()
    for fault in filter(None, (it.fault for it in connections)):
        raise SystemExit(f"{poll.name}: {fault}")
    into.per_second.append(answers / elapsed)
    if cpu is not None and cpu_after is not None:
        into.cpu_microseconds.append((cpu_after - cpu) / answers * 1e6)


def _same(connection: _Connection) -> _Connection:
    return connection


async def compare(service: Process, bare: Process, polls: Sequence[Poll]) -> list[list[str]]:
    """Rows of the table; the two servers take turns, and take turns in going first."""
    rows = []
    for poll in polls:
        ours, least = Figures(), Figures()
        for number in range(ROUNDS):
            turn = [(service, ours), (bare, least)]
            for server, figures in turn if number % 2 else reversed(turn):
                await one_round(server, poll, figures)
        rows.append(_row(poll, ours, least))
    return rows


def _row(poll: Poll, ours: Figures, least: Figures) -> list[str]:
    ratios = [mine / bare for mine, bare in zip(ours.per_second, least.per_second, strict=True)]
    line = [poll.name, f"{median(ours.per_second):,.0f}", f"{median(least.per_second):,.0f}"]
    line += [f"{median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]
    line += [f"{median(ours.client_busy):.0%}, {median(least.client_busy):.0%}"]
    if not ours.cpu_microseconds:
        return [*line, "?", "?", "?"]
    mine, bare = median(ours.cpu_microseconds), median(least.cpu_microseconds)
    return [*line, f"{mine:.0f}", f"{bare:.0f}", f"{bare / mine:.2f}"]


async def answers_of(http: aiohttp.ClientSession, jobs: Sequence[str]) -> dict[str, Any]:
    """What the service says now, for the bare server to repeat."""
    answers: dict[str, Any] = {}
    for job_id in jobs:
        async with http.get(f"/api/videos/status/{job_id}") as response:
            headers = {name: text for name, text in response.headers.items() if name not in _OWN}
            answers[job_id] = {"headers": headers, "body": await response.text()}
    return answers


async def two_jobs(client: Client, wire: RunwareProcess) -> tuple[str, str]:
    """One that the provider holds, and one with four finished videos."""
    await wire.script("[held ", {"hold": True})
    live = await client.generate(await client.session("held"))
    await wire.wait_for_charges(4)
    finished = await client.generate(await client.session("done"))
    await client.closed(finished)
    return live, finished


async def bench(folder: Path) -> None:
    video = await film(folder)
    async with (
        RunwareProcess(folder, "--video", str(video)) as wire,
        service_process(folder, wire) as service,
        aiohttp.ClientSession(base_url=service.address) as http,
    ):
        live, finished = await two_jobs(Client(http), wire)
        answers = await answers_of(http, (live, finished))
        known = folder / "answers.json"
        known.write_text(json.dumps(answers), encoding="utf-8")
        async with Process("bench.bare", str(known), log=folder / "bare.log") as bare:
            etag = answers[live]["headers"][hdrs.ETAG]
            polls = (
                Poll(name="a job under way", job_id=live, status=200),
                Poll(name="a finished job", job_id=finished, status=200),
                Poll(name="304, unchanged", job_id=live, status=304, etag=etag),
            )
            before = int(await service.ask())
            rows = await compare(service, bare, polls)
            statements = int(await service.ask()) - before
    rates = ("service/s", "bare/s", "ratio", "rounds", "client busy")
    costs = ("service us", "bare us", "cpu ratio")
    title = f"Status polls, {CONNECTIONS} connections, {ROUNDS} x {ROUND_SECONDS:g} s each, medians"
    table(title, ("poll", *rates, *costs), rows)
    sizes = ", ".join(f"{len(it['body'].encode())}" for it in answers.values())
    print(f"\nSQL statements meanwhile: {statements}. Bodies: {sizes} bytes.")


def main() -> None:
    with scratch() as folder:
        asyncio.run(bench(folder))


if __name__ == "__main__":
    main()
