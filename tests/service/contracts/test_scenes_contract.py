"""Document 002 promise by promise: four scenes of a session, their status, one scene again."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from service.contracts.scenes_views import job_status
from service.contracts.videos import VideoAddresses
from service.outlook import Outlook
from service.providers.base import Running, TaskStatus
from service.providers.runware import RunwareProvider
from sessions.model import SceneState
from tests.house import SCENARIOS, House, open_house, runware_layer, settings_for
from tests.service.contracts.kit import (
    History,
    connect,
    detail,
    pressed,
    problem,
    raw,
    reached,
    scene_state,
    stored,
)
from tests.wire.runware_server import RunwareServer, Script

GENERATE = "/api/videos/generate-scenes"
REGENERATE = "/api/videos/regenerate-scene"
JSON = "application/json"
NOBODY = "00000000-0000-4000-8000-000000000000"
#: the fields that the document shows for a scene
SCENE_FIELDS = ["scenario", "status", "progress", "video_url", "error"]

FAIL = Script(fail_code="providerError", fail_message="the model fell over")
HELD = Script(hold=True)


#: addresses without signatures
PLAIN = VideoAddresses(None, "")


def documented(scene: dict[str, Any]) -> dict[str, Any]:
    return {name: scene[name] for name in SCENE_FIELDS}


def by_name(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {scene["scenario"]: scene for scene in status["scenes"]}


async def videos(house: House, session_id: str) -> dict[str, str]:
    """What the store has in the session now, without asking for any status."""
    taken = (await stored(house, session_id)).videos
    return {take.scenario.value: f"/outputs/{take.file}" for take in taken if take.scenario}


async def all_sent(house: House, job_id: str) -> None:
    await reached(house, job_id, lambda it: all(scene.stage.value == "sent" for scene in it.scenes))


async def made(house: House) -> tuple[str, dict[str, str]]:
    """A session with four finished videos."""
    session_id = await house.session()
    await house.finished(await house.generate(session_id))
    return session_id, await videos(house, session_id)


# ---------------------------------------------------------------------- generate-scenes


async def test_s2_01_s2_02_generation_starts(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    session_id = await paid.session()
    answer = await paid.post(GENERATE, {"session_id": session_id})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(JSON)
    assert list(answer.json)[:3] == ["success", "message", "job_id"]
    assert answer.json["success"] is True
    assert answer.json["message"] == "Video generation started for 4 scenes"
    job_id = answer.json["job_id"]
    assert str(uuid.UUID(job_id)) == job_id
    assert answer.json["status_url"] == f"/api/videos/status/{job_id}"
    assert answer.json["joined"] is False
    assert answer.json["provider"] == "runware"


async def test_s2_03_an_unknown_session_is_refused(paid: House, wire: RunwareServer) -> None:
    error = problem(await paid.post(GENERATE, {"session_id": NOBODY}), 404)
    assert detail(error)["session_id"] == NOBODY
    assert wire.submits == []


async def test_s2_04_missing_descriptions_are_refused_and_named(paid: House, wire: RunwareServer) -> None:
    scenes = {
        "hook": {"description": "A lamp", "approved": True},
        "cta": {"description": "A lamp", "approved": True},
    }
    created = await paid.post("/api/session/create", {"product": "Lamp", "scenes": scenes})
    error = problem(await paid.post(GENERATE, {"session_id": created.json["session_id"]}), 400)
    assert error["error"] == "Scene descriptions missing: problem, solution"
    assert detail(error)["missing"] == ["problem", "solution"]
    empty = await paid.post("/api/session/create", {"product": "Lamp"})
    error = problem(await paid.post(GENERATE, {"session_id": empty.json["session_id"]}), 400)
    assert detail(error)["missing"] == list(SCENARIOS)
    assert wire.submits == []


async def test_s2_05_only_approved_descriptions_are_used(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    await paid.put(f"/api/session/{session_id}/scenes/solution", {"description": "Another lamp"})
    error = problem(await paid.post(GENERATE, {"session_id": session_id}), 400)
    assert detail(error)["unapproved"] == ["solution"]
    assert "solution" in error["error"]
    assert (await paid.get(f"/api/session/{session_id}")).json["jobs"] == []
    assert wire.submits == []


async def test_s2_06_the_answer_waits_for_nothing(paid: House, wire: RunwareServer) -> None:
    """Answered while the provider has not even acknowledged."""
    wire.script_default(Script(hold=True, ack_delay=30))
    async with asyncio.timeout(5):
        job_id = await paid.generate(await paid.session())
    assert (await paid.status(job_id))["overall_status"] == "generating"


# ---------------------------------------------------------------------- status


async def test_s2_07_s2_08_s2_10_a_status_while_generating(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    job_id = await paid.generate(await paid.session())
    await all_sent(paid, job_id)
    status = await paid.status(job_id)
    assert list(status)[:3] == ["job_id", "overall_status", "scenes"]
    assert status["job_id"] == job_id
    assert status["overall_status"] == "generating"
    running = {"status": "generating", "progress": 30, "video_url": None, "error": None}
    assert [documented(scene) for scene in status["scenes"]] == [
        {"scenario": name, **running} for name in SCENARIOS
    ]


async def test_s2_09_a_finished_scene(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    job_id = await paid.generate(await paid.session())
    await all_sent(paid, job_id)
    wire.release("hook")
    await scene_state(paid, job_id, "hook", "succeeded")
    status = await paid.status(job_id)
    url = status["scenes"][0]["video_url"]
    assert documented(status["scenes"][0]) == {
        "scenario": "hook",
        "status": "completed",
        "progress": 100,
        "video_url": url,
        "error": None,
    }
    assert re.fullmatch(r"/outputs/[0-9a-f-]{36}_hook_[0-9a-f]+\.mp4", url)
    assert status["overall_status"] == "generating"


async def test_s2_11_x8_a_scene_has_one_of_three_statuses(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "partial" is for jobs only."""
    wire.script("problem", FAIL)
    history = History(paid, monkeypatch)
    job_id = await paid.generate(await paid.session())
    await paid.finished(job_id)
    rendered = [json.loads(job_status(snapshot, {}, Outlook(), PLAIN)) for snapshot in history.of(job_id)]
    assert len(rendered) > 10
    for status in rendered:
        assert {scene["status"] for scene in status["scenes"]} <= {"generating", "completed", "failed"}
        for scene in status["scenes"]:
            assert (scene["video_url"] is not None) == (scene["status"] == "completed")
            assert (scene["error"] is not None) == (scene["status"] == "failed")
    assert [status["overall_status"] for status in rendered[:-1]] == ["generating"] * (len(rendered) - 1)
    assert rendered[-1]["overall_status"] == "partial"


