"""What the tests of the gallery contract share."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from typing import Any

from PIL import Image

from sessions.database import Database
from sessions.model import JobSnapshot, Scenario
from sessions.rollup import job_state
from tests.house import Answer, House
from tests.service.contracts.golden_gallery import Golden, scene_id
from tests.sessions.buying import VERBS, clips
from tests.sessions.making import a_session, after, an_order, applied

GENERATE, STATUSES, LIST = "/api/video/generate", "/api/video/status", "/api/videos/gallery"

#: document 000, "Initial Video Generation Request", as it stands there
EXAMPLE = {"imageUrl": "https://example.com/image.jpg", "prompt": "animate", "duration": 5}

SESSION = "00000000-0000-4000-8000-000000000009"

NOT_FOUND = {"success": False, "error": "Video record not found", "status": 404}


def database_of(house: House) -> Database:
    store = house.service.studio._store
    assert isinstance(store, Database)
    return store


def picture(kind: str = "JPEG") -> bytes:
    """A real, small image."""
    file = io.BytesIO()
    Image.new("RGB", (128, 72), "teal").save(file, kind)
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


def history(golden: Golden, owner: str | None = None) -> tuple[JobSnapshot, JobSnapshot]:
    """A new job, and the same after all that has happened to it."""
    if len(golden.verbs) == 1:
        job, scenes = clips()
        job = replace(job, id=scene_id(0))  # as clips are
    else:
        job, scenes = an_order(a_session(id=SESSION), *Scenario)
    job = replace(job, owner=owner)
    new = [replace(it, id=scene_id(number), job_id=job.id) for number, it in enumerate(scenes)]
    now = list(new)
    for number, verbs in enumerate(golden.verbs):
        for verb in verbs:
            now[number] = VERBS[verb](now[number]).after
        if number in golden.removed:
            now[number] = replace(now[number], removed_at=after(60))
    state = job_state([scene.state for scene in now])
    return (
        JobSnapshot(job=job, scenes=tuple(new)),
        JobSnapshot(job=replace(job, state=state), scenes=tuple(now)),
    )


async def made(database: Database, golden: Golden, owner: str | None = None) -> JobSnapshot:
    """A job in that state, straight in the store."""
    new, _ = history(golden, owner)
    if new.job.session_id is not None:
        await database.create_session(a_session(id=SESSION, owner=owner))
    created = await database.create_job(new.job, new.scenes)
    for number, (scene, verbs) in enumerate(zip(created.scenes, golden.verbs, strict=True)):
        await applied(database, scene, *(VERBS[verb] for verb in verbs))
        if number in golden.removed:
            await database.remove_video(scene.id, after(60))
    snapshot = await database.job(new.job.id)
    assert snapshot is not None
    return snapshot
