"""The latest snapshot of each job, and who waits for it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service import live as module
from service.live import Live, LiveJob, Rendered
from sessions.errors import Stopping
from sessions.model import Job, JobSnapshot, JobState, Scenario, Scene, SceneState
from sessions.rollup import job_state

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _snapshot(job_id: str = "job", *, closed: bool = False, progress: int = 0) -> JobSnapshot:
    state = SceneState.SUCCEEDED if closed else SceneState.RUNNING
    scenes = tuple(
        Scene(
            id=f"{job_id}-{scenario}",
            job_id=job_id,
            session_id="session",
            scenario=scenario,
            take=1,
            prompt="A lamp",
            model="local:preview@1",
            provider="local",
            seconds=1.0,
            width=256,
            height=144,
            task_id=f"task of {job_id}-{scenario}",
            created_at=NOW,
            updated_at=NOW,
            state=state,
            progress=100 if closed else progress,
        )
        for scenario in Scenario
    )
    return JobSnapshot(
        job=Job(id=job_id, session_id="session", created_at=NOW, state=job_state([state])), scenes=scenes
    )


def _step(
    live: Live, index: int = 0, job_id: str = "job", *, closed: bool = False, progress: int = 50
) -> None:
    """One scene moves; ``closed`` says that it was the last."""
    known = live.get(job_id)
    assert known is not None
    state = JobState.SUCCEEDED if closed else JobState.RUNNING
    scene = replace(known.snapshot.scenes[index], progress=progress)
    live.show(scene, replace(known.snapshot.job, state=state))


class _Render:
    """Counts how often it runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, job: LiveJob) -> Rendered:
        self.runs += 1
        return Rendered(repr([scene.progress for scene in job.snapshot.scenes]).encode())


def _closed(snapshot: JobSnapshot) -> bool:
    return snapshot.job.closed


# ---------------------------------------------------------------------- bytes


def test_a_snapshot_is_rendered_once_however_many_ask() -> None:
    live, render = Live(), _Render()
    job = live.add(_snapshot())
    first = job.rendered(render)
    assert all(job.rendered(render) is first for _ in range(100))
    assert render.runs == 1

    _step(live)

    shown = live.get("job")
    assert shown is not None
    assert shown.rendered(render).body == b"[50, 0, 0, 0]"
    assert render.runs == 2
    assert job.rendered(render) is first, "a snapshot is replaced, never changed"


def test_each_contract_has_its_own_bytes() -> None:
    job = Live().add(_snapshot())
    assert job.rendered(lambda _: Rendered(b"one")).body == b"one"
    assert job.rendered(lambda _: Rendered(b"two")).body == b"two"


def test_equal_content_has_an_equal_etag_even_after_a_restart() -> None:
    render = _Render()
    first = Live().add(_snapshot()).rendered(render).etag
    again = Live().add(_snapshot()).rendered(render).etag
    other = Live().add(_snapshot(progress=1)).rendered(render).etag
    assert first == again != other
    assert re.fullmatch(r'"[0-9a-f]+"', first), "quoted, as the header wants it"


# ---------------------------------------------------------------------- which snapshot


def test_a_snapshot_from_the_store_never_replaces_a_newer_one() -> None:
    live = Live()
    live.add(_snapshot())
    _step(live, progress=50)
    assert live.add(_snapshot()).snapshot.scenes[0].progress == 50
    _step(live, progress=100, closed=True)
    late = live.add(_snapshot())
    assert late.snapshot.job.closed
    assert late is live.get("job")


async def test_what_the_store_says_corrects_what_was_shown_and_wakes_who_waits() -> None:
    live = Live()
    live.add(_snapshot())
    waiter = asyncio.create_task(live.until("job", _closed))
    await asyncio.sleep(0)
    live.correct(_snapshot(progress=30))
    shown = live.get("job")
    assert shown is not None
    assert shown.snapshot == _snapshot(progress=30)
    live.correct(_snapshot(progress=30))
    assert live.get("job") is shown, "nothing new, nothing to render again"
    live.correct(_snapshot(closed=True))
    async with asyncio.timeout(5):
        assert (await waiter).job.closed


