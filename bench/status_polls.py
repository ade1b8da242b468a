"""Status polls per second: the service against a bare aiohttp handler with the same bytes and headers.

python -m bench.status_polls [--jobs 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs

from bench.house import Client, Process, Wire, film, median, scratch, service_config, table
from bench.served import like
from tests.wire.process import RunwareProcess

#: live jobs, before there are many
FEW = 10
ROUNDS = 5
ROUND_SECONDS = 1.0
CONNECTIONS = 16
_WARM_SECONDS = 0.1

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_ETAG = re.compile(rb"(?i)\r\netag: (\S+)")

#: headers that aiohttp writes by itself
_OWN = {"Date", "Server", "Content-Length", "Connection"}


class Poll:
    """What is asked, one job after the other; with ``etags``, as somebody who has the last answer."""

    def __init__(self, name: str, jobs: Sequence[str], etags: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.jobs = jobs
        self._etags = etags
        #: one for each job
        self.requests: list[bytes] = []

    def begin(self) -> None:
        """A round starts with what was known at first."""
        etags = self._etags or {}
        self.requests = [request_for(job_id, etags.get(job_id)) for job_id in self.jobs]

    def changed(self, number: int, head: bytes) -> None:
        """The job has news, such as another estimate: the next to ask has them."""
        etag = _ETAG.search(head)
        if self._etags and etag:
            self.requests[number] = request_for(self.jobs[number], etag[1].decode())


def request_for(job_id: str, etag: str | None) -> bytes:
    known = f"If-None-Match: {etag}\r\n" if etag else ""
    return (
        f"GET /api/videos/status/{job_id} HTTP/1.1\r\n"
        f"Host: 127.0.0.1\r\nAccept: application/json\r\n{known}\r\n"
    ).encode()


class _Connection(asyncio.Protocol):
    """One keep-alive connection that asks for the next job as soon as it has the answer, and only counts."""

    def __init__(self, poll: Poll, number: int) -> None:
        self.answers = 0
        self.bodies = 0  #: of them, those that were no 304
        self.fault: str | None = None
        self._poll = poll
        #: the connections walk around all jobs, each from another place
        self._at = number * len(poll.jobs) // CONNECTIONS
        self._left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask(transport)

    def data_received(self, data: bytes) -> None:
        if not self._left:
            self._left = self._size(data)
        self._left -= len(data)
        if self._left < 0:
            self._break("an answer was longer than it said")
        elif not self._left and self._transport is not None:
            self.answers += 1
            self._at = (self._at + 1) % len(self._poll.jobs)
            self._ask(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self.fault = self.fault or f"the connection was lost: {exc}"

    def stop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _ask(self, transport: asyncio.Transport) -> None:
        transport.write(self._poll.requests[self._at])

    def _size(self, data: bytes) -> int:
        """Bytes of the answer that begins here, with its header."""
        head = data.find(b"\r\n\r\n") + 4
        if data.startswith(b"HTTP/1.1 304 "):
            return head
        length = _LENGTH.search(data)
        if not data.startswith(b"HTTP/1.1 200 ") or not length:
            self._break(f"answered {data[:40]!r}")
            return len(data)
        self.bodies += 1
        self._poll.changed(self._at, data[:head])
        return head + int(length[1])

    def _break(self, fault: str) -> None:
        self.fault = fault
        self.stop()


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Rounds of one server answering one poll."""

    per_second: list[float] = field(default_factory=list)
    cpu_microseconds: list[float] = field(default_factory=list)  #: the server's, per answer
    client_busy: list[float] = field(default_factory=list)  #: part of a processor that asking took
    unchanged: list[float] = field(default_factory=list)  #: part of the answers that were 304


