"""Document 000's flow, as its clients go through it: order, poll until it is over, show the gallery."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from service import http_api
from service.fetching import ImageFetcher
from tests.house import House, open_house, runware_layer, settings_for
from tests.node import NODE
from tests.service.contracts.gallery_kit import EXAMPLE, GENERATE, LIST, asked, ordered, over, picture
from tests.service.contracts.kit import reached
from tests.service.contracts.test_identity import ON, as_user, token
from tests.wire.runware_server import FileReply, RunwareServer, Script

#: a Supabase user
USER = "6a1f3f0e-5b0b-4a39-9a51-1f1c4bb1a0aa"

#: the document's polling, with a pause that suits tests
CLIENT = """
const base = process.env.BASE, headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const started = await (await fetch(`${base}/api/video/generate`, {
  method: "POST",
  headers: { ...headers, "Content-Type": "application/json" },
  body: JSON.stringify(JSON.parse(process.env.BODY)),
})).json();
const { videoId, taskId } = started, polls = [];
let data;
do {
  await new Promise((resolve) => setTimeout(resolve, 50));
  const response = await fetch(`${base}/api/video/generate?videoId=${videoId}&taskId=${taskId}`, { headers });
  data = await response.json();
  polls.push(data);
} while (data.status === "PROCESSING");
const film = await fetch(data.videoUrl);
await film.arrayBuffer();
const gallery = await (await fetch(`${base}/api/videos/gallery`, { headers })).json();
console.log(JSON.stringify({ started, polls, film: film.status, gallery }));
"""


async def run(*command: str, **environment: str) -> Any:
    """What a program that runs beside the service prints."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def polled(house: House, video_id: str, task_id: str, **how: Any) -> list[dict[str, Any]]:
    """Every answer until it is over."""
    answers: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not answers or answers[-1]["status"] == "PROCESSING":
            answer = await house.get(f"{GENERATE}?videoId={video_id}&taskId={task_id}", **how)
            assert answer.status == 200
            answers.append(answer.json)
            await asyncio.sleep(0.02)
    return answers


def check(polls: list[dict[str, Any]]) -> None:
    """As the document shows it: on the way, then done."""
    keys = ["success", "status", "videoUrl", "progress", "errorMessage"]
    assert [list(poll) for poll in polls] == [keys] * len(polls)
    *before, last = polls
    assert {(it["success"], it["status"], it["videoUrl"], it["errorMessage"]) for it in before} <= {
        (True, "PROCESSING", None, None)
    }
    percents = [poll["progress"] for poll in polls]
    assert all(type(percent) is int for percent in percents)
    assert percents == sorted(percents), "never falls"
    assert (last["success"], last["status"], last["progress"], last["errorMessage"]) == (
        True,
        "SUCCEEDED",
        100,
        None,
    )
    assert last["videoUrl"].partition("?")[0].endswith(".mp4")


async def test_with_previews(tmp_path: Path) -> None:
    """Paths and bodies as they stand in the document; the session comes as a cookie."""
    session = {"Cookie": f"sb-access-token={token(USER)}"}
    async with open_house(settings_for(tmp_path, ON)) as house:
        started = await house.post(GENERATE, EXAMPLE, headers=session)
        assert started.status == 200
        ids = started.json["videoId"], started.json["taskId"]
        polls = await polled(house, *ids, headers=session)
        check(polls)
        assert (await asked(house, *ids, headers=session)).json == polls[-1], "also later, from the gallery"
        [video] = (await house.get(LIST, headers=session)).json["videos"]
        assert (video["id"], video["userId"], video["videoUrl"]) == (ids[0], USER, polls[-1]["videoUrl"])