def test_a_job_that_nobody_has_asked_for_is_taken_in_by_a_correction() -> None:
    live = Live()
    live.correct(_snapshot())
    shown = live.get("job")
    assert shown is not None
    assert shown.snapshot == _snapshot()


def test_only_the_scene_that_moved_is_replaced() -> None:
    live = Live()
    live.add(_snapshot())
    _step(live, 2, progress=30)
    _step(live, 0, progress=10)
    shown = live.get("job")
    assert shown is not None
    assert [scene.progress for scene in shown.snapshot.scenes] == [10, 0, 30, 0]
    assert [scene.scenario for scene in shown.snapshot.scenes] == list(Scenario)


def test_jobs_do_not_mix() -> None:
    live = Live()
    live.add(_snapshot("a"))
    live.add(_snapshot("b"))
    _step(live, job_id="a")
    other = live.get("b")
    assert other is not None
    assert [scene.progress for scene in other.snapshot.scenes] == [0, 0, 0, 0]
    assert live.get("c") is None


def test_closed_jobs_are_bounded_and_moving_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLOSED_KEPT", 3)
    live = Live()
    live.add(_snapshot("moving"))
    for number in range(10):
        live.add(_snapshot(f"old-{number}", closed=True))
        live.add(_snapshot(f"new-{number}"))
        _step(live, job_id=f"new-{number}", closed=True)
    kept = [name for number in range(10) for name in (f"old-{number}", f"new-{number}") if live.get(name)]
    assert kept == ["new-8", "old-9", "new-9"]
    assert live.get("moving") is not None


# ---------------------------------------------------------------------- waiting


async def test_what_is_reached_already_needs_no_wait() -> None:
    live = Live()
    live.add(_snapshot(closed=True))
    live.stop()
    assert (await live.until("job", _closed)).job.closed


async def test_a_waiter_sees_the_change_it_waits_for() -> None:
    live = Live()
    live.add(_snapshot())
    waiter = asyncio.create_task(live.until("job", lambda it: it.scenes[0].progress >= 70))
    for progress in (10, 30, 70, 80):
        _step(live, progress=progress)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (await waiter).scenes[0].progress == 70, "it was woken at the change, not at the end"


async def test_changes_between_two_turns_of_a_waiter_are_not_lost() -> None:
    live = Live()
    live.add(_snapshot())
    waiter = asyncio.create_task(live.until("job", _closed))
    await asyncio.sleep(0)
    for progress in (10, 30, 70):
        _step(live, progress=progress)
    _step(live, progress=100, closed=True)
    async with asyncio.timeout(5):
        assert (await waiter).scenes[0].progress == 100


async def test_a_thousand_waiters_are_all_served() -> None:
    live = Live()
    live.add(_snapshot())
    waiters = [asyncio.create_task(live.until("job", _closed)) for _ in range(1000)]
    await asyncio.sleep(0)
    for index in range(4):
        _step(live, index, progress=100, closed=index == 3)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        found = await asyncio.gather(*waiters)
    assert all(snapshot is found[0] for snapshot in found)


