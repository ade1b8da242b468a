"""Document 000's routes: orders, lookups by either id, many at once, errors, isolation."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.contracts.idempotency import HEADER, REPLAYED
from sessions.model import EventKind
from sessions.store import StoreUnavailable
from tests.house import House, open_house, runware_layer, settings_for
from tests.service.contracts.gallery_kit import (
    EXAMPLE,
    GENERATE,
    LIST,
    NOT_FOUND,
    STATUSES,
    asked,
    database_of,
    ordered,
    over,
    picture,
    problem,
)
from tests.service.contracts.kit import reached
from tests.service.contracts.test_identity import ANN, BEN, ON, token
from tests.service.contracts.test_status_poll import statements
from tests.sessions.making import new_id
from tests.wire.runware_server import RunwareServer, Script


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on."""
    async with open_house(settings_for(tmp_path, ON)) as house:
        yield house


def form(**fields: Any) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        if isinstance(value, bytes):
            data.add_field(name, value, filename="x.jpg", content_type="image/jpeg")
        else:
            data.add_field(name, value)
    return data


# ---------------------------------------------------------------------- orders


async def test_the_answer_to_an_order(local: House) -> None:
    answer = await local.post(GENERATE, EXAMPLE)
    assert answer.status == 200
    assert list(answer.json) == ["success", "videoId", "taskId", "message"]
    assert answer.json["success"] is True
    assert answer.json["message"] == "Video generation started"
    assert str(uuid.UUID(answer.json["videoId"])) == answer.json["videoId"]
    assert str(uuid.UUID(answer.json["taskId"])) == answer.json["taskId"]
    job = await database_of(local).job(answer.json["videoId"])
    assert job is not None
    assert (job.job.terms, dict(job.job.asked)) == ("gallery", EXAMPLE)
    assert (job.scenes[0].prompt, job.scenes[0].seconds) == ("animate", 5)
    assert job.scenes[0].frames.first == EXAMPLE["imageUrl"]


@pytest.mark.parametrize(
    ("body", "prompt", "first"),
    [
        ({"prompt": " A lamp "}, "A lamp", None),
        ({"prompt": "A lamp", "imageUrl": None, "duration": None}, "A lamp", None),
        ({"prompt": "A lamp", "imageUrl": "", "model": " "}, "A lamp", None),
        ({"imageUrl": "https://example.com/i.jpg"}, "animate", "https://example.com/i.jpg"),
        ({"imageUrl": "https://example.com/i.jpg", "prompt": ""}, "animate", "https://example.com/i.jpg"),
    ],
)
async def test_an_image_or_a_prompt_suffices(
    local: House, body: dict[str, Any], prompt: str, first: str | None
) -> None:
    video_id, _ = await ordered(local, body)
    job = await database_of(local).job(video_id)
    assert job is not None
    assert (job.scenes[0].prompt, job.scenes[0].frames.first) == (prompt, first)


async def test_what_else_can_be_asked_for(local: House) -> None:
    more = {"model": "local:preview@1", "aspectRatio": "9:16", "resolution": "480p", "duration": 1}
    video_id, _ = await ordered(local, {"prompt": "A lamp", **more})
    job = await database_of(local).job(video_id)
    assert job is not None
    scene = job.scenes[0]
    assert (scene.model, scene.width, scene.height, scene.seconds) == ("local:preview@1", 480, 854, 1)


