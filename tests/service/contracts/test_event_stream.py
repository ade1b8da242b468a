"""The status as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from service.contracts import event_stream
from tests.house import House
from tests.service.contracts.kit import reached
from tests.wire.runware_server import RunwareServer, Script

ACCEPT = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Sent:
    """One event of the stream."""

    kind: str
    data: Any
    id: int | None


async def events(house: House, job_id: str, **headers: str) -> AsyncIterator[Sent]:
    fields: dict[str, str] = {}
    async with house.client.get(f"/api/videos/status/{job_id}", headers={**ACCEPT, **headers}) as stream:
        assert stream.status == 200
        assert stream.content_type == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-cache"
        async for line in stream.content:
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "event" in fields:
                number = int(fields["id"]) if "id" in fields else None
                yield Sent(fields["event"], json.loads(fields["data"]), number)
                fields = {}
            else:
                fields = {}


async def whole(house: House, job_id: str, **headers: str) -> list[Sent]:
    async with asyncio.timeout(20):
        return [event async for event in events(house, job_id, **headers)]


async def test_a_stream_tells_everything_to_the_end(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    reading = asyncio.create_task(whole(paid, job_id))
    await wire.wait_for_charges(4)
    wire.release()
    sent = await reading
    assert [event.kind for event in sent][-2:] == ["status", "end"]
    last = sent[-2].data
    assert last == await paid.status(job_id)
    assert last["overall_status"] == "completed"
    for scenario in ("hook", "problem", "solution", "cta"):
        told = [
            event.data["kind"]
            for event in sent
            if event.kind == "scene" and event.data["scenario"] == scenario
        ]
        assert told == ["queued", "started", "sent", "generated", "downloaded", "succeeded"]
    numbers = [event.id for event in sent if event.id is not None]
    assert numbers == sorted(set(numbers)), "each once, in order"
    progress = [event.data["progress"] for event in sent if event.kind == "status"]
    assert progress == sorted(progress)


async def test_a_client_that_comes_back_gets_what_it_missed(local: House) -> None:
    job_id = await local.generate(await local.session())
    await local.finished(job_id)
    first = [event for event in await whole(local, job_id) if event.kind == "scene"]
    half = first[len(first) // 2]
    again = await whole(local, job_id, **{"Last-Event-ID": str(half.id)})
    assert [event.id for event in again if event.kind == "scene"] == [
        event.id for event in first if event.id and half.id and event.id > half.id
    ]


@pytest.mark.parametrize("seen", ["nonsense", "-1", "9" * 40, "", "1.5", "٣"])
async def test_a_last_event_id_that_is_none_starts_over(local: House, seen: str) -> None:
    job_id = await local.generate(await local.session())
    await local.finished(job_id)
    sent = await whole(local, job_id, **{"Last-Event-ID": seen})
    assert sum(event.kind == "scene" for event in sent) == 24


async def test_what_is_replayed_is_bounded(local: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_REPLAYED", 5)
    job_id = await local.generate(await local.session())
    await local.finished(job_id)
    sent = await whole(local, job_id)
    assert [event.kind for event in sent] == ["gap", *["scene"] * 5, "status", "end"]
    assert sent[0].data == {"missed": 19}


async def test_a_quiet_stream_shows_that_it_lives(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_HEARTBEAT", 0.02)
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    async with paid.client.get(f"/api/videos/status/{job_id}", headers=ACCEPT) as stream:
        async with asyncio.timeout(20):
            async for line in stream.content:
                if line == b": still here\n":
                    break
    wire.release()
    await paid.finished(job_id)


async def test_an_unknown_job_is_a_plain_error(local: House) -> None:
    answer = await local.get("/api/videos/status/nothing", headers=ACCEPT)
    assert (answer.status, answer.json["success"]) == (404, False)


async def test_the_stream_of_a_job_that_is_deleted_ends(paid: House, wire: RunwareServer) -> None:
    """Its record goes while a paid video is still on its way."""
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    await reached(paid, job_id, lambda it: all(scene.stage.value == "sent" for scene in it.scenes))
    async with paid.client.get(f"/api/videos/status/{job_id}", headers=ACCEPT) as stream:
        async with asyncio.timeout(20):
            await stream.content.readuntil(b"event: status")
            assert (await paid.ask("DELETE", f"/api/v1/video-jobs/{job_id}")).status == 204
            rest = await stream.content.read()
    assert rest.endswith(b"event: end\ndata: {}\n\n")
    wire.release()