async def test_a_waiter_that_leaves_disturbs_nobody() -> None:
    live = Live()
    live.add(_snapshot())
    leaving, staying = (asyncio.create_task(live.until("job", _closed)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    _step(live, closed=True)
    async with asyncio.timeout(5):
        assert (await staying).job.closed
    assert leaving.cancelled()


async def test_stopping_sends_all_who_wait_home() -> None:
    live = Live()
    for job_id in ("a", "b"):
        live.add(_snapshot(job_id))
    waiters = [asyncio.create_task(live.until(job_id, _closed)) for job_id in ("a", "b") for _ in range(10)]
    await asyncio.sleep(0)
    live.stop()
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Stopping}


async def test_nobody_begins_to_wait_once_it_stops() -> None:
    live = Live()
    live.add(_snapshot())
    live.stop()
    async with asyncio.timeout(5):
        with pytest.raises(Stopping):
            await live.until("job", _closed)
        _step(live)  # a job that still moves while the server stops
        with pytest.raises(Stopping):
            await live.until("job", _closed)


async def test_old_news_of_one_scene_leaves_its_siblings_and_a_closed_job_alone() -> None:
    """A scene that reads itself back from the store brings a job that may be older than what is shown."""
    live = Live()
    begun = _snapshot()
    live.add(begun)
    done = [replace(scene, state=SceneState.SUCCEEDED, progress=100) for scene in begun.scenes]
    closed = replace(begun.job, state=JobState.SUCCEEDED, finished_at=begun.job.created_at)
    for scene in done[:-1]:
        live.show(scene, replace(begun.job, state=JobState.RUNNING))
    live.show(done[-1], closed)
    live.show(done[0], replace(begun.job, state=JobState.RUNNING))
    shown = live.get(begun.job.id)
    assert shown is not None
    assert shown.snapshot.job == closed
    assert list(shown.snapshot.scenes) == done


# ---------------------------------------------------------------------- what owners delete


def _shown(live: Live, job_id: str = "job") -> JobSnapshot:
    known = live.get(job_id)
    assert known is not None
    return known.snapshot


async def test_who_waits_hears_that_a_job_is_deleted() -> None:
    live = Live()
    waiting = asyncio.create_task(live.add(_snapshot()).changed.wait())
    await asyncio.sleep(0)
    live.delete("job", NOW)
    async with asyncio.timeout(5):
        await waiting
    assert _shown(live).job.deleted_at == NOW
    live.delete("nobody's", NOW)
    assert live.get("nobody's") is None


@pytest.mark.parametrize("closed", [True, False])
def test_a_deleted_job_stays_deleted_whatever_comes_of_its_scenes(*, closed: bool) -> None:
    live = Live()
    begun = _snapshot(closed=closed)
    live.add(begun)
    live.delete("job", NOW)
    live.show(replace(begun.scenes[0], progress=99), replace(begun.job, state=JobState.RUNNING))
    assert (_shown(live).job.deleted_at, _shown(live).scenes[0].progress) == (NOW, 99)
    live.note(begun.scenes[0], "Waiting")
    live.add(begun)
    assert _shown(live).job.deleted_at == NOW


def test_what_was_read_before_it_was_deleted_brings_nothing_back() -> None:
    """A job that is taken up reads the store, and shows what it has read a moment later."""
    live = Live()
    read = _snapshot()
    live.add(read)
    live.remove_video(read.scenes[1], NOW)
    live.delete("job", NOW)
    newer = replace(read, scenes=tuple(replace(scene, progress=60) for scene in read.scenes))
    live.correct(newer)
    shown = _shown(live)
    assert shown.job.deleted_at == NOW
    assert [scene.removed_at for scene in shown.scenes] == [None, NOW, None, None]
    assert [scene.progress for scene in shown.scenes] == [60] * 4


def test_a_removed_video_is_gone_for_all_who_ask_and_the_other_scenes_are_as_they_were() -> None:
    live = Live()
    begun = _snapshot(closed=True)
    job = live.add(begun)
    live.remove_video(begun.scenes[2], NOW)
    assert job.changed.is_set()
    assert _shown(live).scenes[2] == replace(begun.scenes[2], removed_at=NOW)
    assert [it for it in _shown(live).scenes if it.removed_at is None] == [
        scene for scene in begun.scenes if scene.id != begun.scenes[2].id
    ]
    live.remove_video(_snapshot("another").scenes[0], NOW)
    assert live.get("another") is None


def test_an_answer_is_made_once_for_each_thing_it_is_about() -> None:
    live = Live()
    job = live.add(_snapshot())
    made: list[tuple[str, ...]] = []

    def render(of: LiveJob, *about: str) -> Rendered:
        assert of is job
        made.append(about)
        return Rendered(repr(about).encode())

    for _ in range(3):
        for about in ((), ("a",), ("b",), ("a", "b")):
            assert job.rendered(render, *about).body == repr(about).encode()
    assert made == [(), ("a",), ("b",), ("a", "b")]
    for number in range(1000):
        job.rendered(render, str(number))
    assert len(job._rendered) <= 16