@pytest.mark.parametrize("field", ["imageFile", "image"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_an_uploaded_image_is_cleaned_and_kept(local: House, field: str, kind: str) -> None:
    answer = await local.ask("POST", GENERATE, data=form(**{field: picture(kind)}, duration="2"))
    assert answer.status == 200, answer.json
    job = await database_of(local).job(answer.json["videoId"])
    assert job is not None
    assert job.scenes[0].frames.first is not None
    kept = (local.settings.images.dir / job.scenes[0].frames.first).read_bytes()
    assert kept.startswith(b"\xff\xd8")
    assert job.scenes[0].seconds == 2


async def test_a_form_without_files(local: House) -> None:
    for data in (form(prompt="A lamp", duration="2"), {"prompt": "A lamp", "duration": "2", "imageUrl": ""}):
        answer = await local.ask("POST", GENERATE, data=data)
        assert answer.status == 200, answer.json


BAD: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "Give imageUrl, imageFile or prompt"),
    "blank": ({"prompt": " ", "imageUrl": ""}, "Give imageUrl, imageFile or prompt"),
    "unknown field": ({"prompt": "A lamp", "promt": "x"}, "promt is not a field"),
    "no text": ({"prompt": 7}, "prompt"),
    "NUL": ({"prompt": "a\x00b"}, "NUL"),
    "too short": ({"prompt": "x"}, "has 1 characters"),
    "too long": ({"prompt": "x" * 10_001}, "prompt"),
    "no number": ({"prompt": "A lamp", "duration": "long"}, "duration"),
    "no truth": ({"prompt": "A lamp", "duration": True}, "duration: must be a number"),
    "negative": ({"prompt": "A lamp", "duration": -5}, "duration"),
    "nothing to see": ({"prompt": "A lamp", "duration": 0}, "duration"),
    "not a number": ({"prompt": "A lamp", "duration": "nan"}, "duration"),
    "not that long": ({"prompt": "A lamp", "duration": 61}, "whole seconds from 1 to 60"),
    "no such model": ({"prompt": "A lamp", "model": "gen-5"}, "is not in the catalogue"),
    "no such shape": ({"prompt": "A lamp", "aspectRatio": "2:1"}, "does not make 2:1 videos"),
    "no such size": ({"prompt": "A lamp", "resolution": "8k"}, "does not make 8k videos"),
    "inside address": ({"imageUrl": "http://127.0.0.1/i.jpg"}, "imageUrl must be a public address"),
    "inside name": ({"imageUrl": "http://localhost/i.jpg"}, "imageUrl must be a public address"),
    "no address": ({"imageUrl": "file:///etc/passwd"}, "imageUrl must be an http or https URL"),
    "a list": (["prompt"], "not a JSON object"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_ordered(local: House, case: str) -> None:
    body, sentence = BAD[case]
    assert sentence in problem(await local.post(GENERATE, body), 400)
    assert (await local.get(LIST)).json["total"] == 0


async def test_bodies_that_are_none(local: House) -> None:
    broken = {"data": b"{", "headers": {"Content-Type": "application/json"}}
    problem(await local.ask("POST", GENERATE, **broken), 400)
    problem(await local.ask("POST", GENERATE), 400)
    problem(await local.ask("POST", GENERATE, data=b"prompt", headers={"Content-Type": "text/csv"}), 415)
    twice = b'{"prompt": "A lamp", "prompt": "A chair"}'
    problem(await local.ask("POST", GENERATE, data=twice, headers={"Content-Type": "application/json"}), 400)


async def test_one_image_is_enough(local: House) -> None:
    for fields in (
        {"imageFile": picture(), "image": picture()},
        {"image": picture(), "imageUrl": "https://a.b/c"},
    ):
        answer = await local.ask("POST", GENERATE, data=form(**fields))
        assert "one image only" in problem(answer, 400)


async def test_a_file_that_is_no_image(local: House) -> None:
    problem(await local.ask("POST", GENERATE, data=form(imageFile=b"<svg/>")), 400)
    large = aiohttp.FormData()
    large.add_field("imageFile", io.BytesIO(bytes((10 << 20) + 1)), filename="x.jpg")
    answer = await local.ask("POST", GENERATE, data=large)
    assert answer.status == 413
    assert "larger than 10 MiB" in problem(answer, 413)
    assert list(local.settings.images.dir.glob("*.jpg")) == []


async def test_nothing_is_kept_of_an_order_that_cannot_be_met(local: House) -> None:
    answer = await local.ask("POST", GENERATE, data=form(imageFile=picture(), model="gen-5"))
    problem(answer, 400)
    assert list(local.settings.images.dir.glob("*.jpg")) == []


@pytest.mark.parametrize("how", [{"json": EXAMPLE}, {"data": b"prompt=A+lamp"}])
async def test_a_repeated_order_with_a_key_is_one_order(local: House, how: dict[str, Any]) -> None:
    kind = {} if "json" in how else {"Content-Type": "application/x-www-form-urlencoded"}
    keyed = {**how, "headers": {HEADER: "press-1", **kind}}
    first = await local.ask("POST", GENERATE, **keyed)
    again = await local.ask("POST", GENERATE, **keyed)
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert again.headers[REPLAYED] == "true"
    other = await local.post(GENERATE, {"prompt": "A chair"}, headers={HEADER: "press-1"})
    assert "use a new one" in problem(other, 400)
    assert (await local.get(LIST)).json["total"] == 1


async def test_a_key_outlives_a_crash_before_the_answer(tmp_path: Path) -> None:
    """The job is found by its key; its image is not asked for again."""
    settings, how = settings_for(tmp_path), {"headers": {HEADER: "press-1"}}
    async with open_house(settings) as house:
        first = await house.post(GENERATE, EXAMPLE, **how)
        database = database_of(house)
        await asyncio.to_thread(_forget_answers, database.path)
    async with open_house(settings) as house:
        again = await house.post(GENERATE, EXAMPLE, **how)
        assert (again.status, again.json["videoId"]) == (200, first.json["videoId"])
        assert (await house.get(LIST)).json["total"] == 1


def _forget_answers(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE requests SET status = NULL, body = NULL")


async def test_terms_are_those_of_the_gallery(tmp_path: Path, wire: RunwareServer) -> None:
    terms = {"gallery": {"currency": "tokens", "price": 5, "running": 1, "waiting": 0}}
    layer = {"terms": terms, "credits": {"opening_tokens": 5}}
    wire.script("lamp", Script(fail_code="providerError"))
    wire.script("chair", Script(hold=True))
    async with open_house(settings_for(tmp_path, runware_layer(wire), layer)) as house:
        failed, _ = await ordered(house, {"prompt": "A lamp"})
        await over(house, failed)
        video_id, _ = await ordered(house, {"prompt": "A chair"})  # the first one's price has come back
        full = await house.post(GENERATE, {"prompt": "A table"})
        assert problem(full, 429)
        assert int(full.headers["Retry-After"]) > 0
        await reached(house, video_id, lambda it: it.scenes[0].stage.value == "sent")
        wire.release()
        await over(house, video_id)
        poor = await house.post(GENERATE, {"prompt": "A table"})
        assert "Insufficient tokens" in problem(poor, 402)


# ---------------------------------------------------------------------- lookups


async def test_either_id_suffices(local: House) -> None:
    video_id, task_id = await ordered(local)
    await over(local, video_id)
    answers = [
        await asked(local, video_id, task_id),
        await asked(local, video_id),
        await asked(local, task_id=task_id),
        await asked(local, video_id.upper(), task_id.upper()),
    ]
    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].json["status"] == "SUCCEEDED"


async def test_ids_that_do_not_belong_together(local: House) -> None:
    (one, task), (other, other_task) = await ordered(local), await ordered(local)
    wrong: list[tuple[str | None, str | None]] = [
        (one, other_task),
        (other, task),
        (task, one),
        (one, new_id()),
        (new_id(), task),
        (new_id(), None),
        (task, None),
        (None, new_id()),
        (None, one),
    ]
    for ids in wrong:
        assert (await asked(local, *ids)).json == NOT_FOUND
        assert problem(await asked(local, *ids), 404) == "Video record not found"


async def test_ids_that_are_none(local: House) -> None:
    assert problem(await local.get(GENERATE), 400) == "Give videoId or taskId"
    assert problem(await local.get(GENERATE, params={"videoId": "", "taskId": ""}), 400)
    video_id, task_id = await ordered(local)
    for bad in ("x", video_id[:-1], video_id + "0", f"{{{video_id}}}", video_id.replace("-", ""), "é" * 36):
        assert "videoId must be a UUID" in problem(await asked(local, bad, task_id), 400)
        assert "taskId must be a UUID" in problem(await asked(local, video_id, bad), 400)
    twice = await local.get(f"{GENERATE}?videoId={video_id}&videoId={video_id}")
    assert "more than once" in problem(twice, 400)
    assert (await local.get(GENERATE, params={"videoId": video_id, "_": "17"})).status == 200


async def test_scenes_of_other_jobs_are_videos_too(local: House) -> None:
    job_id = await local.generate(await local.session({"problem": "[[fail]]"}))
    snapshot = await over(local, job_id)
    whole = await asked(local, job_id, snapshot.scenes[2].task_id)
    assert whole.json["status"] == "SUCCEEDED"
    assert whole.json["errorMessage"].startswith("problem: ")
    for scene in snapshot.scenes:
        expected = "FAILED" if scene.name == "problem" else "SUCCEEDED"
        for ids in ((scene.id,), (scene.id, scene.task_id), (None, scene.task_id)):
            answer = await asked(local, *ids)
            assert answer.json["status"] == expected
        url = answer.json["videoUrl"]
        assert url == (f"{local.address}/outputs/{scene.file}" if scene.file else None)
    first, second = snapshot.scenes[:2]
    assert (await asked(local, first.id, second.task_id)).json == NOT_FOUND


async def retried(house: House, wire: RunwareServer) -> tuple[str, str, str]:
    """A video whose first task the provider has ended: its id, the first task, the present one."""
    wire.script("lamp", Script(fail_code="internalServerError"), Script(hold=True))
    video_id, first = await ordered(house)
    snapshot = await reached(
        house, video_id, lambda it: it.scenes[0].tries == 2 and it.scenes[0].stage.value == "sent"
    )
    return video_id, first, snapshot.scenes[0].task_id


async def test_a_retry_does_not_lose_those_who_ask_for_the_first_task(
    tmp_path: Path, wire: RunwareServer
) -> None:
    settings = settings_for(tmp_path, runware_layer(wire), {"retries": {"pause_seconds": 0.01}})
    async with open_house(settings) as house:
        video_id, first, second = await retried(house, wire)
        assert first != second
        for ids in ((video_id, first), (video_id, second), (None, second), (video_id,)):
            assert (await asked(house, *ids)).json["status"] == "PROCESSING"
        with statements(house) as seen:
            assert (await asked(house, video_id, first)).status == 200
            assert (await asked(house, None, first)).status == 200
        assert seen == [], "where the task belongs is known by now"
        other, other_task = await ordered(house, {"prompt": "A chair"})
        assert (await asked(house, other, first)).json == NOT_FOUND
        assert (await asked(house, video_id, other_task)).json == NOT_FOUND
        wire.release()
        await over(house, video_id)
        await over(house, other)
    async with open_house(settings) as house:
        assert (await asked(house, video_id, first)).json["status"] == "SUCCEEDED"
        events = await house.service.studio.events(video_id, 0)
        assert [event.data["ended_task"] for event in events if event.kind is EventKind.RETRIED] == [first]


# ---------------------------------------------------------------------- polls


async def test_polls_ask_no_database(local: House) -> None:
    video_id, task_id = await ordered(local)
    await over(local, video_id)
    job_id = await local.generate(await local.session())
    scene = (await over(local, job_id)).scenes[0]
    ways: list[tuple[str | None, str | None]] = [
        (video_id, task_id),
        (video_id, None),
        (None, task_id),
        (job_id, scene.task_id),
        (scene.id, scene.task_id),
        (None, scene.task_id),
    ]
    for ids in ways:
        assert (await asked(local, *ids)).status == 200
    with statements(local) as seen:
        for ids in ways:
            assert (await asked(local, *ids)).status == 200
    assert seen == []


async def test_nothing_new_is_304(local: House) -> None:
    video_id, task_id = await ordered(local)
    await over(local, video_id)
    first = await asked(local, video_id, task_id)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (tag, f"W/{tag}", f'"a", {tag}', "*"):
        again = await asked(local, video_id, task_id, headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    other = await asked(local, video_id, task_id, headers={"If-None-Match": '"other"'})
    assert (other.status, other.body) == (200, first.body)
    head = await local.ask("HEAD", GENERATE, params={"videoId": video_id})
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", tag)


async def test_the_tag_changes_with_the_status(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True, progress=True))
    video_id, task_id = await ordered(paid)
    await reached(paid, video_id, lambda it: it.scenes[0].progress == 30)
    tags, shown = [], []
    for percent, reaches in ((0, 30), (40, 45), (80, 60)):
        wire.report_progress("lamp", percent)
        await reached(paid, video_id, lambda it, at=reaches: it.scenes[0].progress == at)  # type: ignore[misc]
        answer = await asked(paid, video_id, task_id)
        tags.append(answer.headers["ETag"])
        shown.append(answer.json["progress"])
    assert shown == [30, 45, 60]
    wire.release()
    await over(paid, video_id)
    assert len({*tags, (await asked(paid, video_id, task_id)).headers["ETag"]}) == 4


async def test_a_polling_client_is_not_throttled(local: House) -> None:
    """At the documented pace, a job of two to three minutes is 60 polls; here they come all at once."""
    video_id, task_id = await ordered(local, {"prompt": "A lamp [[slow 20s]]"})
    answers = await asyncio.gather(*(asked(local, video_id, task_id) for _ in range(60)))
    assert {answer.status for answer in answers} == {200}
    await local.post(f"/api/videos/cancel/{video_id}", {})


async def test_videos_do_not_take_turns_from_each_other(local: House) -> None:
    """One client watches many at the documented pace: more than it may ask about any one of them."""
    answers = await asyncio.gather(*(asked(local, new_id()) for _ in range(150)))
    assert {answer.status for answer in answers} == {404}


async def test_addresses_are_told_as_the_client_knows_the_server(local: House) -> None:
    video_id, _ = await ordered(local)
    await over(local, video_id)
    by_number = (await asked(local, video_id)).json["videoUrl"]
    by_name = (await asked(local, video_id, headers={"Host": "localhost:17"})).json["videoUrl"]
    assert by_number.startswith(local.address + "/outputs/")
    assert by_name.startswith("http://localhost:17/outputs/")
    film = await local.get(by_number)
    assert (film.status, film.body[4:8]) == (200, b"ftyp")


# ---------------------------------------------------------------------- many at once


async def test_many_videos_are_asked_for_side_by_side(local: House) -> None:
    made = [await ordered(local) for _ in range(8)]
    for video_id, _ in made:
        await over(local, video_id)
    answers = await asyncio.gather(*(asked(local, *ids) for ids in made))
    assert {answer.json["status"] for answer in answers} == {"SUCCEEDED"}


async def test_many_videos_in_one_question(local: House) -> None:
    (one, task), (other, other_task) = await ordered(local), await ordered(local, {"prompt": "[[fail]] lamp"})
    await over(local, one)
    await over(local, other)
    unknown = new_id()
    wanted = [
        {"videoId": one, "taskId": task},
        {"videoId": other},
        {"taskId": other_task},
        {"videoId": unknown},
        {"videoId": one, "taskId": other_task},
        {"videoId": "x"},
        {},
    ]
    answer = await local.post(STATUSES, {"videos": wanted})
    assert answer.status == 200
    assert list(answer.json) == ["success", "videos"]
    said = answer.json["videos"]
    assert list(said[0]) == [
        "videoId", "taskId", "success", "status", "videoUrl", "progress", "errorMessage"
    ]  # fmt: skip
    assert {**said[0], **(await asked(local, one)).json} == said[0]
    assert (said[0]["videoId"], said[0]["taskId"]) == (one, task)
    assert said[1] == said[2]
    assert (said[1]["videoId"], said[1]["taskId"], said[1]["status"]) == (other, other_task, "FAILED")
    assert said[3] == {"videoId": unknown, "taskId": None, **NOT_FOUND}
    assert said[4] == {"videoId": one, "taskId": other_task, **NOT_FOUND}
    assert [(it["success"], it["status"]) for it in said[5:]] == [(False, 400)] * 2


@pytest.mark.parametrize(
    "body",
    [{}, {"videos": []}, {"videos": [{}] * 101}, {"videos": [{"id": "x"}]}, {"videos": "x"}, []],
    ids=["empty", "none", "too many", "unknown field", "no list", "no object"],
)
async def test_questions_that_are_none(local: House, body: Any) -> None:
    problem(await local.post(STATUSES, body), 400)
    problem(await local.ask("POST", STATUSES, data=b"{}", headers={"Content-Type": "text/plain"}), 415)


# ---------------------------------------------------------------------- whose


async def test_without_credentials_nothing(known: House) -> None:
    video_id, task_id = await ordered(known, headers=ANN)
    stale = {"Cookie": f"sb-access-token={token('ann', exp=1)}"}
    for who in ({}, stale, {"Authorization": "Bearer nonsense"}):
        for answer in (
            await known.post(GENERATE, EXAMPLE, headers=who),
            await asked(known, video_id, task_id, headers=who),
            await known.post(STATUSES, {"videos": [{"videoId": video_id}]}, headers=who),
            await known.get(LIST, headers=who),
        ):
            assert answer.json == {"success": False, "error": "Authentication required", "status": 401}
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_session_cookie_is_as_good_as_a_token(known: House) -> None:
    cookie = {"Cookie": f"sb-access-token={token('ann')}"}
    video_id, task_id = await ordered(known, headers=cookie)
    assert (await asked(known, video_id, task_id, headers=ANN)).status == 200


async def test_somebody_elses_video_is_not_there(known: House) -> None:
    video_id, task_id = await ordered(known, headers=ANN)
    for ids in ((video_id, task_id), (video_id,), (None, task_id)):
        assert (await asked(known, *ids, headers=ANN)).status == 200
        assert (await asked(known, *ids, headers=BEN)).json == NOT_FOUND
    said = await known.post(STATUSES, {"videos": [{"videoId": video_id}]}, headers=BEN)
    assert said.json["videos"] == [{"videoId": video_id, "taskId": None, **NOT_FOUND}]
    mine, _ = await ordered(known, headers=BEN)
    assert (await asked(known, mine, task_id, headers=BEN)).json == NOT_FOUND


async def test_a_deleted_job_is_not_there(known: House) -> None:
    video_id, task_id = await ordered(known, headers=ANN)
    await over(known, video_id)
    await known.service.studio.delete(video_id)
    for ids in ((video_id, task_id), (video_id,), (None, task_id)):
        assert (await asked(known, *ids, headers=ANN)).json == NOT_FOUND


# ---------------------------------------------------------------------- faults of ours


async def test_what_breaks_inside_is_said_in_the_documents_words(
    local: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = database_of(local)

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret of the inside")

    for name in ("job", "create_job", "gallery"):
        monkeypatch.setattr(store, name, broken)
    status = {"success": False, "error": "Failed to check video status", "status": 500}
    assert (await asked(local, new_id())).json == status
    assert (await local.post(STATUSES, {"videos": [{"videoId": new_id()}]})).json == status
    assert problem(await local.post(GENERATE, EXAMPLE), 500) == "Failed to start video generation"
    assert problem(await local.get(LIST), 500) == "Failed to load the gallery"


async def test_a_database_that_cannot_be_used_is_a_reason_to_come_back(
    local: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("disk is gone")

    for name in ("job", "create_job"):
        monkeypatch.setattr(database_of(local), name, unavailable)
    for answer, sentence in (
        (await asked(local, new_id()), "Failed to check video status"),
        (await local.post(GENERATE, EXAMPLE), "Failed to start video generation"),
    ):
        assert problem(answer, 503) == sentence
        assert int(answer.headers["Retry-After"]) > 0


async def test_other_methods_and_addresses_of_the_contract(local: House) -> None:
    problem(await local.put(GENERATE, {}), 405)
    problem(await local.get("/api/video/nothing"), 404)
    problem(await local.post(LIST, {}), 405)
