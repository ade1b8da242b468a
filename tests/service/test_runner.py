"""A job's scenes run side by side, and each comes to an end of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import runner as runner_module
from service.estimates import Estimates
from service.execution import embedded
from service.execution.embedded import EmbeddedExecutor
from service.limits import Slots
from service.live import Live
from service.media.download import Downloader
from service.media.workers import MediaWorkers
from service.providers.catalogue import Catalogue
from service.providers.local import LocalProvider
from service.recipes.circuits import Circuits
from service.recipes.clip import ClipRecipe, Parked
from service.recipes.delivery import Delivery
from service.recipes.track import Track
from service.recipes.watch import Watch
from service.runner import Runner
from service.sections import AllTermsSettings, RetriesSettings
from service.storage.outputs import Outputs
from service.storage.uploads import Uploads
from service.turns import Turns
from sessions import lifecycle
from sessions.clock import utc_now
from sessions.database import Database
from sessions.errors import DownloadError, ProviderError, SceneError
from sessions.lifecycle import Transition
from sessions.model import (
    Brief,
    EventKind,
    Job,
    JobSnapshot,
    JobState,
    Scenario,
    Scene,
    SceneFailure,
    SceneState,
    Session,
    Stage,
    Take,
)
from sessions.store import StoreUnavailable
from tests.house import settings_for

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Making = Callable[[Track], Coroutine[Any, Any, None]]


class _Recipe:
    """A recipe made of one function, which finds the scene started."""

    def __init__(self, make: Making) -> None:
        self._make = make

    async def make(self, track: Track) -> None:
        await track.write(lifecycle.start(track.scene, utc_now()))
        await self._make(track)


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A store with one job of four scenes, and what is needed to run it."""

    database: Database
    live: Live
    job_id: str
    retries: RetriesSettings
    terms: AllTermsSettings

    def runner(self, make: Making) -> Runner:
        return Runner(
            store=self.database,
            live=self.live,
            recipe=_Recipe(make),
            retries=self.retries,
            turns=Turns(),
            terms=self.terms,
            now=utc_now,
        )

    async def run(self, make: Making) -> JobSnapshot:
        await self.runner(make).run_job(self.job_id)
        return await self.stored()

    async def stored(self) -> JobSnapshot:
        snapshot = await self.database.job(self.job_id)
        assert snapshot is not None
        return snapshot

    async def kinds(self, scene: Scene) -> list[EventKind]:
        return [item.kind for item in await self.database.events(self.job_id) if item.scene_id == scene.id]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.open()
    session = Session(id="session", brief=Brief(product="Lamp"), created_at=NOW, updated_at=NOW)
    await database.create_session(session)
    job = Job(id="job", session_id="session", created_at=NOW)
    scenes = [
        Scene(
            id=f"{scenario}-scene",
            job_id="job",
            session_id="session",
            scenario=scenario,
            take=0,
            prompt="A lamp",
            model="local:preview@1",
            provider="local",
            seconds=1.0,
            width=256,
            height=144,
            task_id=str(uuid.uuid4()),
            created_at=NOW,
            updated_at=NOW,
        )
        for scenario in Scenario
    ]
    await database.create_job(job, scenes)
    settings = settings_for(tmp_path)
    yield Rig(database=database, live=Live(), job_id="job", retries=settings.retries, terms=settings.terms)
    await database.close()


async def _succeed(track: Track) -> None:
    """The shortest way to a take."""
    scene = track.scene
    take = Take(
        id=str(uuid.uuid4()),
        session_id=scene.session_id,
        scene_id=scene.id,
        scenario=scene.scenario,
        number=scene.take,
        file=f"{scene.id}.mp4",
        prompt=scene.prompt,
        model=scene.model,
        provider=scene.provider,
        seconds=1.0,
        width=256,
        height=144,
        size=1,
        cost_usd=None,
        created_at=NOW,
    )
    await track.write(lifecycle.succeed(scene, take, utc_now()))


def _only(scenario: Scenario, make: Making) -> Making:
    """``make`` for one scenario, success for the others."""

    async def chosen(track: Track) -> None:
        await (make if track.scene.scenario is scenario else _succeed)(track)

    return chosen


def _raising(error: BaseException) -> Making:
    async def make(track: Track) -> None:
        raise error

    return make


async def _forever(track: Track) -> None:
    await asyncio.Event().wait()


def _states(snapshot: JobSnapshot) -> list[SceneState]:
    return [scene.state for scene in snapshot.scenes]