@pytest.mark.parametrize(
    ("failing", "overall"),
    [
        ((), "completed"),
        (("problem",), "partial"),
        (("hook", "problem", "solution"), "partial"),
        (SCENARIOS, "failed"),
    ],
    ids=["none fails", "one fails", "three fail", "all fail"],
)
async def test_s2_12_to_s2_15_s2_38_overall_status(
    paid: House, wire: RunwareServer, failing: tuple[str, ...], overall: str
) -> None:
    """Generating as long as any scene is; then what became of all."""
    for name in SCENARIOS:
        script = FAIL if name in failing else Script()
        wire.script(name, Script(hold=True, fail_code=script.fail_code, fail_message=script.fail_message))
    job_id = await paid.generate(await paid.session())
    await all_sent(paid, job_id)
    for name in SCENARIOS:
        status = await paid.status(job_id)
        assert status["overall_status"] == "generating"
        assert by_name(status)[name]["status"] == "generating"
        assert status["finished_at"] is None
        wire.release(name)
        await scene_state(paid, job_id, name, "succeeded", "failed")
    status = await paid.finished(job_id)
    assert status["overall_status"] == overall
    assert [scene["status"] for scene in status["scenes"]] == [
        "failed" if name in failing else "completed" for name in SCENARIOS
    ]
    assert status["finished_at"] is not None


async def test_s2_16_an_unknown_job_is_refused(local: House) -> None:
    error = problem(await local.get(f"/api/videos/status/{NOBODY}"), 404)
    assert detail(error)["job_id"] == NOBODY


# ---------------------------------------------------------------------- regenerate-scene


