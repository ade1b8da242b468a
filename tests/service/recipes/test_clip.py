"""A scene's way to its clip, through the whole service and the real SDK."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import structlog

from service.logs import configure_logging
from tests.house import SCENARIOS, House, open_house, runware_layer, settings_for
from tests.wire.runware_server import FileReply, RunwareServer, Script


async def hook_of(house: House, prompt: str = "the hook under test") -> dict[str, object]:
    """The hook scene after a whole job, the other scenes being ordinary."""
    job = await house.finished(await house.generate(await house.session({"hook": prompt})))
    scene: dict[str, object] = job["scenes"][0]
    return scene


def charged(wire: RunwareServer, prompt: str = "the hook under test") -> int:
    return sum(prompt in charge.prompt for charge in wire.charges)


async def test_all_scenes_failing_fails_the_job(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(fail_code="providerError", fail_message="down"))
    job = await paid.finished(await paid.generate(await paid.session()))
    assert job["overall_status"] == "failed"
    assert {scene["status"] for scene in job["scenes"]} == {"failed"}


async def test_refused_content_fails_with_a_sentence_for_people(paid: House, wire: RunwareServer) -> None:
    wire.script("under test", Script(refuse_code="invalidProviderContent", refuse_message="raw"))
    scene = await hook_of(paid)
    assert (
        scene["error"] == "The prompt was refused by the content policy; change the wording, then regenerate"
    )
    assert (scene["error_code"], scene["retryable"], scene["progress"]) == ("safety", False, 10)
    assert charged(wire) == 0


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_lost_acknowledgement_is_paid_once(paid: House, wire: RunwareServer, lost: str) -> None:
    script = Script(drop_before_accept=1) if lost == "before" else Script(drop_after_accept=1)
    wire.script("under test", script)
    assert (await hook_of(paid))["status"] == "completed"
    assert charged(wire) == 1


@pytest.mark.parametrize("code", [None, 1001])
async def test_a_socket_dropped_while_generating_is_paid_once(
    paid: House, wire: RunwareServer, code: int | None
) -> None:
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    await wire.wait_for_charges(4)
    await wire.drop_connections(code)
    wire.release()
    job = await paid.finished(job_id)
    assert job["overall_status"] == "completed"
    assert len(wire.charges) == 4


@pytest.mark.parametrize(
    "files",
    [
        [FileReply(status=500), FileReply(status=503), FileReply()],
        [FileReply(truncate_to=500), FileReply()],
        [FileReply(declare=10_000_000), FileReply()],
        [FileReply(reset_after=1000), FileReply()],
        [FileReply.page(), FileReply()],
        [FileReply(chunk_size=4096, chunk_delay=0.01)],
        [FileReply(chunked=True)],
    ],
    ids=["500-503-200", "truncated", "length-lies", "reset", "html", "slow", "chunked"],
)
async def test_a_bad_download_is_fetched_again_and_never_generated_again(
    paid: House, wire: RunwareServer, files: list[FileReply], film: bytes
) -> None:
    wire.script("under test", Script(files=files))
    scene = await hook_of(paid)
    assert scene["status"] == "completed"
    assert (await paid.get(str(scene["video_url"]))).body == film
    assert charged(wire) == 1
    assert wire.downloads.count("the hook under test") == len(files)


async def test_a_file_that_stays_broken_fails_with_the_reason(paid: House, wire: RunwareServer) -> None:
    wire.script("under test", Script(files=[FileReply(truncate_to=3000)]))
    scene = await hook_of(paid)
    assert (scene["status"], scene["error_code"], scene["progress"]) == ("failed", "corrupt", 70)
    assert str(scene["error"]).startswith("The video was made, but not delivered whole: ")
    assert charged(wire) == 1
    assert wire.downloads.count("the hook under test") == paid.settings.downloads.attempts
    assert not list(paid.settings.outputs.dir.glob("*.part"))


async def test_a_file_that_is_not_there_yet_is_waited_for(paid: House, wire: RunwareServer) -> None:
    wire.script("under test", Script(files=[FileReply(status=404), FileReply(status=403), FileReply()]))
    assert (await hook_of(paid))["status"] == "completed"


@pytest.mark.parametrize(("status", "final"), [(404, False), (410, True)])
async def test_a_file_that_never_comes_fails_the_scene(
    paid: House, wire: RunwareServer, status: int, *, final: bool
) -> None:
    wire.script("under test", Script(files=[FileReply(status=status)]))
    scene = await hook_of(paid)
    assert (scene["status"], scene["error_code"]) == ("failed", "download")
    assert (wire.downloads.count("the hook under test") == 1) is final
    assert charged(wire) == 1


async def test_a_busy_provider_is_asked_again_under_the_same_uuid(paid: House, wire: RunwareServer) -> None:
    busy = Script(refuse_code="providerRateLimitExceeded", refuse_message="too many")
    wire.script("under test", busy, busy, Script())
    assert (await hook_of(paid))["status"] == "completed"
    submits = [task for task in wire.submits if task["positivePrompt"] == "the hook under test"]
    assert len(submits) == 3
    assert len({task["taskUUID"] for task in submits}) == 1
    assert charged(wire) == 1


async def test_an_unheard_of_refusal_ends_after_asking(paid: House, wire: RunwareServer) -> None:
    wire.script("under test", Script(refuse_code="somethingNew", refuse_message="because of reasons"))
    scene = await hook_of(paid)
    assert scene["status"] == "failed"
    assert "because of reasons" in str(scene["error"])
    assert charged(wire) == 0


async def test_progress_follows_the_provider_between_the_marks(paid: House, wire: RunwareServer) -> None:
    wire.script("under test", Script(hold=True, progress=True))
    job_id = await paid.generate(await paid.session({"hook": "the hook under test"}))
    for percent, shown in ((0, 30), (50, 50), (99, 65)):
        wire.report_progress("under test", percent)
        await paid.service.live.until(job_id, lambda job, least=shown: job.scenes[0].progress >= least)  # type: ignore[misc]
    wire.report_progress("under test", 10)
    assert (await paid.status(job_id))["scenes"][0]["progress"] == 65
    wire.release()
    assert (await paid.finished(job_id))["scenes"][0]["progress"] == 100


async def test_a_restart_goes_on_with_the_same_tasks(wire: RunwareServer, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, runware_layer(wire))
    wire.script_default(Script(hold=True))
    async with open_house(settings) as house:
        session_id = await house.session()
        job_id = await house.generate(session_id)
        await wire.wait_for_charges(4)
    wire.release()
    async with open_house(settings) as house:
        job = await house.finished(job_id)
        session = (await house.get(f"/api/session/{session_id}")).json
    assert job["overall_status"] == "completed"
    assert len(wire.charges) == 4
    assert [video["scenario"] for video in session["scene_videos"]] == list(SCENARIOS)


async def test_another_provider_leaves_paid_scenes_alone(wire: RunwareServer, tmp_path: Path) -> None:
    paid, free = settings_for(tmp_path, runware_layer(wire)), settings_for(tmp_path)
    wire.script_default(Script(hold=True))
    async with open_house(paid) as house:
        job_id = await house.generate(await house.session())
        await wire.wait_for_charges(4)
    async with open_house(free) as house:
        async with asyncio.timeout(10):
            while (await house.get("/readyz")).json["parts"]["jobs"]["ok"]:
                await asyncio.sleep(0.01)
        assert (await house.status(job_id))["overall_status"] == "generating"
    wire.release()
    async with open_house(paid) as house:
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert len(wire.charges) == 4


async def test_a_generated_scene_needs_no_provider(wire: RunwareServer, tmp_path: Path) -> None:
    paid, free = settings_for(tmp_path, runware_layer(wire)), settings_for(tmp_path)
    wire.script_default(Script(files=[FileReply(chunk_size=64, chunk_delay=1)] * 1 + [FileReply()]))
    async with open_house(paid) as house:
        job_id = await house.generate(await house.session())
        await house.service.live.until(job_id, lambda job: all(s.progress == 70 for s in job.scenes))
    async with open_house(free) as house:
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert len(wire.charges) == 4


async def test_a_restart_of_local_previews_renders_again(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with open_house(settings) as house:
        job_id = await house.generate(await house.session({"hook": "slow one [[slow 60s]]"}))
        await house.service.live.until(job_id, lambda job: job.scenes[0].progress >= 30)
    (settings.outputs.dir / "left-over.mp4.part").touch()
    async with open_house(settings) as house:
        assert (await house.status(job_id))["overall_status"] == "generating"
        assert not (settings.outputs.dir / "left-over.mp4.part").exists()


async def test_the_four_scenes_run_side_by_side(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    await wire.wait_for_charges(4)  # all four are with the provider, none is finished
    wire.release("cta")
    await paid.service.live.until(job_id, lambda job: job.scenes[3].terminal)
    status = await paid.status(job_id)
    assert [scene["status"] for scene in status["scenes"]] == ["generating"] * 3 + ["completed"]
    wire.release()
    await paid.finished(job_id)


async def test_the_log_never_holds_the_key(
    wire: RunwareServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path, runware_layer(wire), {"log": {"level": "debug", "format": "json"}})
    configure_logging(settings.log)
    try:
        async with open_house(settings) as house:
            await house.finished(await house.generate(await house.session()))
    finally:
        structlog.reset_defaults()
    log = capfd.readouterr().err
    assert "test-key" not in log
    moved = [json.loads(line) for line in log.splitlines() if '"scene.moved"' in line]
    assert {"job", "scene", "scenario", "to", "progress", "timestamp"} <= moved[0].keys()


async def test_a_provider_that_is_silent_about_a_task_is_sent_it_again(film: bytes, tmp_path: Path) -> None:
    """The real server may answer an unknown UUID with nothing at all."""
    async with RunwareServer(unknown_read="empty") as wire:
        wire.video = film
        settings = settings_for(tmp_path, runware_layer(wire, acknowledge_seconds=0.2))
        wire.refuse_connections = True
        async with open_house(settings) as house:
            job_id = await house.generate(await house.session())
            await house.service.live.until(job_id, lambda job: all(s.attempt == 1 for s in job.scenes))
        wire.refuse_connections = False
        async with open_house(settings) as house:
            assert (await house.finished(job_id))["overall_status"] == "completed"
        assert len(wire.charges) == 4


async def test_a_status_that_nobody_knows_is_an_error_after_its_deadlines(
    wire: RunwareServer, tmp_path: Path
) -> None:
    wire.script("under test", Script(never=True, running_status="meditating"))
    soon = {"deadline_seconds": 0.1, "reconcile_pause_seconds": 0.02, "reconcile_hours": 0.5 / 3600}
    async with open_house(settings_for(tmp_path, runware_layer(wire, **soon))) as house:
        assert (await hook_of(house))["error_code"] == "noVerdict"


async def test_what_a_client_brings_is_filmed_whatever_was_edited_since(
    paid: House, wire: RunwareServer
) -> None:
    body = {"scenario": "hook", "scene_description": "A calm hook shot"}
    first = (await paid.post("/api/videos/regenerate-scene", body)).json
    edit = {"description": "SOMETHING ELSE", "approved": True}
    await paid.put(f"/api/session/{first['session_id']}/scenes/hook", edit)
    second = (await paid.post("/api/videos/regenerate-scene", body)).json
    assert (second["session_id"], second["take"]) == (first["session_id"], 2)
    assert [charge.prompt for charge in wire.charges] == ["A calm hook shot"] * 2