# ---------------------------------------------------------------------- together


async def test_scenes_run_side_by_side(rig: Rig) -> None:
    barrier = asyncio.Barrier(4)

    async def meet(track: Track) -> None:
        async with asyncio.timeout(5):
            await barrier.wait()
        await _succeed(track)

    job = await rig.run(meet)
    assert job.job.state is JobState.SUCCEEDED
    assert [scene.attempt for scene in job.scenes] == [1, 1, 1, 1]


async def test_what_is_on_disk_is_what_is_shown(rig: Rig) -> None:
    stored = await rig.run(_only(Scenario.CTA, _raising(ProviderError("No"))))
    shown = rig.live.get(rig.job_id)
    assert shown is not None
    assert shown.snapshot == stored


async def test_a_transition_is_on_disk_before_it_is_shown(rig: Rig) -> None:
    seen: list[tuple[JobState, SceneState]] = []

    async def look(track: Track) -> None:
        waiting = asyncio.create_task(rig.live.until(rig.job_id, lambda it: it.scenes[0].terminal))
        await _succeed(track)
        await waiting
        stored = await rig.stored()
        seen.append((stored.job.state, stored.scenes[0].state))

    await rig.run(_only(Scenario.HOOK, look))
    assert seen[0][1] is SceneState.SUCCEEDED


async def test_ended_scenes_are_not_run_again(rig: Rig) -> None:
    await rig.run(_only(Scenario.HOOK, _raising(ProviderError("No"))))
    before = await rig.database.events(rig.job_id)
    job = await rig.run(_raising(AssertionError("nothing is left to do")))
    assert await rig.database.events(rig.job_id) == before
    assert job.job.state is JobState.PARTIAL


async def test_a_job_that_is_not_there_is_no_work(rig: Rig) -> None:
    await rig.runner(_forever).run_job("nothing")


# ---------------------------------------------------------------------- failing


async def test_one_failing_scene_does_not_stop_the_others(rig: Rig) -> None:
    failed = asyncio.Event()

    async def fail_first(track: Track) -> None:
        if track.scene.scenario is Scenario.PROBLEM:
            failed.set()
            raise ProviderError("The model fell over")
        await failed.wait()
        await _succeed(track)

    job = await rig.run(fail_first)
    assert job.job.state is JobState.PARTIAL
    assert _states(job).count(SceneState.SUCCEEDED) == 3
    assert job.scenes[1].state is SceneState.FAILED


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            ProviderError("No credit", code="quota", retryable=False, details={"provider_code": "E7"}),
            SceneFailure(code="quota", message="No credit", retryable=False, provider_code="E7"),
        ),
        (
            DownloadError(),
            SceneFailure(
                code="download", message="The finished video could not be downloaded.", retryable=True
            ),
        ),
        (
            SceneError("Lámpa 🪔", details={"provider_code": ""}),
            SceneFailure(code="scene_failed", message="Lámpa 🪔", retryable=True),
        ),
    ],
)
async def test_a_scene_error_becomes_the_reason_of_the_failure(
    rig: Rig, error: SceneError, failure: SceneFailure
) -> None:
    job = await rig.run(_only(Scenario.HOOK, _raising(error)))
    assert (job.scenes[0].state, job.scenes[0].failure) == (SceneState.FAILED, failure)
    assert (await rig.kinds(job.scenes[0]))[-1] is EventKind.FAILED


