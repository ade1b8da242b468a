"""What requests made up from the description have found to be otherwise than described; each stays mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.contracts.idempotency import HEADER
from service.contracts.scenes_replies import ScenesCancelled, ScenesJob
from tests.house import House

RESUME, REGENERATE = "/api/videos/resume", "/api/videos/regenerate-scene"
SCENE = {"scenario": "hook", "scene_description": {"description": "A lamp"}}
VIDEO_JOB = {
    "prompt": "A lamp",
    "model": "veo-3.1-fast-generate-preview",
    "resolution": "720p",
    "aspectRatio": "16:9",
    "durationSeconds": 4,
    "mockMode": True,
}


async def waiting(house: House) -> str:
    """A clip that does not end while the test runs."""
    answer = await house.post("/api/video/generate", {"prompt": "[[slow 60s]] A lamp"})
    return str(answer.json["videoId"])


@pytest.mark.parametrize("key", [{}, {HEADER: "press-1"}], ids=["without a key", "with one"])
async def test_a_body_that_is_not_needed_is_looked_at(local: House, key: dict[str, str]) -> None:
    """A key reads the body first; it is there nevertheless."""
    job_id = await local.generate(await local.session({"hook": "[[slow 60s]] A lamp"}))
    assert (await local.ask("POST", f"{RESUME}/{job_id}", json=False, headers=key)).status == 422
    assert (await local.ask("POST", f"{RESUME}/{job_id}", headers=key)).status == 200


async def test_a_clip_is_not_resumed(local: House) -> None:
    answer = await local.ask("POST", f"{RESUME}/{await waiting(local)}")
    assert (answer.status, answer.json["detail"]["code"]) == (409, "conflict")


@pytest.mark.parametrize("known", ["", '"another"'], ids=["first poll", "later poll"])
async def test_a_patience_that_is_none_is_refused(local: House, known: str) -> None:
    path = f"/api/videos/status/{await waiting(local)}"
    answer = await local.get(f"{path}?wait=long", headers={"If-None-Match": known} if known else {})
    assert (answer.status, answer.json["detail"]["field"]) == (400, "wait")


@pytest.mark.parametrize("asked", ["", "yes", "2", "True"])
async def test_whether_to_wait_is_said_plainly_before_anything_is_ordered(local: House, asked: str) -> None:
    answer = await local.post(f"{REGENERATE}?async={asked}", SCENE)
    assert (answer.status, answer.json["detail"]["field"]) == (400, "async")
    assert (await local.get("/api/sessions")).json["total"] == 0


async def test_a_clip_is_read_and_cancelled_in_the_words_of_scenes(local: House) -> None:
    job_id = await waiting(local)
    body = (await local.get(f"/api/videos/status/{job_id}")).body
    assert ScenesJob.model_validate_json(body).scenes[0].scenario == "clip"
    body = (await local.ask("POST", f"/api/videos/cancel/{job_id}")).body
    assert ScenesCancelled.model_validate_json(body).cancelled == ["clip"]


@pytest.mark.parametrize("query", ["skip=x&offset=0", "skip=9999999999&offset=0", "offset=x"])
async def test_each_part_of_a_page_is_looked_at(local: House, query: str) -> None:
    assert (await local.get(f"/api/v1/video-jobs?{query}")).status == 400


@pytest.mark.parametrize(("sound", "status"), [(0, 400), (1, 400), (1.0, 400), (None, 202), (True, 202)])
async def test_a_number_is_no_yes_or_no(local: House, sound: Any, status: int) -> None:
    answer = await local.post("/api/v1/video-jobs", {**VIDEO_JOB, "generateAudio": sound})
    assert answer.status == status


@pytest.mark.parametrize(("amount", "status"), [(5.0, 200), (5.5, 422), (0.0, 422), ("5", 422), (True, 422)])
async def test_whole_numbers_may_be_written_with_a_point(local: House, amount: Any, status: int) -> None:
    grant = {"user_id": "ann", "amount": amount, "currency": "dust"}
    assert (await local.post("/api/admin/credits/grant", grant)).status == status


async def test_a_text_that_is_too_long_has_characters(local: House) -> None:
    answer = await local.post("/api/video/generate", {"prompt": "x" * 10_001})
    assert answer.json["error"] == (
        "The request is not valid: prompt: String should have at most 10000 characters"
    )


async def test_limits_are_those_of_json_schema(local: House) -> None:
    """Pydantic writes down what it cannot say in JSON Schema under names of its own."""
    document = (await local.get("/openapi.json")).json
    own = {"gt", "ge", "lt", "le", "min_length", "max_length", "strict", "allow_inf_nan"}
    assert [schema for schema in schemas(document) if own & schema.keys()] == []


def schemas(part: Any) -> Iterator[dict[str, Any]]:
    """Whatever says of what type it is."""
    if isinstance(part, dict):
        if isinstance(part.get("type"), str):
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from schemas(item)
