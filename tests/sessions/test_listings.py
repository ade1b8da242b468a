"""Pages and figures: what is on them, whose it is, and that no table is read from end to end for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from sessions import lifecycle, listings, reads
from sessions.database import Database
from sessions.errors import QuotaReached
from sessions.model import Frames, Job, JobState, Scene, SceneState, Video
from sessions.quota import Quota
from sessions.viewer import EVERYTHING, SERVICE, Viewer
from tests.sessions.making import (
    FAILURE,
    NOW,
    ODD,
    a_session,
    a_take,
    after,
    an_order,
    applied,
    end,
    new_id,
    sql,
)

_PLAIN: dict[str, Any] = {"favorites_only": False, "from_image": None, "limit": 10, "offset": 0}
ANN, BOB, NOBODY = Viewer(owner="ann"), Viewer(owner="bob"), Viewer()
ALL = frozenset(JobState)


async def _clip(
    database: Database,
    owner: str | None = "ann",
    *,
    at: datetime = NOW,
    terms: str = "gallery",
    **changes: Any,
) -> Scene:
    job_id = new_id()
    job = Job(
        id=job_id, session_id=None, created_at=at, owner=owner, terms=terms, asked=changes.pop("asked", {})
    )
    values: dict[str, Any] = {
        "id": job_id,
        "job_id": job_id,
        "session_id": None,
        "scenario": None,
        "take": 0,
        "prompt": "A lamp",
        "model": "local:preview@1",
        "provider": "local",
        "seconds": 5.0,
        "width": 256,
        "height": 144,
        "task_id": new_id(),
        "created_at": at,
        "updated_at": at,
    }
    return (await database.create_job(job, [Scene(**{**values, **changes})])).scenes[0]


async def _made(
    database: Database, owner: str | None = "ann", *, at: datetime = NOW, **changes: Any
) -> Scene:
    scene = await _clip(database, owner, at=at, **changes)
    await end(database, scene, at)
    return scene


async def _jobs(
    database: Database, viewer: Viewer, states: frozenset[JobState] = ALL, *, limit: int = 10, offset: int = 0
) -> tuple[list[str], int]:
    found, total = await database.jobs(viewer, states, limit=limit, offset=offset)
    return [it.job.id for it in found], total


async def _videos(database: Database, viewer: Viewer, **how: Any) -> tuple[list[str], int]:
    found, total = await database.videos(viewer, **{"limit": 10, "offset": 0, **how})
    return [it.scene.id for it in found], total


# ---------------------------------------------------------------------- jobs


async def test_a_clips_job_comes_back_as_it_was(database: Database) -> None:
    frames = Frames(first="a" * 64 + ".jpg", last="http://x/i.png", references=(ODD, "http://x/j.png"))
    asked = {ODD: [1, None, {"deep": ODD}]}
    scene = await _clip(database, ODD, asked=asked, frames=frames, sound=False, prompt=ODD, terms="credits")
    (found,), total = await database.jobs(Viewer(owner=ODD), ALL, limit=10, offset=0)
    assert total == 1
    assert found == await database.job(scene.job_id)
    assert (found.job.terms, found.job.owner, dict(found.job.asked)) == ("credits", ODD, asked)
    assert (found.scenes[0].frames, found.scenes[0].sound, found.scenes[0].take) == (frames, False, 1)


async def test_pages_of_jobs_hold_every_job_once_newest_first(database: Database) -> None:
    ids = [(await _clip(database, at=after(number // 2))).job_id for number in range(9)]
    newest_first = sorted(ids, key=lambda it: (-(ids.index(it) // 2), it))
    pages = [await _jobs(database, ANN, limit=2, offset=offset) for offset in range(0, 10, 2)]
    assert [it for page, _ in pages for it in page] == newest_first
    assert {total for _, total in pages} == {9}
    assert await _jobs(database, ANN, limit=0) == ([], 9)


async def test_a_listed_job_has_its_own_scenes_in_running_order(database: Database) -> None:
    session = a_session()
    await database.create_session(session)
    job, scenes = an_order(session)
    made = await database.create_job(job, scenes)
    await _clip(database, at=after(1))
    found, total = await database.jobs(EVERYTHING, ALL, limit=10, offset=0)
    assert (found[1], total) == (made, 2)


async def test_jobs_are_listed_for_their_owner_and_for_those_who_see_everything(database: Database) -> None:
    anns, bobs, nobodys = [
        (await _clip(database, owner, at=after(number))).job_id
        for number, owner in enumerate(("ann", "bob", None))
    ]
    assert await _jobs(database, ANN) == ([anns], 1)
    assert await _jobs(database, BOB) == ([bobs], 1)
    assert await _jobs(database, NOBODY) == ([], 0), "what is nobody's is for those who know its id"
    assert await _jobs(database, EVERYTHING) == await _jobs(database, SERVICE) == ([nobodys, bobs, anns], 3)


async def test_jobs_are_listed_by_state(database: Database) -> None:
    waiting, running, done, lost = [await _clip(database, at=after(number)) for number in range(4)]
    await applied(database, running, lambda it: lifecycle.start(it, NOW))
    await end(database, done)
    await end(database, lost, well=False)
    for states, expected in (
        ({JobState.QUEUED}, [waiting]),
        ({JobState.QUEUED, JobState.RUNNING}, [running, waiting]),
        ({JobState.SUCCEEDED, JobState.FAILED}, [lost, done]),
        ({JobState.PARTIAL}, []),
        (set(), []),
    ):
        assert await _jobs(database, ANN, frozenset(states)) == (
            [it.job_id for it in expected],
            len(expected),
        )


async def test_a_deleted_job_is_there_for_the_service_alone(database: Database) -> None:
    scene = await _clip(database)
    await database.delete_job(scene.job_id, NOW)
    for viewer in (ANN, NOBODY, EVERYTHING):
        assert await _jobs(database, viewer) == ([], 0)
        assert await database.job(scene.job_id, viewer) is None
        assert await database.job_of_scene(scene.id, viewer) is None
        assert await database.job_of_task(scene.task_id, viewer) is None
    found = await database.job(scene.job_id)
    assert found is not None
    assert found.job.deleted_at == NOW
    assert await database.unfinished_jobs() == [scene.job_id]


@pytest.mark.parametrize(("viewer", "sees"), [(ANN, True), (BOB, False), (NOBODY, False), (EVERYTHING, True)])
async def test_a_job_is_found_by_scene_and_task_by_those_who_see_it(
    database: Database, viewer: Viewer, *, sees: bool
) -> None:
    scene, nobodys = await _clip(database), await _clip(database, None)
    expected = scene.job_id if sees else None
    assert await database.job_of_scene(scene.id, viewer) == expected
    assert await database.job_of_task(scene.task_id, viewer) == expected
    assert await database.job_of_scene(nobodys.id, viewer) == nobodys.job_id
    assert await database.job_of_scene(scene.task_id, viewer) is None


async def test_a_deleted_job_is_not_its_sessions_any_more(database: Database) -> None:
    session = a_session()
    await database.create_session(session)
    job, scenes = an_order(session)
    await database.create_job(job, scenes)
    assert [it.id for it in await database.jobs_of(session.id)] == [job.id]
    await database.delete_job(job.id, NOW)
    assert await database.jobs_of(session.id) == []


# ---------------------------------------------------------------------- videos


async def test_pages_of_videos_are_ones_own_newest_first(database: Database) -> None:
    first, second, third = [await _made(database, at=after(number)) for number in range(3)]
    bobs, nobodys = await _made(database, "bob", at=after(9)), await _made(database, None, at=after(8))
    await _clip(database)
    assert await _videos(database, ANN) == ([third.id, second.id, first.id], 3)
    assert await _videos(database, ANN, limit=1, offset=1) == ([second.id], 3)
    assert await _videos(database, NOBODY) == ([], 0)
    assert (await _videos(database, EVERYTHING))[0] == [bobs.id, nobodys.id, third.id, second.id, first.id]


async def test_a_video_comes_with_its_scene_and_its_job(database: Database) -> None:
    scene = await _made(database, frames=Frames(references=(ODD,)), asked={"a": ODD})
    (video,), _ = await database.videos(ANN, limit=10, offset=0)
    job = await database.job(scene.job_id)
    assert job is not None
    assert video == Video(take=video.take, scene=job.scenes[0], job=job.job)
    assert video.take == a_take(job.scenes[0], id=video.take.id)
    assert await database.video(video.take.id, ANN) == await database.video(scene.id, ANN) == video
    for viewer in (BOB, NOBODY):
        assert await database.video(scene.id, viewer) is None


async def test_videos_are_listed_by_what_they_were_made_from_and_by_mark(database: Database) -> None:
    text = await _made(database)
    picture = await _made(database, frames=Frames(first="http://x/i.png"), at=after(1))
    people = await _made(database, frames=Frames(references=("http://x/i.png",)), at=after(2))
    assert await _videos(database, ANN, from_image=True) == ([picture.id], 1)
    assert await _videos(database, ANN, from_image=False) == ([people.id, text.id], 2)
    assert await _videos(database, ANN, favorites_only=True) == ([], 0)
    for scene in (text, picture):
        video = await database.video(scene.id, ANN)
        assert video is not None
        await database.mark_take(video.take.id, after(60), favorite=True)
    marked = await database.video(text.id, ANN)
    assert marked is not None
    assert (marked.take.favorite, marked.take.changed_at) == (True, after(60))
    assert await _videos(database, ANN, favorites_only=True) == ([picture.id, text.id], 2)
    assert await _videos(database, ANN, favorites_only=True, from_image=True) == ([picture.id], 1)


async def test_a_removed_video_is_there_for_nobody_and_a_deleted_jobs_is(database: Database) -> None:
    removed, deleted = await _made(database), await _made(database)
    await database.remove_video(removed.id, NOW)
    await database.delete_job(deleted.job_id, NOW)
    for viewer in (ANN, EVERYTHING, SERVICE):
        assert await _videos(database, viewer) == ([deleted.id], 1)
        assert await database.video(removed.id, viewer) is None
        assert not await database.shows_file(f"{removed.id}.mp4", viewer)
        assert await database.shows_file(f"{deleted.id}.mp4", viewer)
    assert await database.removed_scenes() == []


async def test_files_of_removed_videos_are_known(database: Database) -> None:
    scene = await _clip(database)
    scene = await applied(
        database,
        scene,
        lambda it: lifecycle.start(it, NOW),
        lambda it: lifecycle.generated(it, "http://x/y.mp4", None, "y.mp4", NOW),
        lambda it: lifecycle.succeed(it, a_take(it, file="y.mp4"), NOW),
    )
    assert await database.removed_scenes() == []
    await database.remove_video(scene.id, NOW)
    assert [scene.file for scene in await database.removed_scenes()] == ["y.mp4"]


async def test_a_sessions_takes_are_numbered_on_after_a_removal(database: Database) -> None:
    session = a_session()
    await database.create_session(session)
    hook, *_ = (await database.create_job(*an_order(session))).scenes
    await end(database, hook)
    await database.remove_video(hook.id, NOW)
    found = await database.session(session.id)
    assert found is not None
    assert found.takes == ()
    assert hook.scenario is not None
    again = (await database.create_job(*an_order(session, hook.scenario))).scenes[0]
    assert again.take == 2


# ---------------------------------------------------------------------- quotas


@pytest.mark.parametrize("quota", [Quota(running=1, waiting=2), Quota(running=3, waiting=0)])
async def test_unfinished_jobs_of_one_user_under_the_same_terms_count(
    database: Database, quota: Quota
) -> None:
    jobs = [await _clip(database) for _ in range(3)]
    await _clip(database, "bob")
    await _clip(database, None)
    await _clip(database, terms="credits")

    async def one_more(owner: str | None = "ann", terms: str = "gallery") -> None:
        job = Job(id=new_id(), session_id=None, created_at=NOW, owner=owner, terms=terms)
        await database.create_job(job, [], quota=quota)

    with pytest.raises(QuotaReached) as refused:
        await one_more()
    assert refused.value.details == {"running": quota.running}
    started = await applied(database, jobs[0], lambda it: lifecycle.start(it, NOW))
    with pytest.raises(QuotaReached):
        await one_more()
    await database.apply(lifecycle.fail(started, FAILURE, NOW))
    assert await database._reads.run(lambda it: reads.unclosed_jobs(it, "ann", "gallery")) == 2
    assert await database._reads.run(lambda it: reads.unclosed_jobs(it, None, "gallery")) == 1
    assert await database._reads.run(lambda it: reads.unclosed_jobs(it, "ann", "credits")) == 1


async def test_what_is_owed_does_not_count(database: Database) -> None:
    scene = await applied(database, await _clip(database), lambda it: lifecycle.start(it, NOW))
    await database.cancel(scene.job_id, [scene.id], NOW)
    assert await database._reads.run(lambda it: reads.unclosed_jobs(it, "ann", "gallery")) == 0


# ---------------------------------------------------------------------- figures


async def test_figures_of_an_empty_house(database: Database) -> None:
    found = await database.figures()
    assert (dict(found.by_state), found.last_finished_at, found.average_seconds) == ({}, None, None)


async def test_figures_count_what_is_there_and_average_what_is_over(database: Database) -> None:
    for number in range(3):
        await end(database, await _clip(database), after(10 * (number + 1)))
    await _clip(database)
    deleted = await _clip(database)
    await database.delete_job(deleted.job_id, NOW)
    found = await database.figures()
    assert dict(found.by_state) == {JobState.SUCCEEDED: 3, JobState.QUEUED: 1}
    assert (found.last_finished_at, found.average_seconds) == (after(30), 20)


# ---------------------------------------------------------------------- which way SQLite goes


@contextmanager
def _ways(database: Database) -> Iterator[list[str]]:
    """How SQLite finds the rows of what is read meanwhile, in its own words."""
    asked: list[tuple[str, Any]] = []

    def note(*event: Any) -> None:
        asked.append((event[2], event[3]))

    found: list[str] = []
    sa.event.listen(database._readers, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(database._readers, "before_cursor_execute", note)
    with closing(sqlite3.connect(database.path)) as connection:
        for statement, parameters in asked:
            if statement.startswith("SELECT"):
                found += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


@pytest.fixture
def crowded(database: Database) -> Database:
    """Ann has 10000 jobs with videos, of which 20 are under way, and 1000 others have 10 each."""
    states = [JobState.SUCCEEDED] * 9980 + [JobState.QUEUED] * 20
    owners = ["ann"] * 10_000 + [f"user {number % 1000}" for number in range(10_000)]
    with closing(sqlite3.connect(database.path)) as connection, connection:
        for number, (owner, state) in enumerate(zip(owners, states * 2, strict=True)):
            name = f"{number}"
            connection.execute(
                "INSERT INTO jobs (id, state, created_at, owner, terms) VALUES (?, ?, ?, ?, 'gallery')",
                (name, state.value, number, owner),
            )
            connection.execute(
                "INSERT INTO scenes (id, job_id, take, prompt, model, provider, seconds, width, height, "
                "task_id, created_at, updated_at, state, stage, progress, attempt) "
                "VALUES (?, ?, 1, 'A', 'm', 'p', 1, 1, 1, ?, ?, 0, ?, 'complete', 100, 1)",
                (name, name, name, number, SceneState.SUCCEEDED.value),
            )
            connection.execute(
                "INSERT INTO takes (id, scene_id, number, file, prompt, model, provider, seconds, width, "
                "height, size, created_at) VALUES (?, ?, 1, ?, 'A', 'm', 'p', 1, 1, 1, 1, ?)",
                (name, name, f"{name}.mp4", number),
            )
    return database


#: what is read often, and the index that serves it
_WAYS: Mapping[str, tuple[Callable[[sa.Connection], object], str]] = {
    "jobs": (
        lambda it: listings.jobs(it, ANN, ALL, limit=10, offset=0),
        "ix_jobs_owner_created_at (owner=?)",
    ),
    "videos": (lambda it: listings.videos(it, BOB, **_PLAIN), "ix_jobs_owner_created_at (owner=?)"),
    "video": (lambda it: listings.video(it, "7", ANN), "sqlite_autoindex_takes_"),
    "quota": (lambda it: reads.unclosed_jobs(it, "ann", "gallery"), "ix_jobs_unclosed (owner=? AND terms=?)"),
    "nobody's": (
        lambda it: reads.unclosed_jobs(it, None, "gallery"),
        "ix_jobs_unclosed (owner=? AND terms=?)",
    ),
    "file": (lambda it: reads.shows_file(it, "7.mp4", ANN), "(file=?)"),
    "scene": (lambda it: reads.job_of_scene(it, "7", ANN), "sqlite_autoindex_scenes_"),
    "task": (lambda it: reads.job_of_task(it, "7", ANN), "(task_id=?)"),
}


@pytest.mark.parametrize("analysed", [False, True])
async def test_no_large_table_is_read_from_end_to_end(crowded: Database, *, analysed: bool) -> None:
    if analysed:
        sql(crowded, "ANALYZE")
    for name, (ask, index) in _WAYS.items():
        with _ways(crowded) as ways:
            await crowded._reads.run(ask)
        assert any(index in step for step in ways), (name, ways)
        assert [step for step in ways if step.startswith("SCAN")] == [], name


async def test_a_large_table_gives_right_pages(crowded: Database) -> None:
    page, total = await _jobs(crowded, ANN, limit=3, offset=5000)
    assert (page, total) == (["4999", "4998", "4997"], 10_000)
    assert await _jobs(crowded, ANN, frozenset({JobState.QUEUED}), limit=1) == (["9999"], 20)
    assert await _videos(crowded, Viewer(owner="user 7"), limit=2) == (["19007", "18007"], 10)
    assert await crowded._reads.run(lambda it: reads.unclosed_jobs(it, "ann", "gallery")) == 20