async def test_with_a_browsers_fetch(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, ON)) as house:
        told = await run(
            NODE,
            "--input-type=module",
            "--eval",
            CLIENT,
            BASE=house.address,
            TOKEN=token(USER),
            BODY=json.dumps(EXAMPLE),
        )
    assert told["started"]["message"] == "Video generation started"
    check(told["polls"])
    assert told["film"] == 200
    assert [video["id"] for video in told["gallery"]["videos"]] == [told["started"]["videoId"]]


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_with_curl(local: House, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    assert curl is not None
    image = tmp_path / "image.png"
    image.write_bytes(picture("PNG"))
    url = f"{local.address}{GENERATE}"
    body = ["-H", "Content-Type: application/json", "-d", json.dumps(EXAMPLE)]
    form = ["-F", f"imageFile=@{image}", "-F", "prompt=animate", "-F", "duration=5"]
    for sent in (body, form):
        started = await run(curl, "-sS", "-X", "POST", url, *sent)
        await over(local, started["videoId"])
        query = f"{url}?videoId={started['videoId']}&taskId={started['taskId']}"
        assert (await run(curl, "-sS", query))["status"] == "SUCCEEDED"


# ---------------------------------------------------------------------- with the provider


@asynccontextmanager
async def image_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, list[str]]]:
    """An image on this machine, which the service may fetch for once; and who has asked for it."""
    asked_for: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked_for.append(request.path)
        return web.Response(body=picture(), content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/image.jpg", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    loopback = partial(ImageFetcher, allowed=lambda number: number == "127.0.0.1", ports={port})
    monkeypatch.setattr(http_api, "ImageFetcher", loopback)
    try:
        yield f"http://127.0.0.1:{port}/image.jpg", asked_for
    finally:
        await runner.cleanup()


async def test_with_the_provider(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.script_default(Script(hold=True, progress=True))
    user = as_user(USER)
    async with (
        image_server(monkeypatch) as (image, asked_for),
        open_house(settings_for(tmp_path, runware_layer(wire), ON)) as house,
    ):
        ids = await ordered(house, {**EXAMPLE, "imageUrl": image}, headers=user)
        polling = asyncio.create_task(polled(house, *ids, headers=user))
        try:
            await reached(house, ids[0], lambda it: it.scenes[0].progress == 30)
            wire.report_progress("animate", 50)
            await reached(house, ids[0], lambda it: it.scenes[0].progress == 50)
            wire.release()
            polls = await polling
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        check(polls)
        async with aiohttp.ClientSession() as browser, browser.get(polls[-1]["videoUrl"]) as film:
            assert await film.read() == wire.video
        [video] = (await house.get(LIST, headers=user)).json["videos"]
        assert (video["source"], video["metadata"]["image_url"]) == ("generated_videos", image)
    [submit] = wire.submits
    assert (submit["positivePrompt"], submit["duration"], submit["taskUUID"]) == ("animate", 5, ids[1])
    assert "data:image/jpeg;base64," in json.dumps(submit), "the image went along"
    assert asked_for == ["/image.jpg"]
    assert len(wire.charges) == 1


async def test_an_image_that_cannot_be_had_costs_nothing(paid: House, wire: RunwareServer) -> None:
    for url in ("http://127.0.0.1:1/i.jpg", "http://localhost/i.jpg", "file:///etc/passwd", "nonsense"):
        answer = await paid.post(GENERATE, {**EXAMPLE, "imageUrl": url})
        assert (answer.status, answer.json["success"], answer.json["status"]) == (400, False, 400)
        assert "address" in answer.json["error"]
    assert (await paid.get(LIST)).json["total"] == 0
    assert wire.submits == []


async def test_a_failure_is_told_in_a_sentence(paid: House, wire: RunwareServer) -> None:
    wire.script("lamp", Script(fail_code="providerError", fail_message="the model fell over"))
    *_, last = await polled(paid, *await ordered(paid))
    assert (last["success"], last["status"], last["videoUrl"]) == (True, "FAILED", None)
    assert last["errorMessage"] == "The video model failed; try again"


TROUBLES = {
    "the order is lost on its way": Script(drop_before_accept=1),
    "the acknowledgement is lost": Script(drop_after_accept=1),
    "questions are not answered": Script(read_errors=3),
    "the download breaks off": Script(files=(FileReply(reset_after=1000), FileReply())),
    "the download is refused": Script(files=(FileReply(status=503), FileReply())),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_network_may_fail(paid: House, wire: RunwareServer, trouble: str) -> None:
    """Tried again without anybody's doing, and never ordered twice."""
    wire.script_default(TROUBLES[trouble])
    check(await polled(paid, *await ordered(paid)))
    assert len(wire.charges) == 1
    assert wire.paid_twice() == []


async def test_the_provider_may_be_gone_for_a_while(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    ids = await ordered(paid)
    await reached(paid, ids[0], lambda it: it.scenes[0].stage.value == "sent")
    wire.refuse_next(3)
    await wire.drop_connections()
    wire.release()
    check(await polled(paid, *ids))
    assert len(wire.charges) == 1


async def test_a_restart_in_between_is_not_noticed(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        ids = await ordered(house)
        await reached(house, ids[0], lambda it: it.scenes[0].stage.value == "sent")
        before = (await asked(house, *ids)).json
    async with open_house(settings) as house:
        polling = asyncio.create_task(polled(house, *ids))
        wire.release()
        polls = await polling
    check([before, *polls])
    assert len(wire.charges) == 1
