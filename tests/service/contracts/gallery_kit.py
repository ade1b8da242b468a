"""What the tests of the gallery contract share."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from typing import Any

from PIL import Image

from sessions.database import Database
from sessions.model import JobSnapshot, Scenario
from tests.house import Answer, House
from tests.service.contracts.golden_gallery import Golden, scene_id
from tests.sessions.buying import VERBS, clips
from tests.sessions.making import a_session, after, an_order, applied

GENERATE, STATUSES, LIST = "/api/video/generate", "/api/video/status", "/api/videos/gallery"

#: document 000, "Initial Video Generation Request", as it stands there
EXAMPLE = {"imageUrl": "https://example.com/image.jpg", "prompt": "animate", "duration": 5}

NOT_FOUND = {"success": False, "error": "Video record not found", "status": 404}


def database_of(house: House) -> Database:
    store = house.service.studio._store
    assert isinstance(store, Database)
    return store


def picture(kind: str = "JPEG") -> bytes:
    """A real, small image."""
    file = io.BytesIO()
    Image.new("RGB", (64, 36), "teal").save(file, kind)
    return file.getvalue()


def problem(answer: Answer, status: int) -> str:
    """The sentence of an error that has exactly the document's shape."""
    said = f"{answer.status} {answer.body[:300]!r}"
    assert answer.status == status, said
    assert list(answer.json) == ["success", "error", "status"], said
    assert (answer.json["success"], answer.json["status"]) == (False, status), said
    return str(answer.json["error"])


async def ordered(house: House, body: Any = None, **how: Any) -> tuple[str, str]:
    """A new video: its ``videoId`` and ``taskId``."""
    answer = await house.post(GENERATE, body or {"prompt": "A lamp"}, **how)
    assert answer.status == 200, answer.json
    return answer.json["videoId"], answer.json["taskId"]


async def asked(house: House, video_id: str | None = None, task_id: str | None = None, **how: Any) -> Answer:
    """The status of a video."""
    ids = {"videoId": video_id, "taskId": task_id}
    return await house.get(GENERATE, params={name: id_ for name, id_ in ids.items() if id_}, **how)


async def over(house: House, video_id: str) -> JobSnapshot:
    """Wait for the end of a job."""
    async with asyncio.timeout(30):
        return await house.service.live.until(video_id, lambda it: it.job.closed)


async def made(database: Database, golden: Golden, owner: str | None = None) -> JobSnapshot:
    """A job in that state, straight in the store."""
    if len(golden.verbs) == 1:
        job, scenes = clips()
        job = replace(job, id=scene_id(0))  # as clips are
    else:
        session = a_session(owner=owner)
        await database.create_session(session)
        job, scenes = an_order(session, *Scenario)
    named = [replace(it, id=scene_id(number), job_id=job.id) for number, it in enumerate(scenes)]
    created = await database.create_job(replace(job, owner=owner), named)
    for number, (scene, verbs) in enumerate(zip(created.scenes, golden.verbs, strict=True)):
        await applied(database, scene, *(VERBS[verb] for verb in verbs))
        if number in golden.removed:
            await database.remove_video(scene.id, after(60))
    snapshot = await database.job(job.id)
    assert snapshot is not None
    return snapshot
