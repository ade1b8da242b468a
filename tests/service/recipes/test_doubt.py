"""No verdict, a late verdict, a lost record, a refusal for the moment: never paid twice, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sessions.model import EventKind, JobSnapshot, Scene, SceneState
from tests.house import House, open_house, runware_layer, settings_for
from tests.wire.runware_server import FileReply, RunwareServer, Script

PROMPT = "the hook under test"


@asynccontextmanager
async def opened(
    folder: Path, wire: RunwareServer, *layers: dict[str, Any], **runware: Any
) -> AsyncIterator[House]:
    """A service on the same folder each time."""
    async with open_house(settings_for(folder, runware_layer(wire, **runware), *layers)) as house:
        yield house
        wire.release()


async def started(house: House) -> str:
    return await house.generate(await house.session({"hook": PROMPT}))


def hook(snapshot: JobSnapshot) -> Scene:
    return snapshot.scenes[0]


async def until(house: House, job_id: str, reached: Callable[[Scene], bool]) -> Scene:
    """The hook scene once it is so."""
    async with asyncio.timeout(20):
        return hook(await house.service.live.until(job_id, lambda job: reached(hook(job))))


async def kinds(house: House, job_id: str) -> list[EventKind]:
    """What happened to the hook scene."""
    scene = (await house.service.studio.job(job_id)).snapshot.scenes[0]
    events = await house.service.studio.events(job_id, 0)
    return [event.kind for event in events if event.scene_id == scene.id]


def charged(wire: RunwareServer) -> int:
    return sum(PROMPT in charge.prompt for charge in wire.charges)


# ---------------------------------------------------------------------- reconciling


async def test_a_scene_without_a_verdict_is_reconciled_and_a_late_video_is_its_take(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script(PROMPT, Script(hold=True))
    async with opened(tmp_path, wire, deadline_seconds=0.1, reconcile_pause_seconds=0.05) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.state is SceneState.RECONCILING)
        status = await house.status(job_id)
        scene = status["scenes"][0]
        assert (status["overall_status"], scene["status"], scene["stage"]) == (
            "generating",
            "generating",
            "reconciling",
        )
        assert "no verdict" in scene["note"]
        assert scene["error"] is None
        assert 30 <= scene["progress"] < 70
        wire.release(PROMPT)
        job = await house.finished(job_id)
        assert job["overall_status"] == "completed"
        assert EventKind.RECONCILING in await kinds(house, job_id)
    assert charged(wire) == 1


async def test_reconciling_survives_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script(PROMPT, Script(hold=True))
    how = {"deadline_seconds": 0.1, "reconcile_pause_seconds": 0.05}
    async with open_house(settings_for(tmp_path, runware_layer(wire, **how))) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.state is SceneState.RECONCILING)
    async with opened(tmp_path, wire, **how) as house:
        assert (await house.status(job_id))["scenes"][0]["stage"] == "reconciling"
        wire.release(PROMPT)
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert charged(wire) == 1


async def test_a_provider_that_never_answers_is_given_up_after_a_day(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script(PROMPT, Script(never=True))
    day = {"deadline_seconds": 0.05, "reconcile_pause_seconds": 0.02, "reconcile_hours": 0.5 / 3600}
    async with opened(tmp_path, wire, **day) as house:
        job = await house.finished(await started(house))
        scene = job["scenes"][0]
        assert (job["overall_status"], scene["error_code"]) == ("partial", "noVerdict")
        assert "no verdict" in scene["error"]
    assert charged(wire) == 1


async def test_all_scenes_being_reconciled_polls_are_asked_to_be_rare(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script_default(Script(hold=True))
    async with opened(tmp_path, wire, deadline_seconds=0.05, reconcile_pause_seconds=0.05) as house:
        job_id = await started(house)
        async with asyncio.timeout(20):
            await house.service.live.until(
                job_id, lambda job: all(it.state is SceneState.RECONCILING for it in job.scenes)
            )
        assert (await house.status(job_id))["poll_after_ms"] == 60_000


async def test_regenerating_what_is_overdue_is_answered_without_waiting(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script(PROMPT, Script(hold=True))
    async with opened(tmp_path, wire, deadline_seconds=0.05, reconcile_pause_seconds=0.05) as house:
        session_id = await house.session({"hook": PROMPT})
        answer = await house.post(
            "/api/videos/regenerate-scene", {"session_id": session_id, "scenario": "hook"}
        )
        assert answer.status == 202
        again = await house.post(
            "/api/videos/regenerate-scene", {"session_id": session_id, "scenario": "hook"}
        )
        assert (again.status, again.json["job_id"]) == (202, answer.json["job_id"]), "it joins"
    assert charged(wire) == 1


# ---------------------------------------------------------------------- lost records


async def test_what_the_provider_forgot_is_found_in_its_archive(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script(PROMPT, Script(hold=True))
    async with opened(tmp_path, wire) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.progress >= 30)
        wire.forget(PROMPT)
        wire.release(PROMPT)
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert charged(wire) == 1


async def test_an_accepted_task_that_is_nowhere_on_record_is_reconciled_and_not_sent_again(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's records may come back; if they do not, that is the reason of the failure."""
    monkeypatch.setattr("service.recipes.respondent._LONGEST_PAUSE", 0.05)
    wire.script(PROMPT, Script(hold=True))
    how = {"reconcile_pause_seconds": 0.02, "reconcile_hours": 2 / 3600}
    async with opened(tmp_path, wire, **how) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.progress >= 30)
        wire.forget(PROMPT, wholly=True)
        await until(house, job_id, lambda scene: scene.state is SceneState.RECONCILING)
        job = await house.finished(job_id)
        assert job["scenes"][0]["error_code"] == "notFound"
    assert charged(wire) == 1


