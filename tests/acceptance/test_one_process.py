"""Document 001, "Production Deployment": where it wants a web service, a worker and Redis, there is one
process, which finds the document's variables in its environment and needs none of the rest.
"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import jwt

from tests.acceptance.server import ServerProcess, log_of, serving
from tests.wire.cloudinary import CLOUD, KEY, SECRET, CloudinaryServer

PATH = "/api/v1/video-jobs"

#: a port on which nobody listens
NOWHERE = "127.0.0.1:1"

#: "Environment Variables", all of them
DOCUMENT = {
    "GOOGLE_API_KEY": "your_google_api_key",
    "REDIS_URL": f"redis://{NOWHERE}/0",
    "CLOUDINARY_CLOUD_NAME": CLOUD,
    "CLOUDINARY_API_KEY": KEY,
    "CLOUDINARY_API_SECRET": SECRET,
    "USE_CLOUDINARY": "true",
}

TOKEN_SECRET = "a secret that is long enough for HS256"

ORDER = {
    "model": "veo-3.1-fast-generate-preview",
    "resolution": "1080p",
    "aspectRatio": "16:9",
    "durationSeconds": 4,
}

#: previews that render in a third of a second, whatever is asked for
SMALL_PREVIEWS = """
[models."local:preview@1"]
default_seconds = 1
sizes = { "16:9" = [256, 144] }
resolutions = { "1080p" = { "16:9" = [256, 144] } }
"""


def small(folder: Path) -> dict[str, str]:
    file = folder / "smaller.toml"
    file.write_text(SMALL_PREVIEWS)
    return {"SCENEWRIGHT_CONFIG": str(file)}


def as_user(name: str) -> dict[str, str]:
    claims = {"sub": name, "role": "authenticated", "exp": int(time.time()) + 600}
    return {"Authorization": f"Bearer {jwt.encode(claims, TOKEN_SECRET, algorithm='HS256')}"}


async def ordered(server: ServerProcess, prompt: str, **how: Any) -> str:
    answer = await server.ask("POST", PATH, body={**ORDER, "prompt": prompt}, **how)
    assert answer.status == 202, answer.body
    return str(answer.json["id"])


async def over(server: ServerProcess, job_id: str, headers: Mapping[str, str] | None = None) -> Any:
    async with asyncio.timeout(60):
        while (job := await server.get(f"{PATH}/{job_id}", headers=headers))["status"] in (
            "PENDING",
            "RUNNING",
        ):
            await asyncio.sleep(0.05)
    return job


async def test_serving_alone_makes_videos_with_the_documents_environment(tmp_path: Path) -> None:
    """Nothing but ``serve`` was started, and there is no Redis: two jobs run side by side and end."""
    async with CloudinaryServer() as cloud:
        environment = {**small(tmp_path), **DOCUMENT, "SCENEWRIGHT_CLOUDINARY__API_URL": cloud.address}
        async with serving(tmp_path, **environment) as server:
            jobs = [await ordered(server, f"Number {number} [[slow 2s]]") for number in range(2)]
            async with asyncio.timeout(60):
                while (await server.get(f"{PATH}?status_filter=RUNNING"))["total"] < 2:
                    await asyncio.sleep(0.02)
            for job_id in jobs:
                job = await over(server, job_id)
                assert (job["status"], job["progressPercentage"]) == ("SUCCEEDED", 100)
                assert re.fullmatch(
                    rf"https://res\.cloudinary\.com/{CLOUD}/video/upload/v\d+/ai_studio/videos/{job_id}\.mp4",
                    job["cloudinaryUrl"],
                )
            assert (await server.ask("GET", "/readyz")).status == 200
        assert len(cloud.assets) == 2
    written = (tmp_path / "serve.log").read_text()
    assert not [value for value in ("your_google_api_key", SECRET) if value in written]
    assert not [line for line in log_of(tmp_path) if line["level"] in ("warning", "error")]


async def test_a_supervisor_can_stop_it_and_start_it_again(tmp_path: Path) -> None:
    """It stays in the foreground, ends with 0 when it is told to, and after a crash goes on with its jobs."""
    async with serving(tmp_path, **small(tmp_path)) as server:
        crashed = await ordered(server, "A lamp [[slow 1s]]")
        await server.end(signal.SIGKILL)
    async with serving(tmp_path, **small(tmp_path)) as server:
        stopped = await ordered(server, "A chair [[slow 1s]]")
        assert await server.end(signal.SIGTERM) == 0
    async with serving(tmp_path, **small(tmp_path)) as server:
        for job_id in (crashed, stopped):
            assert (await over(server, job_id))["status"] == "SUCCEEDED"


async def test_one_web_service_of_a_platform_is_enough(tmp_path: Path) -> None:
    """As Render would start it: on all addresses, under the platform's name, asked whether it is well."""
    platform = {
        **small(tmp_path),
        **DOCUMENT,
        "USE_CLOUDINARY": "false",
        "SCENEWRIGHT_SERVER__HOST": "0.0.0.0",
        "SCENEWRIGHT_SERVER__PUBLIC_URL": "https://video.onrender.com",
        "SCENEWRIGHT_AUTH__MODE": "jwt",
        "SCENEWRIGHT_AUTH__JWT_SECRET": TOKEN_SECRET,
        "SCENEWRIGHT_CREDITS__OPENING_TOKENS": "50",
    }
    async with serving(tmp_path, **platform) as started:
        server = ServerProcess(started.process, started.address.replace("0.0.0.0", "127.0.0.1"))
        named = {"Host": "video.onrender.com"}
        for path in ("/healthz", "/readyz", "/video-monitor"):
            assert (await server.ask("GET", path, headers=named)).status == 200
        assert (await server.ask("POST", PATH, body=ORDER, headers=named)).status == 401
        ann = {**named, **as_user("ann")}
        job_id = await ordered(server, "A lamp", headers=ann)
        job = await over(server, job_id, ann)
        assert (job["status"], job["userId"]) == ("SUCCEEDED", "ann")
        assert job["cloudinaryUrl"].startswith("https://video.onrender.com/outputs/")
        path = job["cloudinaryUrl"].removeprefix("https://video.onrender.com")
        async with aiohttp.ClientSession(server.address) as browser, browser.get(path, headers=named) as film:
            assert (film.status, film.content_type) == (200, "video/mp4")
