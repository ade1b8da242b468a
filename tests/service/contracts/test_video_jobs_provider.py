"""Video jobs through the real SDK: what is sent for them, and what is not."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.house import House, runware_layer
from tests.service.contracts.kit import reached
from tests.service.contracts.video_jobs_kit import (
    PATH,
    ended,
    form,
    looked,
    messages,
    order,
    ordered,
    picture,
    problem,
    small_house,
)
from tests.wire.runware_server import RunwareServer, Script


@pytest.fixture
async def house(tmp_path: Path, wire: RunwareServer) -> AsyncIterator[House]:
    async with small_house(tmp_path, runware_layer(wire)) as opened:
        yield opened
        wire.release()


async def test_what_is_ordered_is_what_is_sent(house: House, wire: RunwareServer) -> None:
    fields = order(mockMode="false", generateAudio="true", durationSeconds="8", resolution="720p")
    files = [
        ("initialImage", picture("red")),
        ("endFrame", picture("blue")),
        *(("referenceImages", picture(colour)) for colour in ("green", "white")),
    ]
    answer = await house.ask("POST", PATH, data=form(fields, *files))
    assert answer.status == 202, answer.json
    await ended(house, answer.json["id"])
    (sent,) = wire.submits
    assert (sent["model"], sent["positivePrompt"]) == ("google:3@3", fields["prompt"])
    assert sent["duration"] == 8
    assert sent["providerSettings"]["google"]["generateAudio"] is True
    frames = sent["inputs"]["frameImages"]
    assert [it["frame"] for it in frames] == ["first", "last"]
    references = sent["inputs"]["referenceImages"]
    uris = [*(it["image"] for it in frames), *references]
    assert len(set(uris)) == 4
    for uri in uris:
        head, _, data = uri.partition(",")
        assert head == "data:image/jpeg;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\xff\xd8\xff")
    body = await looked(house, answer.json["id"])
    assert (body["status"], body["mockMode"]) == ("SUCCEEDED", False)
    assert not any("Mock" in line for line in messages(body))
    assert (await house.get(f"{PATH}/{body['id']}/download")).body == wire.video


@pytest.mark.parametrize(
    ("resolution", "ratio", "size"),
    [
        ("720p", "16:9", (1280, 720)),
        ("720p", "9:16", (720, 1280)),
        ("1080p", "16:9", (1920, 1080)),
        ("1080p", "9:16", (1080, 1920)),
    ],
)
async def test_sizes(
    house: House, wire: RunwareServer, resolution: str, ratio: str, size: tuple[int, int]
) -> None:
    job = await ordered(house, mockMode="false", resolution=resolution, aspectRatio=ratio)
    await ended(house, job["id"])
    (sent,) = wire.submits
    assert (sent["width"], sent["height"], sent["duration"]) == (*size, 4)
    assert sent["providerSettings"]["google"]["generateAudio"] is False


async def test_a_preview_sends_nothing(house: House, wire: RunwareServer) -> None:
    job = await ordered(house, mockMode="true")
    await ended(house, job["id"])
    assert (await looked(house, job["id"]))["status"] == "SUCCEEDED"
    assert (wire.submits, wire.reads) == ([], 0)


async def test_what_the_model_cannot_do_is_refused_before_anything_is_sent(
    house: House, wire: RunwareServer
) -> None:
    for changes, word in (
        ({"model": "veo-9"}, "not in the catalogue"),
        ({"model": "klingai:kling-video@3-standard"}, "does not make 1080p"),
        ({"model": "local:preview@1"}, "needs the provider local"),
        ({"prompt": "x" * 3001}, "2 to 3000"),
    ):
        answer = await house.post(PATH, order(mockMode="false", **changes))
        assert word in problem(answer, 400)
    assert wire.submits == []


async def test_a_refusal_of_the_provider_is_told_with_its_reason(house: House, wire: RunwareServer) -> None:
    wire.script_default(Script(refuse_code="invalidApiKey", refuse_message="Invalid API key."))
    job = await ordered(house, mockMode="false")
    await ended(house, job["id"])
    body = await looked(house, job["id"])
    assert (body["status"], body["tokensConsumed"]) == ("FAILED", 0)
    assert body["errorCode"] == "auth"
    assert "key" in body["errorMessage"].lower()


async def test_a_task_that_is_ordered_again_is_in_the_log(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script("sunset", Script(fail_code="internalServerError"), Script())
    layer = {"retries": {"pause_seconds": 0.01}}
    async with small_house(tmp_path, runware_layer(wire), layer) as house:
        job = await ordered(house, mockMode="false")
        await ended(house, job["id"])
        body = await looked(house, job["id"])
    assert body["status"] == "SUCCEEDED"
    assert [line["level"] for line in body["logs"] if "🔁" in line["message"]] == ["warning"]
    assert "🔄 Video generation taken up again" in messages(body)


async def test_progress_of_the_provider_is_seen(house: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job = await ordered(house, mockMode="false")
    await reached(house, job["id"], lambda it: it.scenes[0].stage.value == "sent")
    wire.report_progress("sunset", 50)
    await reached(house, job["id"], lambda it: it.scenes[0].progress == 50)
    body = await looked(house, job["id"])
    assert (body["status"], body["progressPercentage"]) == ("RUNNING", 50)
    wire.release()
    await ended(house, job["id"])
