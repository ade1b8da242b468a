"""Cancelling a job or a scene, and making what a job is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sessions.model import EventKind, SceneState
from tests.house import SCENARIOS, House, open_house, runware_layer, settings_for
from tests.wire.runware_server import FileReply, RunwareServer, Script


async def cancel(house: House, job_id: str, *scenarios: str) -> Any:
    path = f"/api/videos/cancel/{job_id}"
    answer = await (house.post(path, {"scenarios": scenarios}) if scenarios else house.ask("POST", path))
    assert answer.status == 200, answer.json
    return answer.json


async def all_sent(house: House, job_id: str) -> None:
    async with asyncio.timeout(20):
        await house.service.live.until(job_id, lambda job: all(it.progress >= 30 for it in job.scenes))


async def settled(house: House, job_id: str) -> Any:
    """The status once nothing is owed any more."""
    async with asyncio.timeout(20):
        await house.service.live.until(job_id, lambda job: all(it.settled for it in job.scenes))
    return await house.status(job_id)


async def session_of(house: House, job_id: str) -> Any:
    session_id = (await house.status(job_id))["session_id"]
    return (await house.get(f"/api/session/{session_id}")).json


# ---------------------------------------------------------------------- cancel


async def test_what_waits_for_a_slot_is_cancelled_at_once_and_for_free(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script_default(Script(hold=True))
    settings = settings_for(tmp_path, runware_layer(wire), {"limits": {"slots": 1}})
    async with open_house(settings) as house:
        job_id = await house.generate(await house.session())
        await wire.wait_for_charges(1)
        async with asyncio.timeout(20):
            await house.service.live.until(job_id, lambda job: any(it.progress >= 30 for it in job.scenes))
        answer = await cancel(house, job_id)
        assert sorted(answer["cancelled"]) == sorted(SCENARIOS)
        assert len(answer["still_billed"]) == 1
        assert answer["overall_status"] == "failed"
        status = await house.status(job_id)
        assert {scene["error"] for scene in status["scenes"]} == {"cancelled"}
        wire.release()
        await settled(house, job_id)
        assert len(wire.charges) == 1


async def test_what_was_sent_goes_on_and_its_video_is_kept(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    await all_sent(paid, job_id)
    answer = await cancel(paid, job_id, "hook", "cta")
    assert sorted(answer["still_billed"]) == ["cta", "hook"]
    assert "bills" in answer["message"]
    status = await paid.status(job_id)
    by_name = {scene["scenario"]: scene for scene in status["scenes"]}
    assert status["overall_status"] == "generating"
    assert by_name["hook"]["status"] == "failed"
    assert "bills" in by_name["hook"]["note"]
    wire.release()
    status = await settled(paid, job_id)
    assert status["overall_status"] == "partial"
    session = await session_of(paid, job_id)
    late = {take["scenario"]: take["late"] for take in session["takes"]}
    assert late == {"hook": True, "problem": False, "solution": False, "cta": True}
    for video in session["scene_videos"]:
        assert (await paid.get(video["video_url"])).status == 200
    assert len(wire.charges) == 4


async def test_a_late_video_does_not_take_the_place_of_one_that_is_wanted(
    paid: House, wire: RunwareServer
) -> None:
    session_id = await paid.session()
    await paid.finished(await paid.generate(session_id))
    wanted = (await paid.get(f"/api/session/{session_id}")).json["scene_videos"][0]["video_url"]
    wire.script_default(Script(hold=True))
    again = await paid.post(
        "/api/videos/regenerate-scene",
        {"session_id": session_id, "scenario": "hook"},
        headers={"Prefer": "respond-async"},
    )
    await all_sent(paid, again.json["job_id"])
    await cancel(paid, again.json["job_id"])
    wire.release()
    await settled(paid, again.json["job_id"])
    session = (await paid.get(f"/api/session/{session_id}")).json
    assert session["scene_videos"][0]["video_url"] == wanted
    assert [take["late"] for take in session["takes"] if take["scenario"] == "hook"] == [False, True]


async def test_a_cancelled_scene_can_be_made_anew_while_the_old_one_is_still_owed(
    paid: House, wire: RunwareServer
) -> None:
    wire.script_default(Script(hold=True))
    session_id = await paid.session()
    body = {"session_id": session_id, "scenario": "hook"}
    first = await paid.post("/api/videos/regenerate-scene", body, headers={"Prefer": "respond-async"})
    await all_sent(paid, first.json["job_id"])
    await cancel(paid, first.json["job_id"])
    second = await paid.post("/api/videos/regenerate-scene", body, headers={"Prefer": "respond-async"})
    assert second.json["job_id"] != first.json["job_id"]
    await all_sent(paid, second.json["job_id"])
    wire.release()
    await paid.finished(second.json["job_id"])
    await settled(paid, first.json["job_id"])
    takes = (await paid.get(f"/api/session/{session_id}")).json["takes"]
    assert sorted((take["take"], take["late"]) for take in takes) == [(1, True), (2, False)]
    assert len(wire.charges) == 2


async def test_what_is_owed_is_waited_for_after_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        job_id = await house.generate(await house.session())
        await all_sent(house, job_id)
        await cancel(house, job_id)
    wire.release()
    async with open_house(settings) as house:
        await settled(house, job_id)
        assert len((await session_of(house, job_id))["takes"]) == 4
        assert (await house.status(job_id))["overall_status"] == "failed"
    assert len(wire.charges) == 4


async def test_a_cancelled_task_that_fails_at_the_provider_is_over(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True, fail_code="providerError"))
    job_id = await paid.generate(await paid.session())
    await all_sent(paid, job_id)
    await cancel(paid, job_id)
    wire.release()
    status = await settled(paid, job_id)
    assert {scene["error"] for scene in status["scenes"]} == {"cancelled"}
    events = await paid.service.studio.events(job_id, 0)
    assert sum(event.kind is EventKind.GIVEN_UP for event in events) == 4


async def test_a_cancelled_scene_is_never_sent_again(paid: House, wire: RunwareServer) -> None:
    """The task was lost on its way: what nobody waits for is not ordered anew."""
    wire.script_default(Script(ack_delay=30.0, drop_before_accept=1000))
    job_id = await paid.generate(await paid.session())
    await wire.wait_for_submits(4)
    await cancel(paid, job_id)
    assert wire.charges == []
    snapshot = (await paid.service.studio.job(job_id)).snapshot
    assert {scene.state for scene in snapshot.scenes} == {SceneState.CANCELLED}


async def test_cancelling_twice_or_too_late_is_a_conflict(local: House) -> None:
    job_id = await local.generate(await local.session())
    await local.finished(job_id)
    for _ in range(2):
        answer = await local.ask("POST", f"/api/videos/cancel/{job_id}")
        assert answer.status == 409
        assert answer.json["success"] is False


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"scenarios": []}, 422),
        ({"scenarios": ["nope"]}, 400),
        ({"scenarios": "hook", "more": 1}, 422),
        ({"scenarios": [1]}, 422),
        ([], 422),
    ],
)
async def test_an_order_to_cancel_that_makes_no_sense_is_refused(
    local: House, body: Any, status: int
) -> None:
    job_id = await local.generate(await local.session({"hook": "[[slow 60s]]"}))
    assert (await local.post(f"/api/videos/cancel/{job_id}", body)).status == status
    assert (await local.ask("POST", "/api/videos/cancel/nothing")).status == 404
    await cancel(local, job_id)


async def test_a_job_that_has_lost_a_scene_is_not_joined_for_it(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    session_id = await paid.session()
    job_id = await paid.generate(session_id)
    await all_sent(paid, job_id)
    await cancel(paid, job_id, "hook")
    answer = await paid.post("/api/videos/generate-scenes", {"session_id": session_id})
    assert answer.status == 409
    assert answer.json["detail"]["scenarios"] == ["problem", "solution", "cta"]
    assert "does not make all" in answer.json["error"]
    wire.release()
    await settled(paid, job_id)
    assert len(wire.charges) == 4


async def test_waiting_for_a_scene_that_gets_cancelled_ends(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    body = {"session_id": await paid.session(), "scenario": "hook"}
    waiting = asyncio.create_task(paid.post("/api/videos/regenerate-scene", body))
    await wire.wait_for_charges(1)
    job_id = (await paid.get(f"/api/session/{body['session_id']}")).json["jobs"][0]["job_id"]
    await cancel(paid, job_id)
    answer = await waiting
    assert answer.status == 500
    assert answer.json["detail"]["code"] == "cancelled"


# ---------------------------------------------------------------------- resume


async def test_only_what_is_missing_is_made(paid: House, wire: RunwareServer) -> None:
    wire.script("problem", Script(fail_code="providerError"), Script())
    session_id = await paid.session()
    first = await paid.generate(session_id)
    assert (await paid.finished(first))["overall_status"] == "partial"
    answer = await paid.ask("POST", f"/api/videos/resume/{first}")
    assert answer.status == 200
    assert answer.json["resumed_job_id"] == first
    job = await paid.finished(answer.json["job_id"])
    assert [(scene["scenario"], scene["status"]) for scene in job["scenes"]] == [("problem", "completed")]
    session = (await paid.get(f"/api/session/{session_id}")).json
    assert len(session["scene_videos"]) == 4
    assert len(wire.charges) == 5


async def test_a_video_that_was_paid_for_but_not_fetched_is_only_fetched(
    paid: House, wire: RunwareServer
) -> None:
    files = [FileReply(status=503)]
    wire.script("hook", Script(files=files))
    job_id = await paid.generate(await paid.session())
    job = await paid.finished(job_id)
    assert (job["overall_status"], job["scenes"][0]["error_code"]) == ("partial", "download")
    files[0] = FileReply()
    answer = await paid.ask("POST", f"/api/videos/resume/{job_id}")
    again = await paid.finished(answer.json["job_id"])
    assert again["overall_status"] == "completed"
    assert again["scenes"][0]["cost_usd"] == 0.18
    assert len(wire.charges) == 4


async def test_resuming_a_job_that_misses_nothing_is_a_conflict(local: House) -> None:
    job_id = await local.generate(await local.session())
    await local.finished(job_id)
    assert (await local.ask("POST", f"/api/videos/resume/{job_id}")).status == 409
    assert (await local.ask("POST", "/api/videos/resume/nothing")).status == 404
    assert (await local.post(f"/api/videos/resume/{job_id}", {"scenario": "hook"})).status == 422


async def test_resuming_twice_makes_one_job(paid: House, wire: RunwareServer) -> None:
    wire.script("problem", Script(fail_code="providerError"), Script(hold=True))
    first = await paid.generate(await paid.session())
    await paid.finished(first)
    answers = await asyncio.gather(*(paid.ask("POST", f"/api/videos/resume/{first}") for _ in range(5)))
    assert len({answer.json["job_id"] for answer in answers}) == 1
    await wire.wait_for_charges(5)
    wire.release()
    await paid.finished(answers[0].json["job_id"])
    assert len(wire.charges) == 5


async def test_resuming_what_is_under_way_answers_the_job_itself(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    answer = await paid.ask("POST", f"/api/videos/resume/{job_id}")
    assert (answer.json["job_id"], answer.json["joined"]) == (job_id, True)


async def test_a_cancelled_job_can_be_resumed(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    await all_sent(paid, job_id)
    await cancel(paid, job_id, "hook")
    wire.script_default(Script())
    wire.release()
    await settled(paid, job_id)
    answer = await paid.ask("POST", f"/api/videos/resume/{job_id}")
    assert answer.status == 409, "the cancelled scene's video came after all"
