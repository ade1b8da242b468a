"""The credit-jobs contract (document 004), promise by promise, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.contracts import credits_replies as replies
from service.contracts.idempotency import HEADER, REPLAYED
from service.fetching import FetchRefused, ImageFetcher
from sessions.clock import utc_now
from sessions.model import SceneState, Stage
from tests.house import Answer, House, open_house, runware_layer, settings_for
from tests.service.contracts.credits_kit import (
    IMAGE,
    PROMPT,
    charged,
    contract,
    dust,
    fits,
    jobs_on_record,
    made,
    ordered,
    over,
    refused,
)
from tests.service.contracts.kit import raw, reached
from tests.service.contracts.test_status_poll import statements
from tests.wire.runware_server import RunwareServer, Script

#: the least that can be asked for
BODIES = {"generate": {"prompt": PROMPT}, "animate": {"image_url": IMAGE}}


def a_picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (160, 90), "navy").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that were fetched; there is a picture at each."""
    addresses: list[str] = []

    async def fetch(_self: ImageFetcher, url: str) -> bytes:
        addresses.append(url)
        return a_picture()

    monkeypatch.setattr(ImageFetcher, "fetch", fetch)
    return addresses


async def held(house: House, wire: RunwareServer, prompt: str = PROMPT, **more: Any) -> str:
    """A job that the provider works on."""
    wire.script(prompt, Script(hold=True))
    job_id = await ordered(house, prompt, **more)
    await reached(house, job_id, lambda it: it.scenes[0].stage is Stage.SENT)
    return job_id


async def status(house: House, job_id: str) -> Any:
    return fits(await house.get(f"/videos/jobs/{job_id}/status"), replies.CreditsStatus)


async def result(house: House, job_id: str) -> Answer:
    return await house.get(f"/videos/jobs/{job_id}/result")


# ---------------------------------------------------------------------- orders (S4-01 to S4-04, D1 to D3)


@pytest.mark.parametrize(("path", "seconds"), [("generate", 240), ("animate", 180)])
async def test_an_order_is_accepted_at_once(
    paid: House, wire: RunwareServer, fetched: list[str], path: str, seconds: int
) -> None:
    wire.script_default(Script(hold=True))
    answer = await paid.post(f"/videos/{path}", BODIES[path])
    job_id = answer.json["job_id"]
    assert answer.status == 202
    assert answer.json == {
        "success": True,
        "job_id": job_id,
        "status": "queued",
        "estimated_completion_seconds": seconds,
        "message": "Video generation started. Use the job_id to check status.",
    }
    assert answer.headers["Location"] == f"/videos/jobs/{job_id}/status"
    assert fetched == ([IMAGE] if path == "animate" else [])


@pytest.mark.parametrize(
    "sent_as", ["text/plain;charset=UTF-8", "application/json", "application/octet-stream", None]
)
async def test_json_is_read_whatever_it_is_called(paid: House, sent_as: str | None) -> None:
    headers = {"Content_Type": sent_as} if sent_as else {}
    answer = await raw(paid, "POST", "/videos/generate", b'{"prompt": "A lamp"}', **headers)
    assert answer.status == 202


async def test_what_was_asked_for_is_what_is_made(paid: House, wire: RunwareServer) -> None:
    job_id = await made(
        paid,
        duration="medium",
        resolution="hd_720p",
        aspect_ratio="9:16",
        camera_fixed=True,
        reference_person={"person_id": "p-1", "relationship": "mother"},
        user_id="ann",
    )
    sent = wire.submits[0]
    assert (sent["duration"], sent["width"], sent["height"]) == (10, 720, 1280)
    assert sent["positivePrompt"] == f"{PROMPT}\nThe camera is fixed and does not move."
    video = fits(await result(paid, job_id), replies.CreditsResult)["video"]
    assert video["prompt"] == PROMPT
    assert (video["resolution"], video["aspect_ratio"], video["user_id"]) == ("hd_720p", "9:16", "ann")
    assert video["reference_person"] == {"person_id": "p-1", "relationship": "mother"}
    assert video["metadata"]["camera_fixed"] is True
    assert (video["generation_type"], video["source_image_url"]) == ("text_to_video", None)