async def test_s2_17_to_s2_20_s2_22_regenerate(paid: House, wire: RunwareServer) -> None:
    """Waits, answers as documented, gives a new URL, keeps the old file and lists it in takes."""
    session_id, before = await made(paid)
    prompts = {charge.params["positivePrompt"] for charge in wire.charges}
    answer = await paid.post(REGENERATE, {"session_id": session_id, "scenario": "hook"})
    assert answer.status == 200
    url = answer.json["video_url"]
    assert list(answer.json)[:4] == ["success", "message", "video_url", "scenario"]
    assert {name: answer.json[name] for name in list(answer.json)[:4]} == {
        "success": True,
        "message": "Video regenerated successfully for hook",
        "video_url": url,
        "scenario": "hook",
    }
    assert len(wire.charges) == 5
    assert wire.charges[-1].params["positivePrompt"] in prompts, "the stored description"
    assert url != before["hook"]
    for each in (url, before["hook"]):
        assert (await paid.get(each)).body == wire.video
    session = (await paid.get(f"/api/session/{session_id}")).json
    assert {video["scenario"]: video["video_url"] for video in session["scene_videos"]} == {
        **before,
        "hook": url,
    }
    takes = [(take["video_url"], take["take"]) for take in session["takes"] if take["scenario"] == "hook"]
    assert takes == [(before["hook"], 1), (url, 2)]


async def test_s2_18_regenerate_waits(paid: House, wire: RunwareServer) -> None:
    session_id, _ = await made(paid)
    wire.script("hook", HELD)
    ask = paid.post(REGENERATE, {"session_id": session_id, "scenario": "hook"})
    async with pressed(ask) as answer:
        await wire.wait_for_charges(5)
        await wire.wait_for_reads(wire.reads + 3)
        assert not answer.done()
        wire.release("hook")
        assert (await answer).status == 200


async def test_s2_21_a_bad_scenario_is_refused(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    error = problem(await paid.post(REGENERATE, {"session_id": session_id, "scenario": "intro"}), 400)
    assert detail(error)["allowed"] == list(SCENARIOS)
    problem(await paid.post(REGENERATE, {"session_id": NOBODY, "scenario": "hook"}), 404)
    assert wire.submits == []


@pytest.mark.parametrize("how", ["header", "header among others", "query", "query true"])
async def test_x10_regenerate_without_waiting(paid: House, wire: RunwareServer, how: str) -> None:
    session_id = await paid.session()
    wire.script_default(HELD)
    headers = {"header": "respond-async", "header among others": "wait=10, Respond-Async"}.get(how)
    query = {"query": "?async=1", "query true": "?async=true"}.get(how, "")
    answer = await paid.post(
        REGENERATE + query,
        {"session_id": session_id, "scenario": "cta"},
        headers={"Prefer": headers} if headers else {},
    )
    assert answer.status == 202
    assert answer.json["success"] is True
    assert answer.json["scenario"] == "cta"
    assert answer.json["status_url"] == f"/api/videos/status/{answer.json['job_id']}"
    assert answer.headers["Location"] == answer.json["status_url"]
    if headers:
        assert answer.headers["Preference-Applied"] == "respond-async"
    status = (await paid.get(answer.json["status_url"])).json
    assert [scene["scenario"] for scene in status["scenes"]] == ["cta"]
    await wire.wait_for_charges(1)
    wire.release()
    assert (await paid.finished(answer.json["job_id"]))["overall_status"] == "completed"
    assert list(await videos(paid, session_id)) == ["cta"]


async def test_x10_preference_applied_is_said_only_if_it_was_asked(paid: House) -> None:
    """RFC 7240, 3: the header names a preference of the request."""
    body = {"session_id": await paid.session(), "scenario": "cta"}
    answer = await paid.post(f"{REGENERATE}?async=1", body)
    assert answer.status == 202
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("how", [{"Prefer": "wait=5"}, {"Prefer": "respond-asynchronously"}, {"Prefer": ""}])
async def test_x10_other_preferences_wait(paid: House, how: dict[str, str]) -> None:
    body = {"session_id": await paid.session(), "scenario": "cta"}
    assert (await paid.post(f"{REGENERATE}?async=0", body, headers=how)).status == 200


async def test_x10_a_client_that_hangs_up_stops_nothing(paid: House, wire: RunwareServer) -> None:
    session_id, before = await made(paid)
    wire.script("hook", HELD)
    body = json.dumps({"session_id": session_id, "scenario": "hook"}).encode()
    head = (
        f"POST {REGENERATE} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {JSON}",
        f"Content-Length: {len(body)}",
    )
    _, writer = await connect(paid, "\r\n".join((*head, "", "")).encode() + body)
    await wire.wait_for_charges(5)
    job_id = (await paid.get(f"/api/session/{session_id}")).json["jobs"][0]["job_id"]
    writer.transport.abort()
    await all_sent(paid, job_id)
    wire.release("hook")
    await paid.finished(job_id)
    after = await videos(paid, session_id)
    assert after["hook"] != before["hook"]
    assert (await paid.get(after["hook"])).body == wire.video
    assert len(wire.charges) == 5


async def test_a_second_press_on_regenerate_joins(paid: House, wire: RunwareServer) -> None:
    session_id, _ = await made(paid)
    wire.script("hook", HELD)
    body = {"session_id": session_id, "scenario": "hook"}
    async with pressed(paid.post(REGENERATE, body)) as first:
        await wire.wait_for_charges(5)
        async with pressed(paid.post(REGENERATE, body)) as second:
            third = await paid.post(f"{REGENERATE}?async=1", body)
            wire.release("hook")
            answers = [await first, await second]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].json["video_url"] == answers[1].json["video_url"]
    done = (await paid.get(third.json["status_url"])).json
    assert done["scenes"][0]["video_url"] == answers[0].json["video_url"]
    assert len(wire.charges) == 5


