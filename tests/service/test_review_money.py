"""What a review found: money, waiting and words where several troubles meet."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.breaker import Breaker, Refused
from service.media.download import Downloader
from service.providers.base import Finished, TaskStatus
from service.providers.runware import RunwareProvider
from sessions.database import Database
from sessions.lifecycle import Transition
from sessions.model import Job, JobSnapshot, Scenario, SceneState
from sessions.store import StoreUnavailable, Superseded
from tests.house import House, open_house, runware_layer, settings_for
from tests.service.recipes.test_doubt import PROMPT, charged, kinds, opened, started, until
from tests.wire.runware_server import FileReply, Refusal, RunwareServer, Script
from tests.wire.tasks import Json, Reply, refuse

_ABOUT_TASKS = ("videoInference", "getResponse", "getTaskDetails")


async def settled(house: House, job_id: str) -> JobSnapshot:
    """The job once nothing more can come of it."""
    async with asyncio.timeout(20):
        return await house.service.live.until(job_id, lambda job: all(it.settled for it in job.scenes))


async def cancel(house: House, job_id: str, *scenarios: str) -> Any:
    body = {"scenarios": list(scenarios)} if scenarios else {}
    return (await house.post(f"/api/videos/cancel/{job_id}", body)).json


async def resume(house: House, job_id: str) -> Any:
    return (await house.post(f"/api/videos/resume/{job_id}", {})).json


# ---------------------------------------------------------------------- doubt


async def test_a_provider_that_takes_a_task_and_says_nothing_does_not_fail_it(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.recipes.respondent._LONGEST_PAUSE", 0.02)
    monkeypatch.setattr("service.recipes.clip._REFUSAL_LIMIT", 2)
    answer, silent = wire.answer, True

    def silently(message: Json) -> Reply:
        reply = answer(message)
        return Reply() if silent and message.get("taskType") in _ABOUT_TASKS else reply

    monkeypatch.setattr(wire, "answer", silently)
    patient = {"limits": {"breaker_failures": 1000}}
    async with opened(tmp_path, wire, patient, acknowledge_seconds=0.03) as house:
        job_id = await started(house)
        await wire.wait_for_submits(4 * 4)  # each of them three times over after the first
        assert (await house.status(job_id))["overall_status"] == "generating"
        silent = False
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert len(wire.charges) == 4


async def test_a_task_that_may_have_arrived_is_not_free_to_cancel_because_it_was_told_to_wait_later(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.recipes.respondent._LONGEST_PAUSE", 0.05)
    answer, silent = wire.answer, True
    arrived: set[str] = set()

    def first_silent_then_busy(message: Json) -> Reply:
        if not silent or PROMPT not in str(message.get("positivePrompt", PROMPT)):
            return answer(message)
        task_id = str(message.get("taskUUID"))
        if message.get("taskType") != "videoInference":
            return Reply() if task_id in arrived else answer(message)
        if task_id in arrived:
            return refuse(message, Refusal(code="providerRateLimitExceeded", message="slow down"))
        arrived.add(task_id)
        answer(message)
        return Reply()

    monkeypatch.setattr(wire, "answer", first_silent_then_busy)
    async with opened(
        tmp_path, wire, {"limits": {"breaker_pause_seconds": 60}}, acknowledge_seconds=0.03
    ) as house:
        job_id = await started(house)
        async with asyncio.timeout(20):
            while not (await house.get("/readyz")).json["parts"]["provider runware"]["detail"].count("slow"):
                await asyncio.sleep(0.02)
        assert (await cancel(house, job_id, "hook"))["still_billed"] == ["hook"]
        silent = False
        hook = (await settled(house, job_id)).scenes[0]
        assert (hook.state, hook.owed) == (SceneState.CANCELLED, False)
        status = (await house.status(job_id))["scenes"][0]
        assert "is kept as a take" in status["note"]
    assert charged(wire) == 1


@pytest.mark.parametrize("exchange", ["submit", "check"])
async def test_what_breaks_in_an_exchange_is_no_verdict(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch, exchange: str
) -> None:
    original, broken = getattr(RunwareProvider, exchange), iter([True] * 5)

    async def breaks(self: RunwareProvider, about: Any) -> Any:
        answer = await original(self, about)
        if next(broken, False):
            raise KeyError("something that nobody has thought of")
        return answer

    monkeypatch.setattr(RunwareProvider, exchange, breaks)
    wire.script_default(Script(seconds=0.1))
    async with opened(tmp_path, wire) as house:
        assert (await house.finished(await started(house)))["overall_status"] == "completed"
    assert len(wire.charges) == 4


# ---------------------------------------------------------------------- circuits and slots


async def test_a_queue_for_slots_does_not_run_into_an_open_circuit(
    tmp_path: Path, wire: RunwareServer
) -> None:
    wire.script_default(Script(hold=True))
    limits = {"limits": {"slots": 4, "breaker_pause_seconds": 60}}
    async with opened(tmp_path, wire, limits) as house:
        jobs = [await house.generate(await house.session()) for _ in range(5)]
        await wire.wait_for_charges(4)
        wire.script_default(Script(refuse_code="providerRateLimitExceeded"))
        wire.release()
        async with asyncio.timeout(20):
            for job_id in jobs:
                while not all(
                    scene["status"] == "completed" or "refuses work" in (scene["note"] or "")
                    for scene in (await house.status(job_id))["scenes"]
                ):
                    await asyncio.sleep(0.02)
    assert len(wire.submits) <= 4 + 4, "those with a slot when the circuit opened"


@pytest.mark.parametrize("ours", [StoreUnavailable("locked"), Superseded("in other hands")])
async def test_our_own_troubles_tell_nothing_of_the_provider(ours: Exception) -> None:
    breaker = Breaker("it", "provider", failures=2, pause_seconds=60, longest_seconds=60)
    for error in (Refused(), ours, Refused()):
        with pytest.raises(type(error)):
            async with breaker.call():
                raise error
    assert breaker.trouble is not None


# ---------------------------------------------------------------------- resume


async def test_a_cancelled_scene_whose_video_could_not_be_fetched_is_not_made_again(
    tmp_path: Path, wire: RunwareServer
) -> None:
    files = [FileReply(status=503)]
    wire.script(PROMPT, Script(files=files))
    async with opened(tmp_path, wire) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.progress >= 70)
        await cancel(house, job_id, "hook")
        await settled(house, job_id)
        files[0] = FileReply()
        again = await resume(house, job_id)
        assert (await house.finished(again["job_id"]))["overall_status"] == "completed"
    assert charged(wire) == 1


async def test_what_the_provider_still_owes_is_not_ordered_again(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script(PROMPT, Script(hold=True), Script())
    async with opened(tmp_path, wire) as house:
        session_id = await house.session({"hook": PROMPT})
        job_id = await house.generate(session_id)
        await until(house, job_id, lambda scene: scene.progress >= 30)
        await cancel(house, job_id)
        answer = await house.post(f"/api/videos/resume/{job_id}", {})
        assert answer.status == 409
        assert "on its way" in answer.json["error"]
        assert charged(wire) == 1
        body = {"session_id": session_id, "scenario": "hook"}
        assert (await house.post("/api/videos/regenerate-scene", body)).json["take"] == 2
        wire.release()
        await settled(house, job_id)
        session = (await house.get(f"/api/session/{session_id}")).json
        hooks = [take for take in session["takes"] if take["scenario"] == "hook"]
        assert sorted((take["take"], take["late"]) for take in hooks) == [(1, True), (2, False)]
        assert session["scene_videos"][0]["take"] == 2
    assert charged(wire) == 2


async def test_a_fetch_that_is_cancelled_keeps_the_video(tmp_path: Path, wire: RunwareServer) -> None:
    files = [FileReply(status=503)]
    wire.script(PROMPT, Script(files=files))
    async with opened(tmp_path, wire) as house:
        job_id = await started(house)
        await house.finished(job_id)
        again = (await resume(house, job_id))["job_id"]
        await until(house, again, lambda scene: scene.progress >= 70)
        await cancel(house, again)
        files[0] = FileReply()
        await settled(house, again)
        assert [kind.value for kind in await kinds(house, again)][-1] == "kept"
    assert charged(wire) == 1


async def test_a_fetch_teaches_nothing_about_the_provider(tmp_path: Path, wire: RunwareServer) -> None:
    files = [FileReply(status=503)]
    wire.script_default(Script(seconds=0.3, files=files))
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        job_id = await house.generate(await house.session())
        await house.finished(job_id)
        files[0] = FileReply()
        await house.finished((await resume(house, job_id))["job_id"])
    database = Database(settings.database.url)
    await database.open()
    learned = await database.generations(100)
    await database.close()
    assert len(learned) == 4
    assert min(generation.took for generation in learned) >= 0.3


# ---------------------------------------------------------------------- fetching


async def test_an_address_that_changes_with_every_question_ends_too(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.recipes.respondent._LONGEST_PAUSE", 0.05)
    check, asked = RunwareProvider.check, iter(range(10**9))

    async def freshly_signed(self: RunwareProvider, task_id: str) -> TaskStatus:
        status = await check(self, task_id)
        if not isinstance(status, Finished):
            return status
        return Finished(location=f"{status.location}?signature={next(asked)}", cost_usd=status.cost_usd)

    monkeypatch.setattr(RunwareProvider, "check", freshly_signed)
    wire.script(PROMPT, Script(files=(FileReply(status=410),)))
    async with opened(tmp_path, wire, {"downloads": {"give_up_seconds": 0.3}}) as house:
        job = await house.finished(await started(house))
        assert job["scenes"][0]["error_code"] == "download"
    assert charged(wire) == 1


class _Content:
    """A body that arrives in one piece."""

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield bytes(3000)


async def test_a_disk_that_takes_a_part_is_full_and_no_broken_file(tmp_path: Path) -> None:
    downloader = Downloader(settings_for(tmp_path).downloads, scratch=tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as on a full disk: a part, then a refusal
    try:
        with pytest.raises(OSError, match="too large"):
            await downloader._stream(_Content(), tmp_path / "x.part", 10**6)  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_more_downloads_than_a_pool_of_connections_usually_has(
    tmp_path: Path, wire: RunwareServer
) -> None:
    """Whoever waited for a connection would be called stalled."""
    wire.script_default(Script(files=(FileReply(chunk_size=1000, chunk_delay=0.1),)))
    async with opened(tmp_path, wire, {"downloads": {"parallel": 200}}) as house:
        jobs = [await house.generate(await house.session()) for _ in range(30)]
        async with asyncio.timeout(20):
            while len(list((tmp_path / "outputs").glob("*.part"))) <= 100:
                await asyncio.sleep(0.02)
        for job_id in jobs:
            await cancel(house, job_id)


# ---------------------------------------------------------------------- words


async def test_a_cancel_that_meets_a_stale_reading_stays_a_cancel(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job was read, cancelled, and only then taken up as it had been read."""
    wire.script_default(Script(hold=True))
    async with opened(tmp_path, wire, {"limits": {"slots": 1}}) as house:
        await house.generate(await house.session())
        await wire.wait_for_charges(1)
        read, go_on, reading = Database.job, asyncio.Event(), asyncio.Event()

        async def slowly(self: Database, job_id: str) -> JobSnapshot | None:
            snapshot = await read(self, job_id)
            reading.set()
            await go_on.wait()
            return snapshot

        monkeypatch.setattr(Database, "job", slowly)
        job_id = await house.generate(await house.session())
        await reading.wait()
        assert (await cancel(house, job_id))["still_billed"] == []
        go_on.set()
        async with asyncio.timeout(20):
            while any(task.get_name() == f"job {job_id}" for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)
        status = await house.status(job_id)
        assert [scene["error_code"] for scene in status["scenes"]] == ["cancelled"] * 4
    assert len(wire.charges) == 1


async def test_a_scene_goes_on_saying_that_the_database_cannot_be_used(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.script(PROMPT, Script(hold=True))
    async with opened(tmp_path, wire) as house:
        job_id = await started(house)
        await until(house, job_id, lambda scene: scene.progress >= 30)
        apply, tries = Database.apply, 0

        async def locked(self: Database, transition: Transition) -> Job | None:
            nonlocal tries
            tries += transition.before.scenario is Scenario.HOOK
            await asyncio.sleep(0.1)  # SQLite waits for the lock first
            raise StoreUnavailable("database is locked")

        monkeypatch.setattr(Database, "apply", locked)
        wire.release()
        noted = False
        async with asyncio.timeout(20):
            while not noted or tries < 3:
                note = (await house.status(job_id))["scenes"][0]["note"] or ""
                assert not noted or "database cannot be used" in note, "it goes on saying so"
                noted = "database cannot be used" in note
                await asyncio.sleep(0.005)
        monkeypatch.setattr(Database, "apply", apply)
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert charged(wire) == 1
