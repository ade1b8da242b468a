"""The server that requests made up from the API's description meet, with a little of everything in it.

Ids that are made up are nobody's, so every answer would be 404. ``Known`` are ids of things that are
there. One preview that never ends holds the only slot, so that whatever is ordered from then on waits:
thousands of requests render nothing, and what is to be cancelled has not ended before.
"""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from service.settings import Settings
from sessions.api_keys import Scope
from tests.house import House, open_house, settings_for
from tests.service.contracts.test_identity import ON, api_key, as_user

#: to whom everything belongs
USER = "ann"

_SIZES = {"16:9": [256, 144], "9:16": [144, 256], "1:1": [144, 144], "4:3": [192, 144], "3:4": [144, 192]}
_TINY = {
    "sizes": _SIZES,
    "default_seconds": 1,
    "resolutions": dict.fromkeys(("480p", "720p", "1080p", "2160p"), _SIZES),
}
_LAYER: dict[str, Any] = {
    "models": {"local:preview@1": _TINY},
    "limits": {"slots": 1},
    "local": {"workers": 1},
    "terms": {"video_jobs": {"running": 10**6}},
    "credits": {"opening_tokens": 10**9, "opening_dust": 10**9},
    "server": {"port": 0, "shutdown_seconds": 0},
}
_CLOSED: dict[str, Any] = {"auth": {**ON["auth"], "open_scenes": False}}

#: values for parameters and fields of bodies by their names, or by "operation.name" where that matters
Known = dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server in another thread."""

    address: str
    known: Known
    user: Mapping[str, str]  #: credentials of ``USER``; none where nobody is asked
    admin: Mapping[str, str]  #: of whoever looks after the service


def described(*, identity: bool) -> dict[str, Any]:
    """The API's description, from a server that is closed again."""

    async def asked(folder: Path) -> dict[str, Any]:
        async with open_house(_settings(folder, identity=identity)) as house:
            found: dict[str, Any] = (await house.get("/openapi.json")).json
            return found

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(asked(Path(folder)))


@contextmanager
def served(folder: Path, *, identity: bool) -> Iterator[Served]:
    """Run a furnished server in a thread and a loop of its own."""
    ready: list[Served] = []
    started, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with open_house(_settings(folder, identity=identity)) as house:
            user = as_user(USER) if identity else {}
            admin = (await api_key(house, "root", Scope.ADMIN))[0] if identity else {}
            house.client.headers.update(user)
            known = await _furnished(house)
            ready.append(Served(address=house.address, known=known, user=user, admin=admin))
            started.set()
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            started.set()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    started.wait()
    assert ready, "the server did not start; its thread says why"
    try:
        yield ready[0]
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join()


def picture() -> bytes:
    """A real, small image."""
    file = io.BytesIO()
    Image.new("RGB", (128, 72), "teal").save(file, "PNG")
    return file.getvalue()


def _settings(folder: Path, *, identity: bool) -> Settings:
    return settings_for(folder, _LAYER, _CLOSED if identity else {})


# ---------------------------------------------------------------------- what is there


async def _furnished(house: House) -> Known:
    """Sessions, jobs and videos in every state, some of them to be lost."""
    filmed, filmed_session = await _filmed(house)
    failed, failed_session = await _filmed(house, "[[fail]] A lamp")
    clip, task = await _gallery(house)
    ordered, video, *lost_videos = [await _video_job(house), *[await _credit_job(house) for _ in range(4)]]
    for job_id in (filmed, failed, clip, ordered, video, *lost_videos):
        async with asyncio.timeout(60):
            await house.service.live.until(
                job_id, lambda it: it.job.closed and all(s.settled for s in it.scenes)
            )
    endless, _ = await _gallery(house, "[[slow 9999s]] A lamp")
    async with asyncio.timeout(60):
        await house.service.live.until(endless, lambda it: it.job.state.value == "running")
    waiting, _ = await _filmed(house)
    cancelled = await _video_job(house)
    await _done(house, "POST", f"/api/v1/video-jobs/{cancelled}/cancel")
    lost = [await _video_job(house) for _ in range(8)]
    lost_scenes = [(await _filmed(house))[0] for _ in range(3)]
    approved, changing = await house.session(), await house.session()
    fresh = await _done(house, "POST", "/api/session/create", json={"product": "Lamp"})
    jobs = (filmed, failed, clip, ordered, video, endless, waiting, cancelled)
    docs = re.search(r"/docs/(\w+)/([\w.-]+\.js)", (await house.get("/docs")).body.decode())
    assert docs
    return {
        "session_id": (approved,),
        "getSession.session_id": (approved, changing, filmed_session, failed_session),
        "editDescription.session_id": (changing,),
        "writeDescriptions.session_id": (changing, fresh["session_id"]),
        "rewriteDescription.session_id": (changing, fresh["session_id"]),
        "job_id": jobs,
        "jobId": jobs,
        "resumeJob.job_id": (failed, waiting, endless),
        "cancelJob.job_id": (*lost_scenes, lost[0]),
        "cancelVideoJob.jobId": (lost[1], lost[2]),
        "cancelCreditJob.job_id": (lost[3], lost[4]),
        "deleteVideoJob.jobId": (lost[5], lost[6], lost[7]),
        "downloadVideoJob.jobId": (ordered, video, clip),
        "id": (video, ordered, clip),
        "deleteVideo.id": tuple(lost_videos),
        "videoId": (clip,),
        "taskId": (task,),
        "user_id": (USER,),
        "getFile.name": (await _file(house, ordered),),
        "getStaticFile.name": ("page.js", "page.css"),
        "getDocsAsset.version": (docs[1],),
        "getDocsAsset.name": (docs[2],),
    }


async def _done(house: House, method: str, path: str, **how: Any) -> Any:
    answer = await house.ask(method, path, **how)
    assert answer.status < 300, (path, answer.status, answer.body)
    return answer.json


async def _filmed(house: House, description: str = "A lamp") -> tuple[str, str]:
    """A scene on its own: its job and its session."""
    body = {"scenario": "hook", "scene_description": {"description": description}}
    told = await _done(house, "POST", "/api/videos/regenerate-scene?async=1", json=body)
    return told["job_id"], told["session_id"]


async def _gallery(house: House, prompt: str = "A lamp") -> tuple[str, str]:
    told = await _done(house, "POST", "/api/video/generate", json={"prompt": prompt})
    return told["videoId"], told["taskId"]


async def _video_job(house: House) -> str:
    order = {
        "prompt": "A lamp",
        "model": "veo-3.1-fast-generate-preview",
        "resolution": "720p",
        "aspectRatio": "16:9",
        "durationSeconds": 4,
        "mockMode": "true",
        "userId": USER,
    }
    return str((await _done(house, "POST", "/api/v1/video-jobs", json=order))["id"])


async def _credit_job(house: House) -> str:
    order = {"prompt": "A lamp", "user_id": USER}
    return str((await _done(house, "POST", "/videos/generate", json=order))["job_id"])


async def _file(house: House, job_id: str) -> str:
    """The name of its video, as in its address."""
    told = await _done(house, "GET", f"/api/video/generate?videoId={job_id}")
    found = re.search(r"/outputs/([^?]+)", told["videoUrl"])
    assert found
    return found[1]