@pytest.mark.parametrize(("duration", "seconds"), [(None, 5), ("short", 5), ("medium", 10), ("long", 15)])
async def test_durations(paid: House, wire: RunwareServer, duration: str | None, seconds: int) -> None:
    asked: dict[str, Any] = {"duration": duration} if duration else {}
    await made(paid, **asked)
    assert wire.submits[0]["duration"] == seconds


async def test_an_image_is_animated(paid: House, wire: RunwareServer, fetched: list[str]) -> None:
    answer = await paid.post("/videos/animate", {"image_url": IMAGE})
    await over(paid, answer.json["job_id"])
    assert fetched == [IMAGE]
    sent = wire.submits[0]
    assert "gentle" in sent["positivePrompt"]
    assert str(sent.get("inputs", sent)).count("data:image") == 1
    video = fits(await result(paid, answer.json["job_id"]), replies.CreditsResult)["video"]
    assert (video["generation_type"], video["source_image_url"]) == ("image_to_video", IMAGE)
    assert charged(paid, answer.json["job_id"]) == ["hold", "capture"]
    assert await dust(paid) == (10_000 - 8, 0)


async def test_previews_need_no_pixels(local: House, fetched: list[str]) -> None:
    answer = await local.post("/videos/animate", {"image_url": IMAGE, "prompt": "It turns"})
    await over(local, answer.json["job_id"])
    assert fetched == []
    video = fits(await result(local, answer.json["job_id"]), replies.CreditsResult)["video"]
    assert (video["prompt"], video["source_image_url"]) == ("It turns", IMAGE)
    assert video["metadata"]["provider"] == "local"