async def test_regenerating_a_scene_that_is_being_generated_joins(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    session_id = await paid.session()
    job_id = await paid.generate(session_id)
    await all_sent(paid, job_id)
    body = {"session_id": session_id, "scenario": "cta"}
    assert (await paid.post(f"{REGENERATE}?async=1", body)).json["job_id"] == job_id
    async with pressed(paid.post(REGENERATE, body)) as waiting:
        wire.release("cta")
        answer = await waiting
    assert answer.status == 200, "it waits for its own scene only"
    assert (await paid.status(job_id))["overall_status"] == "generating"
    assert len(wire.charges) == 4


async def test_other_content_under_way_is_a_conflict(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    session_id = await paid.session()
    job_id = await paid.generate(session_id)
    edit = {"description": "Something else", "approved": True}
    await paid.put(f"/api/session/{session_id}/scenes/cta", edit)
    for path, body in ((GENERATE, {}), (REGENERATE, {"scenario": "cta"})):
        error = problem(await paid.post(path, {"session_id": session_id, **body}), 409)
        assert detail(error)["job_ids"] == [job_id]
        assert "cta" in detail(error)["scenarios"]
    await wire.wait_for_charges(4)
    assert len(wire.submits) == 4


async def test_s2_37_a_regeneration_that_fails(paid: House, wire: RunwareServer) -> None:
    session_id, before = await made(paid)
    wire.script("hook", FAIL)
    answer = await paid.post(REGENERATE, {"session_id": session_id, "scenario": "hook"})
    error = problem(answer, 500)
    assert "hook" in error["error"]
    assert detail(error)["code"] == "provider"
    assert isinstance(detail(error)["retryable"], bool)
    assert detail(error)["scenario"] == "hook"
    status = await paid.status(detail(error)["job_id"])
    assert status["overall_status"] == "failed"
    assert await videos(paid, session_id) == before, "the old video stays"


# ---------------------------------------------------------------------- how it is done


async def test_s2_23_scenes_run_side_by_side(paid: House, wire: RunwareServer) -> None:
    """All four are accepted before any is finished."""
    wire.script_default(HELD)
    job_id = await paid.generate(await paid.session())
    assert len(await wire.wait_for_charges(4)) == 4
    assert (await paid.status(job_id))["overall_status"] == "generating"
    wire.release()
    assert (await paid.finished(job_id))["overall_status"] == "completed"


async def test_s2_24_every_job_has_its_own_id(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    jobs = [await paid.generate(await paid.session()) for _ in range(5)]
    assert len(set(jobs)) == 5


async def test_s2_25_s2_26_to_s2_30_progress_marks(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Created 10, sent 30, generated 70, downloaded 80, complete 100; X20: the SDK's answers decide."""
    history = History(paid, monkeypatch)
    job_id = await paid.generate(await paid.session())
    await paid.finished(job_id)
    for name in SCENARIOS:
        seen = history.progress(job_id, name)
        assert seen == sorted(seen)
        assert [percent for percent in dict.fromkeys(seen) if percent] == [10, 30, 70, 80, 100]
    assert wire.reads >= 4
    assert len(wire.downloads) == 4


async def test_x21_progress_between_sent_and_generated(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's percents move inside the marks and never back."""
    history = History(paid, monkeypatch)
    wire.script_default(Script(hold=True, progress=True))
    job_id = await paid.generate(await paid.session())
    await reached(paid, job_id, lambda it: all(scene.progress == 30 for scene in it.scenes))
    for percent in (50, 20, 100, 0, 250):
        wire.report_progress("hook", percent)
        await wire.wait_for_reads(wire.reads + 10)
    assert by_name(await paid.status(job_id))["hook"]["progress"] == 65
    wire.release()
    await paid.finished(job_id)
    seen = history.progress(job_id, "hook")
    assert seen == sorted(seen)
    assert [percent for percent in dict.fromkeys(seen) if percent] == [10, 30, 50, 65, 70, 80, 100]


async def test_local_progress_never_falls(local: House, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(local, monkeypatch)
    job_id = await local.generate(await local.session())
    await local.finished(job_id)
    for name in SCENARIOS:
        seen = history.progress(job_id, name)
        assert seen == sorted(seen)
        assert {10, 30, 70, 80, 100} <= set(seen)
    overall = [sum(scene.progress for scene in snapshot.scenes) // 4 for snapshot in history.of(job_id)]
    assert overall == sorted(overall)


async def test_s2_31_s2_32_s2_33_files(paid: House, wire: RunwareServer) -> None:
    session_id, found = await made(paid)
    for name, url in found.items():
        file = paid.settings.outputs.dir / url.removeprefix("/outputs/")
        assert re.fullmatch(rf"{session_id}_{name}_[0-9a-f]{{8,}}\.mp4", file.name)
        assert file.read_bytes() == wire.video
        answer = await paid.get(url)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "video/mp4")
        assert answer.body == wire.video
    assert {path.suffix for path in paid.settings.outputs.dir.iterdir()} == {".mp4"}


async def test_s2_34_x9_videos_land_one_by_one_without_any_poll(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    session_id = await paid.session()
    job_id = await paid.generate(session_id)
    await all_sent(paid, job_id)
    landed: list[str] = []
    for name in ("cta", "hook", "solution", "problem"):
        wire.release(name)
        await scene_state(paid, job_id, name, "succeeded")
        landed.append(name)
        assert list(await videos(paid, session_id)) == [item for item in SCENARIOS if item in landed]
    assert all(
        scene.state is SceneState.SUCCEEDED for scene in (await reached(paid, job_id, lambda _: True)).scenes
    )


async def test_s2_34_videos_of_a_partial_job_land_too(paid: House, wire: RunwareServer) -> None:
    wire.script("problem", FAIL)
    session_id = await paid.session()
    await paid.finished(await paid.generate(session_id))
    assert list(await videos(paid, session_id)) == ["hook", "solution", "cta"]


async def test_s2_35_the_session_returns_its_videos(paid: House) -> None:
    session_id, found = await made(paid)
    answer = await paid.get(f"/api/session/{session_id}")
    assert answer.status == 200
    assert answer.json["session_id"] == session_id
    assert [(video["scenario"], video["video_url"]) for video in answer.json["scene_videos"]] == [
        (name, found[name]) for name in SCENARIOS
    ]


async def test_s2_36_s2_37_s2_39_a_failure_stays_alone_and_can_be_retried(
    paid: House, wire: RunwareServer
) -> None:
    wire.script("problem", FAIL, Script())
    session_id = await paid.session()
    status = await paid.finished(await paid.generate(session_id))
    scenes = by_name(status)
    failed = documented(scenes["problem"])
    assert failed["status"] == "failed"
    assert failed["video_url"] is None
    assert isinstance(failed["error"], str)
    assert len(failed["error"]) > 10
    assert failed["progress"] < 100
    assert [scenes[name]["status"] for name in ("hook", "solution", "cta")] == ["completed"] * 3
    again = await paid.post(REGENERATE, {"session_id": session_id, "scenario": "problem"})
    assert again.status == 200
    assert list(await videos(paid, session_id)) == list(SCENARIOS)
    assert len(wire.charges) == 5
    assert (await paid.status(status["job_id"])) == status, "a closed job does not change"


async def test_s2_40_s2_41_the_documented_loop(paid: House) -> None:
    """Start, poll until one of the three words, read the session; no headers of any kind."""
    session_id = await paid.session()
    job_id = (await paid.post(GENERATE, {"session_id": session_id})).json["job_id"]
    async with asyncio.timeout(20):
        while True:
            data = (await paid.get(f"/api/videos/status/{job_id}")).json
            if data["overall_status"] in ["completed", "failed", "partial"]:
                break
    session = await paid.get(f"/api/session/{session_id}")
    assert len(session.json["scene_videos"]) == 4, "they are there when the status says so"


async def test_s2_41_no_authentication_is_asked_for(local: House) -> None:
    bare = await raw(local, "GET", "/api/sessions")
    assert bare.status == 200
    assert "WWW-Authenticate" not in bare.headers
    assert (await local.get("/api/sessions", headers={"Authorization": "Bearer x"})).status == 200


async def test_s2_42_progress_of_job_and_scenes(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    job_id = await paid.generate(await paid.session())
    await all_sent(paid, job_id)
    assert (await paid.status(job_id))["progress"] == 30
    wire.release("hook")
    await scene_state(paid, job_id, "hook", "succeeded")
    assert (await paid.status(job_id))["progress"] == (100 + 3 * 30) // 4
    wire.release()
    assert (await paid.finished(job_id))["progress"] == 100


async def test_a_swallowed_cancellation_does_not_keep_the_service_running(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11's wait_for, which the SDK uses, loses a cancellation that comes with the result."""
    check = RunwareProvider.check
    asked: set[str] = set()
    all_asked = asyncio.Event()

    async def swallowing(provider: RunwareProvider, task_id: str) -> TaskStatus:
        if task_id in asked:
            return await check(provider, task_id)
        asked.add(task_id)
        if len(asked) == len(SCENARIOS):
            all_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Running()
        raise AssertionError

    monkeypatch.setattr(RunwareProvider, "check", swallowing)
    wire.script_default(HELD)
    service = AsyncExitStack()
    house = await service.enter_async_context(open_house(settings_for(tmp_path, runware_layer(wire))))
    await house.generate(await house.session())
    async with asyncio.timeout(5):
        await all_asked.wait()
    async with asyncio.timeout(4):
        await service.aclose()


# ---------------------------------------------------------------------- pressing more than once


async def test_generating_again_while_under_way_joins(paid: House, wire: RunwareServer) -> None:
    wire.script_default(HELD)
    session_id = await paid.session()
    job_id = await paid.generate(session_id)
    await wire.wait_for_charges(4)
    again = await paid.post(GENERATE, {"session_id": session_id})
    assert (again.status, again.json["job_id"], again.json["joined"]) == (200, job_id, True)
    assert again.json["message"] == "Video generation started for 4 scenes"
    wire.release("hook")
    await scene_state(paid, job_id, "hook", "succeeded")
    later = await paid.post(GENERATE, {"session_id": session_id})
    assert later.json["job_id"] == job_id, "a part of it is finished, but it is still under way"
    wire.release()
    await paid.finished(job_id)
    assert len(wire.submits) == len(wire.charges) == 4


async def test_twenty_presses_at_once(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    answers = await asyncio.gather(*(paid.post(GENERATE, {"session_id": session_id}) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    jobs = {answer.json["job_id"] for answer in answers}
    assert len(jobs) == 1
    assert [answer.json["joined"] for answer in answers].count(False) == 1
    await paid.finished(jobs.pop())
    assert len(wire.charges) == 4
    assert len((await stored(paid, session_id)).takes) == 4


async def test_twenty_presses_on_regenerate_at_once(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    wire.script_default(HELD)
    body = {"session_id": session_id, "scenario": "hook"}
    ask = asyncio.gather(*(paid.post(REGENERATE, body) for _ in range(20)))
    await wire.wait_for_charges(1)
    await wire.wait_for_reads(20)
    wire.release()
    answers = await ask
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["video_url"] for answer in answers}) == 1
    assert len(wire.charges) == 1


async def test_generating_after_the_end_starts_anew(paid: House, wire: RunwareServer) -> None:
    """Nothing is lost: the first videos stay as takes."""
    session_id, before = await made(paid)
    await paid.finished(await paid.generate(session_id))
    after = await videos(paid, session_id)
    assert not set(before.values()) & set(after.values())
    assert len(wire.charges) == 8
    takes = (await paid.get(f"/api/session/{session_id}")).json["takes"]
    assert {take["video_url"] for take in takes} == {*before.values(), *after.values()}
