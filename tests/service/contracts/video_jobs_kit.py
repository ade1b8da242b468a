"""What the tests of the video jobs contract share: small previews, orders, pictures, the ends of jobs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from service.contracts.video_jobs_replies import VideoJob, VideoJobList
from sessions.model import JobSnapshot
from tests.house import Answer, House, open_house, settings_for

PATH = "/api/v1/video-jobs"
MODEL = "veo-3.1-fast-generate-preview"

_SIZES = {"16:9": [256, 144], "9:16": [144, 256], "1:1": [144, 144]}
SMALL: dict[str, Any] = {
    "models": {
        "local:preview@1": {
            "sizes": _SIZES,
            "default_seconds": 1,
            "resolutions": {"720p": _SIZES, "1080p": _SIZES},
        }
    }
}

ORDER: dict[str, Any] = {
    "prompt": "A beautiful sunset over mountains",
    "model": MODEL,
    "resolution": "1080p",
    "aspectRatio": "16:9",
    "durationSeconds": 4,
    "mockMode": "true",
}


def order(**changes: Any) -> dict[str, Any]:
    """The order with other fields; those that are None are left out."""
    return {name: value for name, value in {**ORDER, **changes}.items() if value is not None}


@asynccontextmanager
async def small_house(folder: Path, *layers: Mapping[str, Any]) -> AsyncIterator[House]:
    async with open_house(settings_for(folder, SMALL, *layers)) as house:
        yield house


def form(fields: Mapping[str, Any], *files: tuple[str, bytes]) -> aiohttp.FormData:
    """A multipart form as a browser sends it."""
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        data.add_field(name, str(value))
    for name, content in files:
        data.add_field(name, io.BytesIO(content), filename="a.png", content_type="image/png")
    return data


def picture(colour: str = "orange", size: tuple[int, int] = (128, 72)) -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", size, colour).save(kept, "PNG")
    return kept.getvalue()


async def ordered(house: House, who: Mapping[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """The job of a new order."""
    answer = await house.post(PATH, order(**changes), headers=dict(who or {}))
    assert answer.status == 202, answer.json
    return checked(answer.json)


async def looked(house: House, job_id: str, who: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The job as it is now."""
    answer = await house.get(f"{PATH}/{job_id}", headers=dict(who or {}))
    assert answer.status == 200, answer.json
    return checked(answer.json)


def checked(body: dict[str, Any]) -> dict[str, Any]:
    """The job, if it is exactly what the documentation says."""
    VideoJob.model_validate(body)
    assert body["cloudinaryUrl"] if body["status"] == "SUCCEEDED" else True
    return body


async def listed(house: House, query: str = "", who: Mapping[str, str] | None = None) -> dict[str, Any]:
    answer = await house.get(PATH + query, headers=dict(who or {}))
    assert answer.status == 200, answer.json
    VideoJobList.model_validate(answer.json)
    found: dict[str, Any] = answer.json
    return found


async def ended(house: House, job_id: str) -> JobSnapshot:
    """The job once it is over."""
    async with asyncio.timeout(30):
        return await house.service.live.until(job_id, lambda it: it.job.closed)


async def state(house: House, job_id: str, *states: str) -> JobSnapshot:
    """The job once it is in one of these states."""
    async with asyncio.timeout(30):
        return await house.service.live.until(job_id, lambda it: it.job.state.value in states)


async def told(house: House, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The job once what is said of it holds; places in the queue may be a second old."""
    async with asyncio.timeout(15):
        while not holds(body := await looked(house, job_id)):
            await asyncio.sleep(0.05)
    return body


def problem(answer: Answer, status: int) -> Any:
    """The detail of an error in the contract's shape."""
    assert answer.status == status, (answer.status, answer.body)
    assert list(answer.json) == ["detail"]
    return answer.json["detail"]


def messages(body: Mapping[str, Any]) -> list[str]:
    return [line["message"] for line in body["logs"]]