async def test_an_image_that_cannot_be_had_costs_nothing(
    paid: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(_self: ImageFetcher, _url: str) -> bytes:
        raise FetchRefused("The image's address answers 404")

    monkeypatch.setattr(ImageFetcher, "fetch", fetch)
    error = refused(await paid.post("/videos/animate", {"image_url": IMAGE}), 400)
    assert error["code"] == "bad_image_address"
    assert jobs_on_record(paid) == 0
    assert await dust(paid) == (10_000, 0)


async def test_the_same_key_orders_once(paid: House, wire: RunwareServer, fetched: list[str]) -> None:
    for path, body in BODIES.items():
        how = {"headers": {HEADER: f"press-{path}"}}
        first = await paid.post(f"/videos/{path}", body, **how)
        again = await paid.post(f"/videos/{path}", body, **how)
        assert (first.status, again.status) == (202, 202)
        assert again.json == first.json
        assert REPLAYED not in first.headers
        assert again.headers[REPLAYED] == "true"
        await over(paid, first.json["job_id"])
    assert fetched == [IMAGE], "a repeated order fetches nothing"
    assert len(wire.charges) == 2
    assert await dust(paid) == (10_000 - 18, 0)


# ---------------------------------------------------------------------- status (S4-05, S4-06, S4-12, D4)


async def test_a_job_that_is_made(paid: House, wire: RunwareServer) -> None:
    job_id = await held(paid, wire)
    body = await status(paid, job_id)
    assert (body["success"], body["job_id"], body["status"]) == (True, job_id, "processing")
    assert (body["progress"], body["progress_percent"]) == (0.3, 30)
    assert body["generation_info"]["current_step"] == "Generating video"
    assert 0 < body["generation_info"]["estimated_remaining_seconds"] <= 240
    assert body["error"] is None
    wire.release()
    await over(paid, job_id)
    body = await status(paid, job_id)
    assert (body["status"], body["progress"]) == ("completed", 1.0)
    assert body["generation_info"] == {"current_step": "Completed", "estimated_remaining_seconds": 0}


async def test_a_job_that_fails(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(fail_code="invalidProviderContent", fail_message="The prompt was refused."))
    job_id = await made(paid)
    body = await status(paid, job_id)
    assert (body["status"], body["progress"]) == ("failed", 0.3)
    assert body["error"]
    failed = fits(await result(paid, job_id), replies.CreditsFailed)
    assert failed == {"success": False, "job_id": job_id, "status": "failed", "error": body["error"]}


async def test_a_result_that_is_not_ready(paid: House, wire: RunwareServer) -> None:
    job_id = await held(paid, wire)
    answer = await result(paid, job_id)
    assert (answer.status, answer.json) == (
        200,
        {
            "success": True,
            "job_id": job_id,
            "status": "processing",
            "message": "Video generation still in progress",
        },
    )


async def test_an_unchanged_status_is_304(paid: House) -> None:
    job_id = await made(paid)
    path = f"/videos/jobs/{job_id}/status"
    first = await paid.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (first.headers["ETag"], f"W/{first.headers['ETag']}", "*", f'"x", {first.headers["ETag"]}'):
        again = await paid.get(path, headers={"If-None-Match": known})
        assert (again.status, again.body) == (304, b"")
    assert (await paid.get(path, headers={"If-None-Match": '"other"'})).status == 200
    head = await paid.ask("HEAD", path)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", first.headers["ETag"])


async def test_a_poll_asks_no_database(paid: House, wire: RunwareServer) -> None:
    job_id = await held(paid, wire)
    with statements(paid) as seen:
        for _ in range(20):
            assert (await paid.get(f"/videos/jobs/{job_id}/status")).status == 200
    assert seen == []


async def test_remaining_time_is_told_in_steps_and_never_below_nothing(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await held(paid, wire)
    job = paid.service.live.get(job_id)
    assert job is not None
    begun, told = job.snapshot.job.created_at, []
    for seconds in (0.0, 1.0, 4.9, 5.1, 239.0, 240.0, 10_000.0):
        monkeypatch.setattr(contract(paid), "_now", lambda at=seconds: begun + timedelta(seconds=at))
        job._rendered.clear()
        told.append((await status(paid, job_id))["generation_info"]["estimated_remaining_seconds"])
    assert told == [240, 240, 240, 235, 5, 0, 0]


# ---------------------------------------------------------------------- results (S4-07, S4-15, D5, D6, D13)


async def test_the_result_has_the_video(paid: House, film: bytes) -> None:
    job_id = await made(paid)
    body = fits(await result(paid, job_id), replies.CreditsResult)
    assert set(body) == {"success", "job_id", "status", "video", "generation_info"}
    video = body["video"]
    assert video["url"].startswith(f"{paid.address}/outputs/{job_id}_clip_")
    assert (await paid.get(video["url"])).body == film
    assert video["id"] != job_id
    assert (video["thumbnail_url"], video["is_favorited"]) == (None, False)
    assert (video["resolution"], video["aspect_ratio"]) == ("sd_480p", "16:9"), "of the test's small film"
    assert body["generation_info"]["model_used"] == "klingai:kling-video@3-standard"
    assert body["generation_info"]["generation_time_ms"] >= 0


async def test_results_expire_and_videos_do_not(paid: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await made(paid)
    video_id = (await result(paid, job_id)).json["video"]["id"]
    tag = (await paid.get(f"/videos/jobs/{job_id}/status")).headers["ETag"]
    job = paid.service.live.get(job_id)
    assert job is not None
    end = job.snapshot.job.finished_at
    assert end is not None
    for later, expected in ((timedelta(hours=24) - timedelta(seconds=1), 200), (timedelta(hours=24), 404)):
        monkeypatch.setattr(contract(paid), "_now", lambda at=end + later: at)
        for what in ("status", "result"):
            assert (await paid.get(f"/videos/jobs/{job_id}/{what}")).status == expected
    error = refused(await result(paid, job_id), 404)
    assert "expired" in error["error"]
    refused(await paid.get(f"/videos/jobs/{job_id}/status", headers={"If-None-Match": tag}), 404)
    refused(await paid.ask("DELETE", f"/videos/jobs/{job_id}"), 404)
    assert (await paid.get(f"/videos/{video_id}")).status == 200
    assert (await paid.get("/videos")).json["pagination"]["total"] == 1


async def test_failures_expire_too(local: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await made(local, "[[fail]] A lamp")
    monkeypatch.setattr(contract(local), "_now", lambda: utc_now() + timedelta(hours=25))
    refused(await result(local, job_id), 404)


async def test_a_job_under_way_never_expires(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await held(paid, wire)
    monkeypatch.setattr(contract(paid), "_now", lambda: utc_now() + timedelta(days=3))
    assert (await status(paid, job_id))["status"] == "processing"


async def test_jobs_of_other_contracts_are_read_here_under_their_own_terms(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.script_default(Script())
    wire.script("A calm hook shot of the lamp", Script(fail_code="invalidProviderContent"))
    session_id = await paid.session()
    job_id = await paid.generate(session_id)
    await over(paid, job_id)
    body = await status(paid, job_id)
    assert (body["status"], body["metadata"], body["progress"]) == ("completed", {"partial": True}, 1.0)
    monkeypatch.setattr(contract(paid), "_now", lambda: utc_now() + timedelta(days=3))
    found = fits(await result(paid, job_id), replies.CreditsResult)
    assert [it["prompt"] for it in found["videos"]] == [
        f"A calm {name} shot of the lamp" for name in ("problem", "solution", "cta")
    ]
    assert found["video"] == found["videos"][0]
    assert found["video"]["metadata"]["partial"] is True
    assert (await paid.get(f"/videos/{found['video']['id']}")).status == 200


# ---------------------------------------------------------------------- cancel (S4-08, S4-17, D7)


async def test_a_job_in_the_queue_is_cancelled_for_free(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    settings = settings_for(tmp_path, runware_layer(wire), {"limits": {"slots": 1}})
    async with open_house(settings) as house:
        first = await ordered(house, "One")
        await wire.wait_for_charges(1)
        second = await ordered(house, "Two")
        assert (await status(house, second))["status"] == "queued"
        assert await dust(house) == (10_000 - 20, 10)
        answer = fits(await house.ask("DELETE", f"/videos/jobs/{second}"), replies.CreditsCancelled)
        assert answer == {
            "success": True,
            "job_id": second,
            "status": "cancelled",
            "message": "Job cancelled. Nothing had been sent to the provider: "
            "its price in DUST is back on your account",
        }
        assert (await status(house, second))["status"] == "cancelled"
        gone = fits(await result(house, second), replies.CreditsFailed)
        assert (gone["status"], gone["error"]) == ("cancelled", "Cancelled by user")
        assert charged(house, second) == ["hold", "release"]
        wire.release()
        await over(house, first)
        assert await dust(house) == (10_000 - 10, 0)
    assert len(wire.charges) == 1


async def test_a_running_job_is_cancelled_and_its_video_kept(paid: House, wire: RunwareServer) -> None:
    job_id = await held(paid, wire)
    answer = await paid.ask("DELETE", f"/videos/jobs/{job_id}")
    assert "comes back only if none does" in fits(answer, replies.CreditsCancelled)["message"]
    assert (await status(paid, job_id))["status"] == "cancelled"
    assert (await result(paid, job_id)).json["error"] == "Cancelled by user"
    refused(await paid.ask("DELETE", f"/videos/jobs/{job_id}"), 409)
    wire.release()
    await over(paid, job_id)
    assert "kept among the videos" in (await result(paid, job_id)).json["error"]
    assert (await paid.get(f"/videos/{job_id}")).status == 200
    assert charged(paid, job_id) == ["hold", "capture"]
    assert await dust(paid) == (10_000 - 10, 0)


async def test_what_is_over_cannot_be_cancelled(paid: House) -> None:
    job_id = await made(paid)
    error = refused(await paid.ask("DELETE", f"/videos/jobs/{job_id}"), 409)
    assert (error["code"], error["job_id"]) == ("conflict", job_id)


# ---------------------------------------------------------------------- active, stats (S4-09, S4-10, D8, D9)


async def test_active_jobs(paid: House, wire: RunwareServer, fetched: list[str]) -> None:
    await made(paid, user_id="ann")
    hers = await held(paid, wire, "Hers", user_id="ann")
    his = await held(paid, wire, "His", user_id="ben")
    everybodys = fits(await paid.get("/videos/jobs/active"), replies.CreditsActive)
    assert [job["job_id"] for job in everybodys["active_jobs"]] == [his, hers]
    only = fits(await paid.get("/videos/jobs/active?user_id=ann"), replies.CreditsActive)
    (line,) = only["active_jobs"]
    assert only["count"] == 1
    assert (line["job_id"], line["status"], line["generation_type"]) == (hers, "processing", "text_to_video")
    assert line["estimated_completion_seconds"] == 240
    assert (await paid.get("/videos/jobs/active?user_id=cyd")).json == {
        "success": True,
        "active_jobs": [],
        "count": 0,
    }


async def test_stats(paid: House, wire: RunwareServer) -> None:
    fresh = fits(await paid.get("/videos/stats"), replies.CreditsStats)
    assert fresh == {
        "is_running": True,
        "jobs_processed": 0,
        "jobs_queued": 0,
        "jobs_in_progress": 0,
        "last_job_completed_at": None,
        "average_processing_time_seconds": None,
    }
    await made(paid, "One")
    wire.script("Two", Script(fail_code="invalidProviderContent"))
    await made(paid, "Two")
    await held(paid, wire, "Three")
    now = fits(await paid.get("/videos/stats"), replies.CreditsStats)
    assert (now["jobs_processed"], now["jobs_queued"], now["jobs_in_progress"]) == (2, 0, 1)
    assert now["last_job_completed_at"]
    assert now["average_processing_time_seconds"] >= 0
    paid.service.live.stop()
    assert (await paid.get("/videos/stats")).json["is_running"] is False


# ---------------------------------------------------------------------- videos (S4-11, D10)


async def test_videos_in_pages(paid: House, fetched: list[str]) -> None:
    words = [await made(paid, f"Number {number}", user_id="ann") for number in range(2)]
    image = (await paid.post("/videos/animate", {"image_url": IMAGE, "user_id": "ann"})).json["job_id"]
    await over(paid, image)
    await made(paid, "His", user_id="ben")
    newest_first = [image, *reversed(words)]

    async def listed(query: str) -> tuple[list[str], Any]:
        body = fits(await paid.get(f"/videos?user_id=ann{query}"), replies.CreditsVideos)
        return [video["metadata"]["job_id"] for video in body["videos"]], body["pagination"]

    assert await listed("") == (newest_first, {"total": 3, "limit": 20, "offset": 0, "has_more": False})
    assert await listed("&limit=1") == (
        newest_first[:1],
        {"total": 3, "limit": 1, "offset": 0, "has_more": True},
    )
    assert await listed("&limit=2&offset=1") == (
        newest_first[1:],
        {"total": 3, "limit": 2, "offset": 1, "has_more": False},
    )
    assert await listed("&offset=9") == ([], {"total": 3, "limit": 20, "offset": 9, "has_more": False})
    assert (await listed("&generation_type=image_to_video"))[0] == [image]
    assert (await listed("&generation_type=text_to_video"))[0] == newest_first[1:]
    assert (await listed("&favorites_only=true"))[0] == []
    await paid.put(f"/videos/{image}", {"is_favorited": True})
    assert (await listed("&favorites_only=true"))[0] == [image]
    assert (await listed("&favorites_only=false"))[0] == newest_first
    assert (await paid.get("/videos")).json["pagination"]["total"] == 4


async def test_a_video_is_marked(paid: House) -> None:
    job_id = await made(paid)
    before = fits(await paid.get(f"/videos/{job_id}"), replies.CreditsOneVideo)["video"]
    assert fits(await paid.get(f"/videos/{before['id']}"), replies.CreditsOneVideo)["video"] == before
    after = fits(
        await paid.put(f"/videos/{before['id']}", {"is_favorited": True}), replies.CreditsVideoChanged
    )["video"]
    assert after["is_favorited"] is True
    assert after["updated_at"] > before["updated_at"]
    assert {**after, "is_favorited": False, "updated_at": before["updated_at"]} == before
    plain = await raw(paid, "PUT", f"/videos/{job_id}", b'{"is_favorited": false}', Content_Type="text/plain")
    assert plain.json["video"]["is_favorited"] is False


async def test_a_video_is_deleted_with_its_file(paid: House) -> None:
    job_id = await made(paid)
    video = (await paid.get(f"/videos/{job_id}")).json["video"]
    file = paid.settings.outputs.dir / video["url"].rpartition("/")[2]
    assert file.is_file()
    answer = await paid.ask("DELETE", f"/videos/{video['id']}")
    assert fits(answer, replies.CreditsVideoDeleted) == {"success": True, "deleted_from_storage": True}
    assert not file.exists()
    assert (await paid.get(video["url"])).status == 404
    for method, path in (
        ("GET", f"/videos/{video['id']}"),
        ("DELETE", f"/videos/{video['id']}"),
        ("GET", f"/videos/jobs/{job_id}/status"),
        ("GET", f"/videos/jobs/{job_id}/result"),
        ("DELETE", f"/videos/jobs/{job_id}"),
    ):
        refused(await paid.ask(method, path), 404)
    refused(await paid.put(f"/videos/{job_id}", {"is_favorited": True}), 404)
    assert (await paid.get("/videos")).json["pagination"]["total"] == 0
    assert charged(paid, job_id) == ["hold", "capture"], "nothing is given back"


async def test_a_file_whose_deletion_was_cut_short_goes_with_the_next_start(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        job_id = await made(house)
        file = (
            settings.outputs.dir
            / (await house.get(f"/videos/{job_id}")).json["video"]["url"].rpartition("/")[2]
        )
        with monkeypatch.context() as patch:
            patch.setattr("service.storage.outputs.Outputs.remove", lambda _self, _name: None)
            await house.ask("DELETE", f"/videos/{job_id}")
        assert file.is_file()
        assert (await house.get(f"/outputs/{file.name}")).status in (200, 404)
    async with open_house(settings) as house:
        assert not file.exists()
        refused(await house.get(f"/videos/{job_id}"), 404)


async def test_a_video_survives_a_restart_and_keeps_its_words(tmp_path: Path, wire: RunwareServer) -> None:
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        job_id = await made(house, reference_person={"person_id": "p"}, aspect_ratio="1:1")
        before = (await house.get(f"/videos/{job_id}")).json["video"]
    async with open_house(settings) as house:
        after = (await house.get(f"/videos/{job_id}")).json["video"]
        assert {**after, "url": ""} == {**before, "url": ""}
        assert (await result(house, job_id)).json["video"] == after
        assert after["reference_person"] == {"person_id": "p", "relationship": None}


@pytest.fixture
async def late(tmp_path: Path, wire: RunwareServer) -> AsyncIterator[House]:
    """A service whose provider is given up on soon."""
    layer = runware_layer(wire, deadline_seconds=0.05, reconcile_pause_seconds=0.02)
    async with open_house(settings_for(tmp_path, layer)) as house:
        yield house
        wire.release()


async def test_a_late_verdict_is_processing(late: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job_id = await ordered(late)
    await reached(late, job_id, lambda it: it.scenes[0].state is SceneState.RECONCILING)
    body = await status(late, job_id)
    assert body["status"] == "processing"
    assert "late" in body["generation_info"]["current_step"]
    wire.release()
    await over(late, job_id)
    assert (await status(late, job_id))["status"] == "completed"


async def test_starting_is_shown_until_the_provider_has_it(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True, ack_delay=30))
    job_id = await ordered(paid)
    await reached(paid, job_id, lambda it: it.scenes[0].stage is Stage.CREATED)
    body = await status(paid, job_id)
    assert (body["status"], body["progress"]) == ("starting", 0.1)