class _OddDetails(Exception):
    """Another library's error, whose ``details`` are not ours."""

    details = "text"


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("secret-internals"),
        KeyError("secret-internals"),
        OSError(28, "secret-internals"),
        TimeoutError("secret-internals"),
        ExceptionGroup("secret-internals", [ValueError("secret-internals")]),
        AssertionError("secret-internals"),
        _OddDetails("secret-internals"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_anything_unexpected_fails_the_scene_without_telling_internals(
    rig: Rig, error: Exception
) -> None:
    job = await rig.run(_only(Scenario.HOOK, _raising(error)))
    failure = job.scenes[0].failure
    assert failure is not None
    assert (failure.code, failure.retryable) == ("internal", True)
    assert failure.message.startswith("Something went wrong")
    events = await rig.database.events(rig.job_id)
    told = repr(job) + repr(events)
    assert not any(word in told for word in ("secret-internals", type(error).__name__, "Traceback"))
    assert job.job.state is JobState.PARTIAL


@pytest.mark.parametrize("name", ["code", "event", "level", "scene", "provider_code"])
async def test_whatever_an_error_tells_of_itself_the_scene_fails(rig: Rig, name: str) -> None:
    error = ProviderError("No", details={name: "E7"})
    job = await rig.run(_only(Scenario.HOOK, _raising(error)))
    assert job.scenes[0].state is SceneState.FAILED


async def test_an_error_after_the_success_changes_nothing(rig: Rig) -> None:
    async def stumble(track: Track) -> None:
        await _succeed(track)
        raise OSError(13, "a leftover could not be removed")

    job = await rig.run(_only(Scenario.HOOK, stumble))
    assert _states(job) == [SceneState.SUCCEEDED] * 4
    assert EventKind.FAILED not in await rig.kinds(job.scenes[0])


# ---------------------------------------------------------------------- superseded and parked


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("error", [ProviderError("late"), ZeroDivisionError(), None])
async def test_a_late_verdict_does_not_end_a_scene_that_has_moved_on(
    rig: Rig, error: Exception | None
) -> None:
    """A write may land although its answer was lost: the scene is taken up as the store has it."""
    runs = 0

    async def make(track: Track) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await rig.database.apply(lifecycle.start(track.scene, utc_now()))
            if error:
                raise error
        await _succeed(track)

    job = await rig.run(_only(Scenario.HOOK, make))
    assert _states(job) == [SceneState.SUCCEEDED] * 4
    assert (runs, job.scenes[0].attempt) == (2, 3)
    assert EventKind.FAILED not in await rig.kinds(job.scenes[0])
    shown = rig.live.get(rig.job_id)
    assert shown is not None
    assert shown.snapshot == job


@pytest.mark.usefixtures("impatient")
async def test_a_success_whose_answer_was_lost_is_not_made_again(rig: Rig) -> None:
    runs = 0

    async def make(track: Track) -> None:
        nonlocal runs
        runs += 1
        before = track.scene
        await _succeed(track)
        track.scene = before
        raise StoreUnavailable

    job = await rig.run(_only(Scenario.HOOK, make))
    assert _states(job) == [SceneState.SUCCEEDED] * 4
    assert runs == 1


async def test_a_parked_scene_waits_and_the_others_end(rig: Rig) -> None:
    runner = rig.runner(_only(Scenario.CTA, _raising(Parked("begun with another"))))
    async with asyncio.timeout(5):
        await runner.run_job(rig.job_id)
    job = await rig.stored()
    assert _states(job) == [SceneState.SUCCEEDED] * 3 + [SceneState.RUNNING]
    assert runner.parked == {job.scenes[3].id}
    assert await rig.database.unfinished_jobs() == [rig.job_id]


# ---------------------------------------------------------------------- stopping


async def test_a_stop_is_not_a_failure_and_the_next_run_takes_up_the_scenes(rig: Rig) -> None:
    reached = asyncio.Barrier(5)

    async def hang(track: Track) -> None:
        await track.write(lifecycle.sent(track.scene, utc_now()))
        await reached.wait()
        await asyncio.Event().wait()

    running = asyncio.create_task(rig.runner(hang).run_job(rig.job_id))
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = await rig.stored()
    assert _states(left) == [SceneState.RUNNING] * 4
    assert {scene.stage for scene in left.scenes} == {Stage.SENT}
    assert await rig.database.unfinished_jobs() == [rig.job_id]

    job = await rig.run(_succeed)
    assert job.job.state is JobState.SUCCEEDED
    assert [scene.attempt for scene in job.scenes] == [2, 2, 2, 2]
    assert [scene.task_id for scene in job.scenes] == [scene.task_id for scene in left.scenes]


async def test_the_executor_lets_go_of_all_jobs_at_once(rig: Rig) -> None:
    runner = rig.runner(_forever)
    executor = EmbeddedExecutor(runner.run_job, runner.reconsider)
    rig.live.add(await rig.stored())
    executor.submit(rig.job_id)
    await rig.live.until(rig.job_id, lambda it: all(scene.state is SceneState.RUNNING for scene in it.scenes))
    async with asyncio.timeout(5):
        await executor.stop()
    assert _states(await rig.stored()) == [SceneState.RUNNING] * 4


async def test_a_job_submitted_twice_runs_once() -> None:
    runs: list[str] = []
    done = asyncio.Event()

    async def run_job(job_id: str) -> None:
        runs.append(job_id)
        await done.wait()

    executor = EmbeddedExecutor(run_job, lambda _: None)
    for _ in range(3):
        executor.submit("job")
        await asyncio.sleep(0)
    assert runs == ["job"]
    await executor.stop()


# ---------------------------------------------------------------------- a store that cannot


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runner and executor try again soon."""
    monkeypatch.setattr(runner_module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(embedded, "_FIRST_PAUSE", 0.01)


@asynccontextmanager
async def _executing(rig: Rig, runner: Runner) -> AsyncIterator[JobSnapshot]:
    """The job's end."""
    rig.live.add(await rig.stored())
    executor = EmbeddedExecutor(runner.run_job, runner.reconsider)
    executor.submit(rig.job_id)
    try:
        async with asyncio.timeout(20):
            yield await rig.live.until(rig.job_id, lambda it: it.job.closed)
    finally:
        await executor.stop()


@pytest.mark.usefixtures("impatient")
async def test_a_store_that_cannot_is_no_end_of_a_scene_and_the_job_is_run_again(rig: Rig) -> None:
    await rig.database._writes.run(lambda it: it.exec_driver_sql("PRAGMA busy_timeout = 20").all())
    refused: list[Exception] = []

    async def meet_a_rival(track: Track) -> None:
        if not refused:
            with closing(sqlite3.connect(rig.database.path, check_same_thread=False)) as rival:
                await asyncio.to_thread(rival.execute, "BEGIN IMMEDIATE")
                try:
                    await _succeed(track)
                except StoreUnavailable as error:
                    refused.append(error)
                    raise
        await _succeed(track)

    async with _executing(rig, rig.runner(_only(Scenario.HOOK, meet_a_rival))) as shown:
        assert _states(shown) == [SceneState.SUCCEEDED] * 4
    stored = await rig.stored()
    assert stored == shown
    assert len(refused) == 1
    assert stored.scenes[0].attempt == 2
    assert EventKind.FAILED not in await rig.kinds(stored.scenes[0])


@pytest.mark.usefixtures("impatient")
async def test_a_failure_that_cannot_be_written_is_written_by_the_next_run(rig: Rig) -> None:
    runs = 0

    async def fail(track: Track) -> None:
        nonlocal runs
        runs += 1
        raise StoreUnavailable if runs == 1 else ProviderError("No")

    async with _executing(rig, rig.runner(_only(Scenario.HOOK, fail))) as shown:
        assert _states(shown) == [SceneState.FAILED] + [SceneState.SUCCEEDED] * 3


@pytest.mark.usefixtures("impatient")
async def test_a_job_that_could_not_be_read_is_run_again() -> None:
    runs = 0
    done = asyncio.Event()

    async def run_job(job_id: str) -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise StoreUnavailable
        done.set()

    executor = EmbeddedExecutor(run_job, lambda _: None)
    executor.submit("job")
    async with asyncio.timeout(5):
        await done.wait()
    await executor.stop()
    assert runs == 3


class _Failing(Database):
    """Cannot write "sent" the first time; the render is over when that turns out."""

    provider: LocalProvider
    failed = False

    async def apply(self, transition: Transition) -> Job | None:
        event, task = transition.event, self.provider._runs.get(transition.after.task_id)
        if event and event.kind is EventKind.SENT and task and task.task and not self.failed:
            self.failed = True
            await asyncio.wait({task.task})
            raise StoreUnavailable
        return await super().apply(transition)


@pytest.mark.usefixtures("impatient")
async def test_a_store_that_fails_while_the_renderer_works_fails_no_scene(rig: Rig, tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    outputs = Outputs(settings.outputs.dir)
    outputs.open()
    workers = MediaWorkers()
    provider = LocalProvider(workers, scratch=outputs.folder, preset="ultrafast")
    await rig.database.close()
    database = _Failing(settings.database.url)
    database.provider = provider
    await database.open()
    recipe = ClipRecipe(
        provider=provider,
        catalogue=Catalogue(settings),
        slots=Slots(settings.limits, {}),
        circuits=Circuits("local", settings.limits),
        watch=Watch(provider, polls_per_second=1000),
        estimates=Estimates(),
        uploads=Uploads(settings.images.dir),
        delivery=Delivery(
            provider=provider,
            downloader=Downloader(settings.downloads, scratch=outputs.folder),
            workers=workers,
            outputs=outputs,
            downloads=settings.downloads,
            mirror=None,
            now=utc_now,
        ),
        now=utc_now,
    )
    again = replace(rig, database=database, live=Live())
    runner = Runner(
        store=database,
        live=again.live,
        recipe=recipe,
        retries=settings.retries,
        turns=Turns(),
        terms=settings.terms,
        now=utc_now,
    )
    try:
        async with _executing(again, runner) as shown:
            assert database.failed
            assert [scene.failure for scene in shown.scenes] == [None] * 4
    finally:
        await provider.close()
        await database.close()
        outputs.close()


# ---------------------------------------------------------------------- turns


@pytest.fixture
def narrow(rig: Rig, tmp_path: Path) -> Rig:
    """The rig, where one job of a user runs at a time."""
    narrow = settings_for(
        tmp_path,
        {
            "terms": {"scenes": {"running": 1}, "gallery": {"running": 1}},
            "retries": {"most": 1, "codes": ["provider"], "pause_seconds": 1000},
        },
    )
    return replace(rig, terms=narrow.terms, retries=narrow.retries)


def _clip(name: str, **changes: Any) -> tuple[Job, Scene]:
    job = Job(id=name, session_id=None, created_at=NOW, **{"owner": "ann", "terms": "scenes", **changes})
    scene = Scene(
        id=name,
        job_id=name,
        session_id=None,
        scenario=None,
        take=0,
        prompt="A lamp",
        model="local:preview@1",
        provider="local",
        seconds=1.0,
        width=256,
        height=144,
        task_id=str(uuid.uuid4()),
        created_at=NOW,
        updated_at=NOW,
    )
    return job, scene


class _Works:
    """Recipes by the scene's name; who has none here stays at work. Knows who has begun."""

    def __init__(self, **makings: Making) -> None:
        self._makings = makings
        self.begun: list[str] = []
        self._news = asyncio.Event()

    async def __call__(self, track: Track) -> None:
        self.begun.append(track.scene.id)
        self._news.set()
        await self._makings.get(track.scene.id, _forever)(track)

    async def until(self, *names: str) -> None:
        """Until these have begun, one after the other."""
        async with asyncio.timeout(10):
            while self.begun != list(names):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def _at_work(rig: Rig, works: _Works, *jobs: tuple[Job, Scene]) -> AsyncIterator[Runner]:
    """The jobs are on record, and all submitted, as at the start of a service."""
    runner = rig.runner(works)
    executor = EmbeddedExecutor(runner.run_job, runner.reconsider)
    for job, scene in jobs:
        found = await rig.database.job(job.id)
        rig.live.add(found or await rig.database.create_job(job, [scene]))
    for job, _ in jobs:
        executor.submit(job.id)
    try:
        yield runner
    finally:
        await executor.stop()
    assert (runner._turns._lines, runner._turns._held) == ({}, {})


async def _waits(rig: Rig, runner: Runner, job_id: str) -> None:
    """Until the job stands in line, and says so."""
    async with asyncio.timeout(10):
        while True:
            known = rig.live.get(job_id)
            assert known is not None
            if runner._turns.place(known.snapshot.job):
                assert known.notes == {job_id: "Waiting for one of the 1 jobs that run already"}
                return
            await known.changed.wait()


async def _park(track: Track) -> None:
    raise Parked("begun with another")


async def _wait_for_a_verdict(track: Track) -> None:
    await track.write(lifecycle.sent(track.scene, utc_now()))
    await track.write(lifecycle.reconcile(track.scene, utc_now()))
    await _forever(track)


async def _dawdle(track: Track) -> None:
    await _succeed(track)
    await _forever(track)


async def _be_cancelled(track: Track) -> None:
    await track.write(
        lifecycle.fail(track.scene, SceneFailure(code="x", message="x", retryable=True), utc_now())
    )
    await _forever(track)


@pytest.mark.parametrize(
    "making",
    [
        _succeed,
        _dawdle,
        _be_cancelled,
        _park,
        _wait_for_a_verdict,
        _raising(ProviderError("No", code="provider")),
        _raising(ProviderError("No", code="safety")),
        _raising(ZeroDivisionError()),
        _raising(StoreUnavailable()),
    ],
    ids=[
        "success",
        "success with an afterthought",
        "failure with an afterthought",
        "parked",
        "late verdict",
        "pause before a retry",
        "failure",
        "fault of ours",
        "no store",
    ],
)
async def test_whoever_rests_lets_the_next_job_run(narrow: Rig, making: Making) -> None:
    works = _Works(first=making)
    async with _at_work(narrow, works, _clip("first"), _clip("second")):
        await works.until("first", "second")


async def test_a_job_waits_for_its_users_turn_and_says_so(narrow: Rig) -> None:
    go = asyncio.Event()

    async def first(track: Track) -> None:
        await go.wait()
        await _succeed(track)

    works = _Works(first=first)
    others = [_clip("bob's", owner="bob"), _clip("gallery", terms="gallery"), _clip("free", terms="credits")]
    async with _at_work(narrow, works, _clip("first"), _clip("second"), *others) as runner:
        await _waits(narrow, runner, "second")
        async with asyncio.timeout(10):
            while sorted(works.begun) != ["bob's", "first", "free", "gallery"]:
                await asyncio.sleep(0)
        go.set()
        await narrow.live.until("second", lambda it: it.scenes[0].state is SceneState.RUNNING)
        known = narrow.live.get("second")
        assert known is not None
        assert not any(known.notes.values())


async def test_who_is_put_back_keeps_the_turn(narrow: Rig) -> None:
    async def first(track: Track) -> None:
        await track.write(lifecycle.put_back(track.scene, utc_now()))
        put_back.set()
        await _forever(track)

    put_back = asyncio.Event()
    works = _Works(first=first)
    async with _at_work(narrow, works, _clip("first"), _clip("second")) as runner:
        await put_back.wait()
        await _waits(narrow, runner, "second")
        assert works.begun == ["first"]


async def test_who_is_cancelled_while_waiting_leaves_the_line(narrow: Rig) -> None:
    works = _Works()
    async with _at_work(narrow, works, _clip("first"), _clip("gone"), _clip("next")) as runner:
        await _waits(narrow, runner, "next")
        for name in ("gone", "first"):
            await narrow.database.cancel(name, [name], utc_now())
            runner.reconsider([name])
        await works.until("first", "next", "first")  # whose video may come, and which needs no turn for that


async def test_an_owed_video_takes_nobodys_turn_after_a_restart(narrow: Rig) -> None:
    works = _Works()
    async with _at_work(narrow, works, _clip("first")):
        await works.until("first")
    await narrow.database.cancel("first", ["first"], utc_now())
    restarted = replace(narrow, live=Live())
    works = _Works()
    async with _at_work(restarted, works, _clip("first"), _clip("second")):
        async with asyncio.timeout(10):
            while sorted(works.begun) != ["first", "second"]:
                await asyncio.sleep(0)


async def test_after_a_restart_no_job_that_waited_passes_one_under_way(narrow: Rig) -> None:
    async with _at_work(narrow, works := _Works(), _clip("z under way")):
        await works.until("z under way")
    works = _Works()
    jobs = [*(_clip(f"{number}") for number in range(5)), _clip("z under way")]
    async with _at_work(replace(narrow, live=Live()), works, *jobs) as runner:
        for number in range(5):
            await _waits(replace(narrow, live=runner._live), runner, f"{number}")
        await works.until("z under way")


async def test_a_job_that_ended_before_it_was_taken_up_again_leaves_no_turn(narrow: Rig) -> None:
    async with _at_work(narrow, works := _Works(), _clip("first")):
        await works.until("first")
    stored = await narrow.database.job("first")
    assert stored is not None
    shown = replace(narrow, live=Live())
    shown.live.add(stored)
    await narrow.database.apply(
        lifecycle.fail(stored.scenes[0], SceneFailure(code="x", message="x", retryable=True), utc_now())
    )
    works = _Works()
    async with _at_work(shown, works, _clip("first"), _clip("second")):
        await works.until("second")


async def test_scenes_of_one_job_share_its_turn(narrow: Rig) -> None:
    """The rig's own job has four scenes and nobody's name; so has this clip."""
    works = _Works()
    runner = narrow.runner(works)
    executor = EmbeddedExecutor(runner.run_job, runner.reconsider)
    narrow.live.add(await narrow.stored())
    executor.submit(narrow.job_id)
    async with asyncio.timeout(10):
        while len(works.begun) < 4:
            await asyncio.sleep(0)
    narrow.live.add(await narrow.database.create_job(*_one(_clip("second", owner=None))))
    executor.submit("second")
    await _waits(narrow, runner, "second")
    hook, *others = (await narrow.stored()).scenes
    for scene in (hook, *others):
        assert "second" not in works.begun
        await narrow.database.cancel(narrow.job_id, [scene.id], utc_now())
        runner.reconsider([scene.id])
    async with asyncio.timeout(10):
        while "second" not in works.begun:
            await asyncio.sleep(0)
    await executor.stop()


def _one(clip: tuple[Job, Scene]) -> tuple[Job, list[Scene]]:
    return clip[0], [clip[1]]
