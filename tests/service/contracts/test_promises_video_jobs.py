"""Promises of document 001 that are kept by several parts together: Cloudinary, queues, large files, logs."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.logs import configure_logging
from sessions.model import Event
from tests.house import runware_layer, settings_for
from tests.service.contracts.kit import reached
from tests.service.contracts.video_jobs_kit import (
    PATH,
    ended,
    form,
    listed,
    looked,
    messages,
    order,
    ordered,
    problem,
    small_house,
    state,
    told,
)
from tests.wire.cloudinary import CLOUD, KEY, SECRET, CloudinaryServer
from tests.wire.runware_server import RunwareServer, Script

SLOW = "A sunset [[slow 20s]]"
MIB = 1 << 20


def terms(**changes: Any) -> dict[str, Any]:
    values = {"currency": "tokens", "price": 50, "running": 3, "waiting": 20, **changes}
    return {"terms": {"video_jobs": values}}


# ---------------------------------------------------------------------- orders


@pytest.mark.parametrize("resolution", ["720p", "1080p"])
@pytest.mark.parametrize("ratio", ["16:9", "9:16"])
@pytest.mark.parametrize("seconds", ["4", "8"])
async def test_every_choice_of_the_form_can_be_made(
    tmp_path: Path, resolution: str, ratio: str, seconds: str
) -> None:
    """As the form sends it: multipart, every value a text."""
    choice = {"resolution": resolution, "aspectRatio": ratio, "durationSeconds": seconds}
    async with small_house(tmp_path) as house:
        answer = await house.ask("POST", PATH, data=form(order(**choice)))
        assert answer.status == 202
        assert {name: str(answer.json[name]) for name in choice} == choice


# ---------------------------------------------------------------------- Cloudinary


async def test_the_video_is_at_cloudinary_and_stays_there_without_its_record(tmp_path: Path) -> None:
    async with CloudinaryServer() as cloud:
        account = {"cloud_name": CLOUD, "api_key": KEY, "api_secret": SECRET, "api_url": cloud.address}
        async with small_house(tmp_path, {"cloudinary": {"enabled": True, **account}}) as house:
            job_id = (await ordered(house))["id"]
            await ended(house, job_id)
            url = (await looked(house, job_id))["cloudinaryUrl"]
            (asset,) = cloud.assets.values()
            assert re.fullmatch(
                rf"https://res\.cloudinary\.com/{CLOUD}/video/upload/v\d+/ai_studio/videos/{job_id}\.mp4", url
            )
            assert asset.upload.body[4:8] == b"ftyp"
            download = await house.get(f"{PATH}/{job_id}/download", allow_redirects=False)
            assert (download.status, download.headers["Location"]) == (302, url)
            assert (await house.ask("DELETE", f"{PATH}/{job_id}")).status == 204
            assert problem(await house.get(f"{PATH}/{job_id}"), 404)
        assert list(cloud.assets.values()) == [asset]


# ---------------------------------------------------------------------- how long it will take


async def test_a_full_queue_leaves_its_length_and_the_wait_to_be_shown(tmp_path: Path) -> None:
    """What a page shows after 429: places, an estimate from the jobs before, and when to try again."""
    async with small_house(tmp_path, terms(running=1, waiting=1)) as house:
        for _ in range(3):
            await ended(house, (await ordered(house))["id"])
        jobs = [(await ordered(house, prompt=SLOW))["id"] for _ in range(2)]
        await state(house, jobs[0], "running")
        full = await house.post(PATH, order())
        assert problem(full, 429)
        assert int(full.headers["Retry-After"]) > 0
        waiting = await told(
            house, jobs[1], lambda it: "estimatedWaitSeconds" in it and "queuePosition" in it
        )
        assert (waiting["status"], waiting["queuePosition"]) == ("PENDING", 1)
        assert waiting["estimatedWaitSeconds"] > 0
        assert (await listed(house, "?status_filter=PENDING"))["jobs"][0]["queuePosition"] == 1
        feed = (await house.get(f"{PATH}/all")).json
        assert (feed["queueLength"], feed["averageSeconds"] > 0) == (1, True)
        for job_id in reversed(jobs):
            await house.post(f"{PATH}/{job_id}/cancel", None)


# ---------------------------------------------------------------------- large files


def padded(film: bytes, size: int) -> bytes:
    """The same film, as large as one of 1080p: what players pass over stands at its end."""
    rest = size - len(film)
    return film + rest.to_bytes(4, "big") + b"free" + bytes(rest - 8)


@pytest.mark.parametrize("mib", [10, 50])
async def test_a_video_as_large_as_documented_comes_whole(
    tmp_path: Path, wire: RunwareServer, film: bytes, mib: int
) -> None:
    wire.video = padded(film, mib * MIB)
    async with small_house(tmp_path, runware_layer(wire)) as house:
        job_id = (await ordered(house, mockMode="false"))["id"]
        await ended(house, job_id)
        assert (await looked(house, job_id))["status"] == "SUCCEEDED"
        video = await house.get(f"{PATH}/{job_id}/download")
        assert video.status == 200
        assert video.body == wire.video


# ---------------------------------------------------------------------- troubleshooting


async def test_a_job_that_stays_pending_says_what_it_waits_for(tmp_path: Path, wire: RunwareServer) -> None:
    """Neither a worker nor a broker can be missing here; what can is the provider, and others are before."""
    wire.script_default(Script(refuse_code="providerRateLimitExceeded"))
    layer = {"limits": {"breaker_pause_seconds": 30}}
    async with small_house(tmp_path, runware_layer(wire), terms(running=1), layer) as house:
        first = (await ordered(house, mockMode="false"))["id"]
        stuck = await told(house, first, lambda it: "note" in it)
        assert stuck["status"] == "PENDING"
        assert stuck["note"].startswith("google:3@3 refuses work (The request was refused.); next try at ")
        second = (await ordered(house, mockMode="false"))["id"]
        behind = await told(house, second, lambda it: it.get("queuePosition") == 1)
        assert behind["status"] == "PENDING"
        assert behind["note"]
        ready = await house.get("/readyz")
        assert ready.json["status"] == "degraded"
        assert ready.json["parts"]["provider runware"]["ok"] is False
        assert ready.json["parts"]["database"]["ok"] is True
        for job_id in (second, first):
            await house.post(f"{PATH}/{job_id}/cancel", None)


async def test_the_logs_of_a_job_are_in_the_store_and_on_the_monitor(tmp_path: Path) -> None:
    async with small_house(tmp_path) as house:
        job_id = (await ordered(house, prompt="Nobody may see this [[nsfw]]"))["id"]
        await ended(house, job_id)
        stored: list[Event] = await house.service.studio.events(job_id, 0)
        feed = (await house.get(f"{PATH}/all")).json
        told_to_its_owner = messages(await looked(house, job_id))
    assert [event.kind.value for event in stored] == ["queued", "started", "sent", "failed"]
    assert stored[-1].data["message"] in told_to_its_owner[-1]
    (shown,) = feed["jobs"]
    assert [line["level"] for line in shown["logs"]][-1] == "error"
    assert len(shown["logs"]) == len(told_to_its_owner)


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("level", ["debug", "info", "error"])
async def test_the_level_of_the_log_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """A failed job has its reason in the log; at the level debug every refused request has a line too."""
    layer = {
        "log": {"format": "json", "level": level},
        "rates": {"reads_per_path": 0.001, "reads_per_path_burst": 1},
    }
    configure_logging(settings_for(tmp_path, layer).log)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    async with small_house(tmp_path, layer) as house:
        job_id = (await ordered(house, prompt="A sunset [[fail]]"))["id"]
        await ended(house, job_id)
        for expected in (200, 429):
            assert (await house.get(f"{PATH}/{job_id}")).status == expected
    monkeypatch.undo()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    of_the_job = [line for line in lines if line.get("job") == job_id and line.get("to") == "failed"]
    assert [bool(line["code"] and line["message"]) for line in of_the_job] == (
        [] if level == "error" else [True]
    )
    refused = [line for line in lines if line.get("status") == 429]
    assert [line["level"] for line in refused] == (["debug"] if level == "debug" else [])


# ---------------------------------------------------------------------- words


async def test_the_documents_signs_are_read_as_what_they_were(tmp_path: Path) -> None:
    """The document's UTF-8 was once read as Mac-Roman; these are its words as they stand in it."""
    printed = (
        "\uf8ffüìù Job created",
        "\uf8ffüöÄ Starting video generation",
        "\u201aòÅÔ∏è  Calling Google Veo API...",
    )
    async with small_house(tmp_path) as house:
        job_id = (await ordered(house, prompt=SLOW))["id"]
        await reached(house, job_id, lambda it: it.scenes[0].stage.value == "sent")
        said = messages(await looked(house, job_id))
        await house.post(f"{PATH}/{job_id}/cancel", None)
    assert said[:3] == [line.encode("mac-roman").decode() for line in printed]