async def one_round(server: Process, poll: Poll, into: Figures) -> None:
    """All connections ask for a while."""
    loop, port = asyncio.get_running_loop(), urlsplit(server.address).port or 0
    poll.begin()
    connections = [_Connection(poll, number) for number in range(CONNECTIONS)]
    for connection in connections:
        await loop.create_connection(functools.partial(_same, connection), "127.0.0.1", port)
    await asyncio.sleep(_WARM_SECONDS)
    before, cpu = sum(it.answers for it in connections), server.usage.cpu_seconds()
    started, own = time.perf_counter(), time.process_time()
    await asyncio.sleep(ROUND_SECONDS)
    answers = sum(it.answers for it in connections) - before
    elapsed, cpu_after = time.perf_counter() - started, server.usage.cpu_seconds()
    into.client_busy.append((time.process_time() - own) / elapsed)
    for connection in connections:
        connection.stop()
    for fault in filter(None, (it.fault for it in connections)):
        raise SystemExit(f"{poll.name}: {fault}")
    into.per_second.append(answers / elapsed)
    into.unchanged.append(1 - sum(it.bodies for it in connections) / sum(it.answers for it in connections))
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
    line += [f"{max(0.0, median(ours.unchanged)):.0%}, {max(0.0, median(least.unchanged)):.0%}"]
    if not ours.cpu_microseconds:
        return [*line, "?", "?", "?"]
    mine, bare = median(ours.cpu_microseconds), median(least.cpu_microseconds)
    return [*line, f"{mine:.0f}", f"{bare:.0f}", f"{bare / mine:.2f}"]


async def answers_of(http: aiohttp.ClientSession, jobs: Sequence[str]) -> dict[str, Any]:
    """What the service says now, for the bare server to repeat."""

    async def answer(job_id: str) -> tuple[str, Any]:
        async with http.get(f"/api/videos/status/{job_id}") as response:
            response.raise_for_status()
            headers = {name: text for name, text in response.headers.items() if name not in _OWN}
            return job_id, {"headers": headers, "body": await response.text()}

    return dict(await asyncio.gather(*map(answer, jobs)))


async def two_jobs(client: Client, wire: RunwareProcess) -> tuple[str, str]:
    """One that the provider holds, and one with four finished videos."""
    await wire.script("[held ", {"hold": True})
    live = await client.generate(await client.session("held"))
    await wire.wait_for_charges(4)
    finished = await client.generate(await client.session("done"))
    await client.closed(finished)
    return live, finished


async def with_jobs(
    folder: Path, service: Process, http: aiohttp.ClientSession, live: Sequence[str], finished: str | None
) -> list[list[str]]:
    """Rows with so many live jobs, beside a bare server that has the same answers."""
    answers = await answers_of(http, [*live, *([finished] if finished else [])])
    known = folder / "answers.json"
    known.write_text(json.dumps(answers), encoding="utf-8")
    etags = {job_id: answer["headers"][hdrs.ETAG] for job_id, answer in answers.items()}
    polls = [
        Poll(f"{len(live):,} live jobs", live),
        Poll(f"{len(live):,} live jobs, 304", live, etags),
    ]
    if finished:
        polls.append(Poll("a finished job", [finished]))
    async with Process("bench.bare", str(known), log=folder / "bare.log") as bare:
        rows = await compare(service, bare, polls)
    size = len(answers[live[0]]["body"].encode())
    print(
        f"{len(live):,} live jobs: {service.usage.resident_mib():,.0f} MiB resident, answers of {size} bytes"
    )
    return rows


async def bench(folder: Path, jobs: int) -> None:
    video = await film(folder, small=True)
    async with (
        Wire(folder, "--video", str(video)) as wire,
        Process("bench.served", str(service_config(folder, wire)), log=folder / "service.log") as service,
        aiohttp.ClientSession(base_url=service.address) as http,
    ):
        held, finished = await two_jobs(Client(http), wire)
        before, rows = int(await service.ask()), []
        for count in (FEW, jobs):
            await service.ask(f"{held} {count - 1}")
            live = [held, *(like(held, number) for number in range(1, count))]
            rows += await with_jobs(folder, service, http, live, finished if count == FEW else None)
        statements = int(await service.ask()) - before
    rates = ("service/s", "bare/s", "ratio", "rounds", "client busy", "304")
    costs = ("service us", "bare us", "cpu ratio")
    title = f"Status polls, {CONNECTIONS} connections, {ROUNDS} x {ROUND_SECONDS:g} s each, medians"
    table(title, ("polled", *rates, *costs), rows)
    print(f"\nSQL statements meanwhile: {statements}.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.status_polls")
    parser.add_argument("--jobs", type=int, default=10_000, help="live jobs, when there are many")
    given = parser.parse_args()
    with scratch() as folder:
        asyncio.run(bench(folder, given.jobs))


if __name__ == "__main__":
    main()