async def test_errors_about_the_question_are_no_verdict(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script(PROMPT, Script(read_errors=3), Script())
    async with opened(tmp_path, wire) as house:
        job = await house.finished(await started(house))
        assert job["overall_status"] == "completed"
    assert charged(wire) == 1


# ---------------------------------------------------------------------- refusals for the moment


@pytest.mark.parametrize("code", ["providerRateLimitExceeded", "noAvailableServer", "serviceUnavailable"])
async def test_a_busy_provider_is_left_alone_for_a_while_and_says_so(
    tmp_path: Path, wire: RunwareServer, code: str
) -> None:
    wire.script(PROMPT, Script(refuse_code=code), Script(refuse_code=code), Script())
    limits = {"limits": {"breaker_pause_seconds": 0.3}}
    async with opened(tmp_path, wire, limits) as house:
        job_id = await started(house)
        noted = await _noted(house, job_id)
        assert "refuses work" in noted or "takes no more work" in noted
        job = await house.finished(job_id)
        assert job["overall_status"] == "completed"
        assert job["scenes"][0]["note"] is None
    assert charged(wire) == 1
    assert sum(PROMPT in submit["positivePrompt"] for submit in wire.submits) == 3


async def _noted(house: House, job_id: str) -> str:
    """The first note on the hook scene."""
    async with asyncio.timeout(20):
        while True:
            job = house.service.live.get(job_id)
            assert job is not None
            if note := job.notes.get(job.snapshot.scenes[0].id):
                return note
            await job.changed.wait()


async def test_an_open_circuit_shows_in_readyz(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(refuse_code="providerRateLimitExceeded"))
    limits = {"limits": {"breaker_pause_seconds": 30}}
    async with opened(tmp_path, wire, limits) as house:
        job_id = await started(house)
        await _noted(house, job_id)
        ready = await house.get("/readyz")
        assert (ready.status, ready.json["status"]) == (200, "degraded")
        part = ready.json["parts"]["provider runware"]
        assert part["ok"] is False
        assert "refuses work" in part["detail"]
    assert wire.charges == []


# ---------------------------------------------------------------------- retries


async def test_a_verdict_that_allows_it_is_followed_by_another_task_under_a_new_uuid(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script(PROMPT, Script(fail_code="internalServerError"), Script())
    async with opened(tmp_path, wire, {"retries": {"pause_seconds": 0.01}}) as house:
        job_id = await started(house)
        job = await house.finished(job_id)
        assert (job["overall_status"], job["scenes"][0]["tries"]) == ("completed", 2)
        events = [
            event for event in await house.service.studio.events(job_id, 0) if event.kind is EventKind.RETRIED
        ]
        submits = [it["taskUUID"] for it in wire.submits if PROMPT in it["positivePrompt"]]
        assert len(set(submits)) == 2
        assert [(it.data["ended_task"], it.data["task"]) for it in events] == [tuple(submits)]
        assert events[0].data["code"] == "serverError"


async def test_retries_are_bounded(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script(PROMPT, Script(fail_code="internalServerError"))
    async with opened(tmp_path, wire, {"retries": {"pause_seconds": 0.01, "most": 2}}) as house:
        job = await house.finished(await started(house))
        assert (job["scenes"][0]["status"], job["scenes"][0]["tries"]) == ("failed", 3)
    assert sum(PROMPT in it["positivePrompt"] for it in wire.submits) == 3


@pytest.mark.parametrize("code", ["providerError", "invalidProviderContent"])
async def test_what_may_be_billed_or_cannot_be_mended_is_not_retried(
    tmp_path: Path, wire: RunwareServer, code: str
) -> None:
    wire.script(PROMPT, Script(fail_code=code))
    async with opened(tmp_path, wire, {"retries": {"pause_seconds": 0.01}}) as house:
        job = await house.finished(await started(house))
        assert (job["scenes"][0]["status"], job["scenes"][0]["tries"]) == ("failed", 1)


async def test_progress_never_falls_over_a_retry(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script(PROMPT, Script(fail_code="internalServerError", progress=True, hold=True), Script(hold=True))
    shown: list[int] = []
    async with opened(tmp_path, wire, {"retries": {"pause_seconds": 0.01}}) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.progress >= 30)
        wire.report_progress(PROMPT, 50)
        await until(house, job_id, lambda scene: scene.progress >= 50)
        wire.release(PROMPT)
        scene = await until(house, job_id, lambda scene: scene.tries == 2)
        shown.append(scene.progress)
        scene = await until(house, job_id, lambda scene: scene.state is SceneState.RUNNING)
        shown.append(scene.progress)
        await wire.wait_for_charges(5)
        wire.release(PROMPT)
        await house.finished(job_id)
    assert min(shown) >= 50


# ---------------------------------------------------------------------- slots


async def test_scenes_wait_for_a_slot_and_say_their_place(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    async with opened(tmp_path, wire, {"limits": {"slots": 1}}) as house:
        job_id = await started(house)
        await wire.wait_for_charges(1)
        async with asyncio.timeout(20):
            await house.service.live.until(job_id, lambda job: any(it.progress >= 30 for it in job.scenes))
        scenes = (await house.status(job_id))["scenes"]
        places = sorted(it["queue_position"] for it in scenes if it["queue_position"])
        assert places == [1, 2, 3]
        assert [it["progress"] for it in scenes if it["queue_position"]] == [0, 0, 0]
        assert len(wire.charges) == 1
        for count in (2, 3, 4):
            wire.release()
            await wire.wait_for_charges(count)
        wire.release()
        assert (await house.finished(job_id))["overall_status"] == "completed"


async def test_experience_gives_an_eta_that_survives_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    async with open_house(settings_for(tmp_path, runware_layer(wire))) as house:
        await house.finished(await house.generate(await house.session()))
    wire.script_default(Script(hold=True))
    async with opened(tmp_path, wire, {"limits": {"slots": 1}}) as house:
        job_id = await started(house)
        await wire.wait_for_charges(5)
        status = await house.status(job_id)
        waiting = [scene for scene in status["scenes"] if scene["queue_position"]]
        assert waiting
        assert all(scene["eta"]["earliest"] <= scene["eta"]["latest"] for scene in waiting)


# ---------------------------------------------------------------------- the provider calls


async def test_a_call_of_the_provider_makes_it_known_at_once(tmp_path: Path, wire: RunwareServer) -> None:
    """Polling alone would take an hour here."""
    wire.script_default(Script(hold=True, webhook_copies=2))
    settings = settings_for(tmp_path, runware_layer(wire, poll_seconds=3600.0))
    port = _free_port()
    settings = settings.model_copy(
        update={
            "server": settings.server.model_copy(
                update={"port": port, "public_url": f"http://127.0.0.1:{port}"}
            )
        }
    )
    async with open_house(settings) as house:
        job_id = await started(house)
        await wire.wait_for_charges(4)
        async with asyncio.timeout(20):
            await house.service.live.until(job_id, lambda job: all(it.progress >= 30 for it in job.scenes))
        wire.release()
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert len(wire.charges) == 4
    assert {delivery.status for delivery in wire.deliveries} == {204}


async def test_only_the_provider_can_call(tmp_path: Path, wire: RunwareServer) -> None:
    async with opened(tmp_path, wire, {"server": {"public_url": "https://videos.example.com"}}) as house:
        job_id = await started(house)
        await house.finished(job_id)
        url = wire.charges[0].params["webhookURL"]
        assert url.startswith("https://videos.example.com/callbacks/")
        path = url.removeprefix("https://videos.example.com")
        other = path.replace(wire.charges[0].task_uuid, wire.charges[1].task_uuid)
        forged = {"videoURL": "http://evil"}
        asked = [(await house.post(it, forged)).status for it in (path, path, other, path[:-1])]
        assert asked == [204, 204, 404, 404]
        assert (await house.post(path.partition("?")[0], {})).status == 404
        assert (await house.status(job_id))["overall_status"] == "completed"


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---------------------------------------------------------------------- our own troubles


async def test_an_outputs_folder_that_vanishes_is_said_and_comes_back(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script(PROMPT, Script(hold=True))
    async with opened(tmp_path, wire, {"downloads": {"give_up_seconds": 60}}) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.progress >= 30)
        async with asyncio.timeout(20):
            await house.service.live.until(job_id, lambda job: all(it.terminal for it in job.scenes[1:]))
        outputs = tmp_path / "outputs"
        outputs.rename(tmp_path / "elsewhere")
        outputs.write_text("in the way")
        wire.release(PROMPT)
        note = await _noted(house, job_id)
        assert "being fetched again" in note
        assert "could not be stored" in note
        outputs.unlink()
        (tmp_path / "elsewhere").rename(outputs)
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert charged(wire) == 1


async def test_a_video_that_moved_is_found_again(tmp_path: Path, wire: RunwareServer) -> None:
    """The address on record answers no longer; the provider knows a newer one."""
    gone = FileReply(status=410)
    wire.script(PROMPT, Script(files=(gone, FileReply())))
    async with opened(tmp_path, wire) as house:
        job = await house.finished(await started(house))
        assert job["scenes"][0]["error_code"] == "download", "the same address again is no newer one"
    assert charged(wire) == 1
