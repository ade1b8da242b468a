"""The Store's promises, on a real SQLite file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from sessions import lifecycle
from sessions.database import Database
from sessions.errors import ConfigError
from sessions.lifecycle import Transition
from sessions.model import (
    Brief,
    EventKind,
    Frames,
    Generation,
    Job,
    JobSnapshot,
    JobState,
    Scenario,
    Scene,
    SceneDescription,
    SceneState,
    Stage,
)
from sessions.store import DescriptionChanged, SceneUnderWay, StoreUnavailable, Superseded
from tests.sessions.making import (
    FAILURE,
    NOW,
    ODD,
    TABLES,
    a_session,
    a_take,
    after,
    an_order,
    applied,
    begun,
    counts,
    database_in,
    end,
    new_id,
    sql,
    stored,
)

# ---------------------------------------------------------------------- what is put in comes out


def ids(snapshot: JobSnapshot, *scenarios: Scenario) -> set[str]:
    return {scene.id for scene in snapshot.scenes if scene.scenario in scenarios}


async def test_a_session_comes_back_as_it_was(database: Database) -> None:
    brief = Brief(
        product=ODD,
        audience="",
        tone=None,
        offer=ODD * 100,
        language="pt-BR",
        aspect_ratio="9:16",
        seconds_per_scene=4.5,
        model="a:b@1",
        product_image_url="https://example.com/ä?x={}",
        logo_url=None,
    )
    full = SceneDescription(
        scenario=Scenario.CTA,
        description=ODD,
        visual_description=ODD,
        camera_work="",
        lighting=None,
        audio_design=" ",
        background_music=ODD,
        sound_effects=ODD,
        dialog_narration=ODD,
        duration=0.1,
        approved=True,
    )
    bare = SceneDescription(scenario=Scenario.HOOK)
    session = a_session(brief=brief, descriptions={Scenario.CTA: full, Scenario.HOOK: bare})
    await database.create_session(session)

    found = await database.session(session.id)
    stored = {item: replace(text, version=1) for item, text in session.descriptions.items()}
    assert found == replace(session, descriptions=stored)
    assert list(found.descriptions) == [Scenario.HOOK, Scenario.CTA], "in running order"


async def test_times_are_kept_to_the_microsecond_and_come_back_in_utc(database: Database) -> None:
    written = datetime(1969, 12, 31, 1, 2, 3, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    session = a_session(created_at=written, updated_at=datetime.max.replace(tzinfo=UTC))
    await database.create_session(session)
    found = await database.session(session.id)
    assert found == session
    assert found.created_at.tzinfo is UTC


async def test_a_scene_comes_back_as_it_was(database: Database) -> None:
    _, snapshot = await begun(
        database, Scenario.SOLUTION, prompt=ODD, seconds=0.1, frames=Frames(first="https://example.com/ä")
    )
    scene = snapshot.scenes[0]
    assert await database.job(scene.job_id) == snapshot

    verbs: tuple[Callable[[Scene], Transition], ...] = (
        lambda it: lifecycle.start(it, after(1)),
        lambda it: lifecycle.put_back(it, after(1)),
        lambda it: lifecycle.start(it, after(2)),
        lambda it: lifecycle.sent(it, after(3)),
        lambda it: lifecycle.tick(it, 45, after(4)),
        lambda it: lifecycle.reconcile(it, after(5)),
        lambda it: lifecycle.retry(it, FAILURE, new_id(), after(6)),
        lambda it: lifecycle.start(it, after(7)),
        lambda it: lifecycle.generated(it, ODD, 0.1 + 0.2, "clip.mp4", after(8)),
        lambda it: lifecycle.fail(it, FAILURE, after(9)),
    )
    for verb in verbs:
        scene = await applied(database, scene, verb)
        assert await stored(database, scene) == scene


async def test_a_take_comes_back_as_it_was(database: Database) -> None:
    session, snapshot = await begun(database, Scenario.HOOK, prompt=ODD)
    started = lifecycle.start(snapshot.scenes[0], NOW)
    await database.apply(started)
    take = a_take(started.after, cost_usd=0.18, prompt=ODD)
    await database.apply(lifecycle.succeed(started.after, take, NOW))
    found = await database.session(session.id)
    assert found is not None
    assert found.takes == (take,)
    assert found.videos == (take,)


async def test_events_come_back_in_order_with_their_data(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK)
    scene = snapshot.scenes[0]
    started = lifecycle.start(scene, after(-5))  # a clock that goes back does not reorder what happened
    failed = lifecycle.fail(started.after, FAILURE, after(-10))
    await database.apply(started)
    await database.apply(failed)

    events = await database.events(scene.job_id)
    assert [event.kind for event in events] == [EventKind.QUEUED, EventKind.STARTED, EventKind.FAILED]
    assert events[0].data == {"take": 1, "model": "local:preview@1"}
    assert [replace(event, seq=0) for event in events[1:]] == [started.event, failed.event]
    for done, event in enumerate(events, 1):
        assert await database.events(scene.job_id, after=event.seq) == events[done:]


async def test_what_was_never_stored_is_not_found(database: Database) -> None:
    assert await database.session("nobody") is None
    assert await database.job(ODD) is None
    assert await database.events("nothing") == []
    assert await database.jobs_of("nobody") == []
    assert await database.sessions(limit=10, offset=0) == ([], 0)


# ---------------------------------------------------------------------- sessions


async def test_pages_hold_every_session_once_newest_first(database: Database) -> None:
    ages = [3, 1, 4, 1, 5, 1, 2]  # some of the same moment
    made = [a_session(created_at=after(-age), id=new_id()) for age in ages]
    for session in made:
        await database.create_session(session)

    pages = [await database.sessions(limit=2, offset=offset) for offset in range(0, 8, 2)]
    listed = [session for page, _ in pages for session in page]
    assert {total for _, total in pages} == {7}
    assert sorted(session.id for session in listed) == sorted(session.id for session in made)
    assert [session.created_at for session in listed] == sorted(
        (session.created_at for session in made), reverse=True
    )
    assert await database.sessions(limit=2, offset=100) == ([], 7)


async def test_a_listed_session_has_its_own_descriptions_and_takes(database: Database) -> None:
    other, _ = await begun(database)
    mine = SceneDescription(scenario=Scenario.HOOK, description="Mine")
    session = a_session(descriptions={Scenario.HOOK: mine}, created_at=after(1))
    await database.create_session(session)
    snapshot = await database.create_job(*an_order(session, Scenario.HOOK))
    await end(database, snapshot.scenes[0])

    (first, second), total = await database.sessions(limit=10, offset=0)
    assert total == 2
    assert (first.descriptions, [take.scene_id for take in first.takes]) == (
        {Scenario.HOOK: replace(mine, version=1)},
        [snapshot.scenes[0].id],
    )
    assert (second.id, second.descriptions, second.takes) == (other.id, {}, ())


async def test_saving_descriptions_leaves_the_others(database: Database) -> None:
    old = {
        scenario: SceneDescription(
            scenario=scenario, description=f"Old {scenario}", lighting="Dim", approved=True
        )
        for scenario in (Scenario.HOOK, Scenario.PROBLEM)
    }
    session, stranger = a_session(descriptions=old), a_session(descriptions=old)
    for item in (session, stranger):
        await database.create_session(item)

    changed = SceneDescription(scenario=Scenario.PROBLEM, description="New", version=1)
    added = SceneDescription(scenario=Scenario.CTA, description="Buy")
    await database.save_descriptions(session.id, [changed, added], after(7))

    found = await database.session(session.id)
    assert found is not None
    assert found.descriptions == {
        Scenario.HOOK: replace(old[Scenario.HOOK], version=1),
        Scenario.PROBLEM: replace(changed, version=2),
        Scenario.CTA: replace(added, version=1),
    }
    assert (found.created_at, found.updated_at) == (NOW, after(7))
    elsewhere = await database.session(stranger.id)
    assert elsewhere is not None
    assert elsewhere.descriptions == {item: replace(text, version=1) for item, text in old.items()}
    assert elsewhere.updated_at == NOW


@pytest.mark.parametrize("version", [0, 1, 3])
async def test_a_description_is_only_written_over_the_version_that_was_seen(
    database: Database, version: int
) -> None:
    session = a_session()
    await database.create_session(session)
    for seen in (0, 1):
        text = SceneDescription(scenario=Scenario.CTA, description=f"After {seen}", version=seen)
        await database.save_descriptions(session.id, [text], after(seen))
    before = await database.session(session.id)

    first = SceneDescription(scenario=Scenario.HOOK, description="Written first")
    stale = SceneDescription(scenario=Scenario.CTA, description="Stale", version=version)
    with pytest.raises(DescriptionChanged) as refused:
        await database.save_descriptions(session.id, [first, stale], after(9))

    assert refused.value.scenario is Scenario.CTA
    assert await database.session(session.id) == before, "all or nothing"


async def test_of_ten_simultaneous_edits_of_one_version_exactly_one_wins(database: Database) -> None:
    session = a_session()
    await database.create_session(session)
    texts = [SceneDescription(scenario=Scenario.HOOK, description=f"Text {number}") for number in range(10)]
    outcomes = await asyncio.gather(
        *(database.save_descriptions(session.id, [text], NOW) for text in texts), return_exceptions=True
    )
    assert Counter(type(outcome) for outcome in outcomes) == {type(None): 1, DescriptionChanged: 9}
    found = await database.session(session.id)
    assert found is not None
    winner = texts[outcomes.index(None)]
    assert found.descriptions == {Scenario.HOOK: replace(winner, version=1)}


async def test_a_session_that_is_known_already_stays_as_it_is(database: Database) -> None:
    session, _ = await begun(database, Scenario.HOOK)
    text = SceneDescription(scenario=Scenario.HOOK, description="Late")
    again = replace(session, brief=Brief(product="Other"), descriptions={Scenario.HOOK: text})
    await database.create_session(again)
    assert await database.session(session.id) == session


async def test_videos_are_the_newest_takes_in_running_order(database: Database) -> None:
    session, first = await begun(database)
    for scene in reversed(first.scenes):
        await end(database, scene, well=scene.scenario is not Scenario.PROBLEM)
    second = await database.create_job(*an_order(session, Scenario.HOOK))
    await end(database, second.scenes[0], after(60))

    found = await database.session(session.id)
    assert found is not None
    assert [(take.scenario, take.number) for take in found.videos] == [
        (Scenario.HOOK, 2),
        (Scenario.SOLUTION, 1),
        (Scenario.CTA, 1),
    ]
    assert len(found.takes) == 4, "earlier takes are kept"


# ---------------------------------------------------------------------- jobs


async def test_takes_are_numbered_after_all_earlier_ones(database: Database) -> None:
    session, first = await begun(database, Scenario.HOOK, Scenario.CTA)
    assert [scene.take for scene in first.scenes] == [1, 1]
    await end(database, first.scenes[0])
    await end(database, first.scenes[1], well=False)
    second = await database.create_job(*an_order(session, Scenario.HOOK))
    await end(database, second.scenes[0], well=False)

    third = await database.create_job(*an_order(session))
    assert {scene.scenario: scene.take for scene in third.scenes} == {
        Scenario.HOOK: 3,  # a failed attempt counts
        Scenario.PROBLEM: 1,
        Scenario.SOLUTION: 1,
        Scenario.CTA: 2,
    }
    _, elsewhere = await begun(database, Scenario.HOOK)
    assert elsewhere.scenes[0].take == 1


async def test_a_snapshot_is_in_running_order_and_equal_to_what_is_stored(database: Database) -> None:
    session = a_session()
    await database.create_session(session)
    job, scenes = an_order(session)
    snapshot = await database.create_job(job, scenes[::-1])
    assert [scene.scenario for scene in snapshot.scenes] == list(Scenario)
    assert await database.job(job.id) == snapshot


async def test_a_scene_under_way_stops_a_second_job_and_nothing_is_written(database: Database) -> None:
    session, first = await begun(database, Scenario.PROBLEM, Scenario.CTA)
    await end(database, first.scenes[1])
    before = counts(database)

    with pytest.raises(SceneUnderWay) as refused:
        await database.create_job(*an_order(session))

    assert refused.value.live == (first.scenes[0],), "the ended scene is not in the way"
    assert counts(database) == before


async def test_other_scenarios_and_other_sessions_are_not_in_the_way(database: Database) -> None:
    session, _ = await begun(database, Scenario.PROBLEM)
    await database.create_job(*an_order(session, Scenario.HOOK, Scenario.CTA))
    await begun(database, Scenario.PROBLEM)
    assert counts(database)["jobs"] == 3


async def test_of_twenty_simultaneous_jobs_exactly_one_wins(database: Database) -> None:
    session = a_session()
    await database.create_session(session)
    outcomes = await asyncio.gather(
        *(database.create_job(*an_order(session)) for _ in range(20)), return_exceptions=True
    )
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert kinds == {JobSnapshot: 1, SceneUnderWay: 19}
    winner = next(outcome for outcome in outcomes if isinstance(outcome, JobSnapshot))
    for outcome in outcomes:
        if isinstance(outcome, SceneUnderWay):
            assert outcome.live == winner.scenes
    assert counts(database) == {
        **dict.fromkeys(TABLES, 0),
        "sessions": 1,
        "jobs": 1,
        "scenes": 4,
        "events": 4,
    }


async def test_the_file_itself_refuses_a_second_live_scene(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK)
    changed = {"id": f"'{new_id()}'", "take": "take + 1", "task_id": "?", "state": "?"}
    names = [name for _, name, *_ in sql(database, "PRAGMA table_info(scenes)")]
    values = ", ".join(changed.get(name, name) for name in names)
    copied = f"INSERT INTO scenes ({', '.join(names)}) SELECT {values} FROM scenes WHERE id = ?"
    for state in (SceneState.QUEUED, SceneState.RUNNING, SceneState.RECONCILING):
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            sql(database, copied, new_id(), state.value, snapshot.scenes[0].id)
    sql(database, copied, new_id(), SceneState.FAILED.value, snapshot.scenes[0].id)
    assert counts(database)["scenes"] == 2


async def test_jobs_of_a_session_are_listed_newest_first(database: Database) -> None:
    session, first = await begun(database, Scenario.HOOK)
    later = await database.create_job(*an_order(session, Scenario.CTA, at=after(9)))
    await begun(database, Scenario.HOOK)
    assert await database.jobs_of(session.id) == [later.job, first.job]


async def test_unfinished_jobs_are_listed_oldest_first(database: Database) -> None:
    _, young = await begun(database, Scenario.HOOK, at=after(5))
    _, done = await begun(database, Scenario.HOOK, at=after(1))
    _, old = await begun(database, Scenario.HOOK, Scenario.CTA, at=after(2))
    _, failed = await begun(database, Scenario.HOOK, at=after(3))
    await end(database, done.scenes[0])
    await end(database, failed.scenes[0], well=False)
    await end(database, old.scenes[0])
    assert await database.unfinished_jobs() == [old.job.id, young.job.id]


# ---------------------------------------------------------------------- transitions


async def test_a_job_rolls_up_with_its_scenes(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK, Scenario.CTA)
    hook, cta = snapshot.scenes
    started = lifecycle.start(hook, after(1))
    running = await database.apply(started)
    assert running == replace(snapshot.job, state=JobState.RUNNING)
    assert await database.apply(lifecycle.sent(started.after, after(1))) is None, "nothing to roll up"
    assert await database.apply(lifecycle.fail(started.after, FAILURE, after(2))) == running

    closed = await end(database, cta, after(3))

    assert (closed.state, closed.finished_at) == (JobState.PARTIAL, after(3))
    stored = await database.job(closed.id)
    assert stored is not None
    assert stored.job == closed


async def test_only_the_attempt_that_owns_the_scene_can_write(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK)
    first = lifecycle.start(snapshot.scenes[0], NOW)
    await database.apply(first)
    second = lifecycle.start(first.after, after(1))
    await database.apply(second)
    before = counts(database)

    late: list[Transition] = [
        lifecycle.start(snapshot.scenes[0], after(2)),
        lifecycle.sent(first.after, after(2)),
        lifecycle.tick(first.after, 60, after(2)),
        lifecycle.succeed(first.after, a_take(first.after), after(2)),
        lifecycle.fail(first.after, FAILURE, after(2)),
    ]
    for transition in late:
        with pytest.raises(Superseded):
            await database.apply(transition)
    assert counts(database) == before
    assert await stored(database, first.after) == second.after


@pytest.mark.parametrize("state", [SceneState.SUCCEEDED, SceneState.FAILED, SceneState.CANCELLED])
async def test_an_ended_scene_is_not_written_again(database: Database, state: SceneState) -> None:
    session, snapshot = await begun(database, Scenario.HOOK)
    started = lifecycle.start(snapshot.scenes[0], NOW)
    await database.apply(started)
    sql(database, "UPDATE scenes SET state = ?", state.value)
    before = counts(database)

    with pytest.raises(Superseded):
        await database.apply(lifecycle.succeed(started.after, a_take(started.after), after(1)))

    assert counts(database) == before
    assert (await stored(database, started.after)).state is state
    assert await database.session(session.id) == session


async def test_of_two_runners_that_take_a_scene_at_once_one_gets_it(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK)
    starts = [lifecycle.start(snapshot.scenes[0], after(number)) for number in range(10)]
    outcomes = await asyncio.gather(*map(database.apply, starts), return_exceptions=True)
    assert Counter(type(outcome) for outcome in outcomes) == {Job: 1, Superseded: 9}
    assert (await stored(database, snapshot.scenes[0])).attempt == 1


async def test_a_take_reaches_the_session_together_with_the_success(database: Database) -> None:
    session, snapshot = await begun(database, Scenario.HOOK)
    await end(database, snapshot.scenes[0], after(8))
    found = await database.session(session.id)
    assert found is not None
    assert [take.scene_id for take in found.takes] == [snapshot.scenes[0].id]
    assert found.updated_at == after(8)


async def test_without_its_take_there_is_no_success(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK, Scenario.CTA)
    hook, cta = snapshot.scenes
    await end(database, hook)
    started = lifecycle.start(cta, NOW)
    await database.apply(started)
    before = counts(database)

    taken = a_take(started.after, file=f"{hook.id}.mp4")  # a name that is in use
    with pytest.raises(IntegrityError):  # not "unavailable": waiting would not mend it
        await database.apply(lifecycle.succeed(started.after, taken, after(1)))

    assert counts(database) == before
    assert await stored(database, cta) == started.after
    assert await database.unfinished_jobs() == [cta.job_id]


# ---------------------------------------------------------------------- cancelling


def _start(scene: Scene) -> Transition:
    return lifecycle.start(scene, after(1))


def _sent(scene: Scene) -> Transition:
    return lifecycle.sent(scene, after(2))


def _generated(scene: Scene) -> Transition:
    return lifecycle.generated(scene, "http://x/y.mp4", 0.18, f"{scene.id}.mp4", after(4))


def _succeed(scene: Scene) -> Transition:
    return lifecycle.succeed(scene, a_take(scene, after(5)), after(5))


async def test_cancelling_ends_the_named_scenes_that_have_not_ended(database: Database) -> None:
    _, snapshot = await begun(database)
    hook, problem, solution, _ = snapshot.scenes
    await end(database, hook)
    await applied(database, problem, _start, _sent)

    named = {hook.id, problem.id, solution.id}
    answer = await database.cancel(snapshot.job.id, named, after(3))

    assert answer is not None
    assert answer == await database.job(snapshot.job.id)
    assert {scene.scenario: (scene.state, scene.owed) for scene in answer.scenes} == {
        Scenario.HOOK: (SceneState.SUCCEEDED, False),
        Scenario.PROBLEM: (SceneState.CANCELLED, True),
        Scenario.SOLUTION: (SceneState.CANCELLED, False),
        Scenario.CTA: (SceneState.QUEUED, False),
    }
    assert answer.job.state is JobState.RUNNING
    kinds = [(event.scene_id, event.kind) for event in await database.events(snapshot.job.id)][-2:]
    assert kinds == [(problem.id, EventKind.CANCELLED), (solution.id, EventKind.CANCELLED)]

    closed = await database.cancel(snapshot.job.id, ids(snapshot, Scenario.CTA), after(4))
    assert closed is not None
    assert (closed.job.state, closed.job.finished_at) == (JobState.PARTIAL, after(4))
    assert await database.cancel(snapshot.job.id, ids(snapshot, *Scenario), after(5)) == closed, (
        "nothing left to end"
    )


async def test_a_job_that_is_not_there_cannot_be_cancelled(database: Database) -> None:
    assert await database.cancel("nothing", ["scene"], NOW) is None


async def test_a_runner_whose_scene_was_cancelled_writes_no_more(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK)
    mine = await applied(database, snapshot.scenes[0], _start, _sent)
    await database.cancel(mine.job_id, [mine.id], after(3))
    for verb in (_start, _sent, _generated, _succeed):
        with pytest.raises(Superseded):
            await database.apply(verb(mine))


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_scene_is_either_cancelled_before_its_start_or_owed(
    database: Database, cancel_first: bool
) -> None:
    """Both have read the scene as queued; what is stored decides."""
    _, snapshot = await begun(database, Scenario.HOOK)
    scene = snapshot.scenes[0]
    calls = [
        database.cancel(scene.job_id, [scene.id], after(1)),
        database.apply(lifecycle.start(scene, after(1))),
    ]
    if not cancel_first:
        calls.reverse()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    now = await stored(database, scene)
    assert now.state is SceneState.CANCELLED
    refused = [outcome for outcome in outcomes if isinstance(outcome, Superseded)]
    kinds = [event.kind for event in await database.events(scene.job_id)]
    if cancel_first:
        assert (len(refused), now.owed, now.submitted_at) == (1, False, None)
        assert kinds == [EventKind.QUEUED, EventKind.CANCELLED]
    else:
        assert (len(refused), now.owed, now.submitted_at) == (0, True, after(1))
        assert kinds == [EventKind.QUEUED, EventKind.STARTED, EventKind.CANCELLED]


async def test_an_owed_video_is_kept_when_it_comes(database: Database) -> None:
    session, snapshot = await begun(database, Scenario.HOOK)
    await applied(database, snapshot.scenes[0], _start, _sent)
    cancelled = await database.cancel(snapshot.job.id, ids(snapshot, Scenario.HOOK), after(3))
    assert cancelled is not None
    assert cancelled.job.state is JobState.CANCELLED
    assert await database.unfinished_jobs() == [snapshot.job.id], "closed, but owed a video"

    resumed = await applied(database, cancelled.scenes[0], _start, _generated)
    succeeded = _succeed(resumed)
    assert await database.apply(succeeded) is None, "the job has ended before"

    snapshot_now = await database.job(snapshot.job.id)
    assert snapshot_now == JobSnapshot(job=cancelled.job, scenes=(succeeded.after,))
    assert await database.unfinished_jobs() == []
    found = await database.session(session.id)
    assert found is not None
    assert [(take.scene_id, take.late) for take in found.videos] == [(resumed.id, True)]
    with pytest.raises(Superseded):
        await database.apply(replace(succeeded, before=resumed))


async def test_a_scenario_whose_cancelled_scene_is_owed_can_be_made_anew(database: Database) -> None:
    session, first = await begun(database, Scenario.HOOK)
    await applied(database, first.scenes[0], _start, _sent)
    cancelled = await database.cancel(first.job.id, ids(first, Scenario.HOOK), after(3))
    assert cancelled is not None

    second = await database.create_job(*an_order(session, Scenario.HOOK, at=after(4)))
    assert second.scenes[0].take == 2
    await end(database, second.scenes[0], after(5))
    await applied(database, cancelled.scenes[0], _generated, _succeed)

    found = await database.session(session.id)
    assert found is not None
    assert [(take.scene_id, take.number) for take in found.videos] == [(second.scenes[0].id, 2)]
    assert len(found.takes) == 2


# ---------------------------------------------------------------------- what is learned


async def test_generations_are_the_newest_oldest_first(database: Database) -> None:
    for number, length in enumerate((4.0, 6.0, 8.0, 10.0)):
        _, snapshot = await begun(database, Scenario.HOOK, seconds=length)
        scene = await applied(database, snapshot.scenes[0], _start)
        await database.apply(lifecycle.generated(scene, "x", None, f"{scene.id}.mp4", after(100 - number)))
    _, unfinished = await begun(database, Scenario.HOOK)
    await applied(database, unfinished.scenes[0], _start)

    def learned(length: float, took: float) -> Generation:
        return Generation(model="local:preview@1", seconds=length, width=256, height=144, took=took)

    assert await database.generations(3) == [learned(8.0, 97.0), learned(6.0, 98.0), learned(4.0, 99.0)]
    assert await database.generations(0) == []
    assert len(await database.generations(10)) == 4


async def test_a_generation_is_measured_from_the_last_submission(database: Database) -> None:
    _, snapshot = await begun(database, Scenario.HOOK)
    scene = await applied(
        database,
        snapshot.scenes[0],
        _start,
        lambda it: lifecycle.retry(it, FAILURE, new_id(), after(20)),
        lambda it: lifecycle.start(it, after(30)),
    )
    assert await database.generations(10) == []
    await applied(database, scene, lambda it: lifecycle.generated(it, "x", None, "a.mp4", after(37)))
    assert [it.took for it in await database.generations(10)] == [7.0]


# ---------------------------------------------------------------------- cancelled callers


@pytest.mark.parametrize("steps", range(1, 8))
async def test_a_write_whose_caller_is_cancelled_lands_whole(tmp_path: Path, steps: int) -> None:
    database = database_in(tmp_path)
    await database.open()
    described = {item: SceneDescription(scenario=item, description="Text") for item in Scenario}
    session = a_session(descriptions=described)
    caller = asyncio.create_task(database.create_session(session))
    for _ in range(steps):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await database.close()
    assert counts(database) == {**dict.fromkeys(TABLES, 0), "sessions": 1, "descriptions": 4}


async def test_closing_waits_for_all_writes_whose_callers_are_gone(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    await database.open()
    callers = [asyncio.create_task(database.create_session(a_session())) for _ in range(20)]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await database.close()
    assert counts(database)["sessions"] == 20


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_cancelled_readers_leave_the_connections_usable(database: Database, steps: int) -> None:
    session, _ = await begun(database)
    readers = [asyncio.create_task(database.session(session.id)) for _ in range(8)]
    for _ in range(steps):
        await asyncio.sleep(0)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(database.session(session.id) for _ in range(8)))
    assert found == [session] * 8


# ---------------------------------------------------------------------- a store that cannot


async def test_a_file_that_another_writer_holds_is_unavailable_for_writing_only(database: Database) -> None:
    with database._writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 20")  # not five seconds
    known, late = a_session(), a_session()
    await database.create_session(known)
    with closing(sqlite3.connect(database.path)) as rival:
        rival.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await database.create_session(late)
        assert await database.session(known.id) == known
        with pytest.raises(StoreUnavailable, match="locked"):
            await database.ping()
    assert await database.session(late.id) is None
    await database.create_session(late)
    assert await database.session(late.id) == late


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    database.path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await database.ping()
    with pytest.raises(StoreUnavailable, match="not a database"):
        await database.unfinished_jobs()
    await database.close()


async def test_a_folder_that_is_gone_makes_the_store_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'gone' / 'test.db'}")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        await database.session("any")
    await database.close()


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://x/y", "test.db"]
)
def test_an_address_that_is_no_sqlite_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url"):
        Database(url)


# ---------------------------------------------------------------------- one process, and the next


async def test_reopening_finds_everything(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    await database.open()
    session, snapshot = await begun(database)
    await end(database, snapshot.scenes[0], after(1))
    started = lifecycle.start(snapshot.scenes[1], after(2))
    await database.apply(started)
    before = (
        await database.session(session.id),
        await database.job(snapshot.job.id),
        await database.events(snapshot.job.id),
    )
    await database.close()

    again = database_in(tmp_path)
    await again.open()
    assert before == (
        await again.session(session.id),
        await again.job(snapshot.job.id),
        await again.events(snapshot.job.id),
    )
    assert await again.unfinished_jobs() == [snapshot.job.id]
    assert (await stored(again, started.after)).stage is Stage.CREATED
    await again.close()


async def test_a_second_database_on_the_file_is_refused_and_told_who_has_it(database: Database) -> None:
    rival = Database(f"sqlite:///{database.path}")
    with pytest.raises(ConfigError) as refused:
        await rival.open()
    await rival.close()
    assert refused.value.code == "database_in_use"
    assert f"process {os.getpid()}" in refused.value.message
    assert str(database.path) in refused.value.message
    with pytest.raises(ConfigError):
        await rival.open()  # closing one that was refused frees nothing


async def test_another_file_in_the_same_folder_is_free(database: Database) -> None:
    other = Database(f"sqlite:///{database.path.with_name('other.db')}")
    await other.open()
    await other.close()


async def test_a_second_name_of_the_folder_is_the_same_file(database: Database, tmp_path: Path) -> None:
    alias = tmp_path.with_name(f"{tmp_path.name}-alias")
    alias.symlink_to(tmp_path)
    rival = database_in(alias)
    try:
        with pytest.raises(ConfigError):
            await rival.open()
    finally:
        await rival.close()


async def test_a_second_name_of_the_file_is_the_same_file(database: Database, tmp_path: Path) -> None:
    alias = tmp_path / "alias.db"
    alias.symlink_to(database.path)
    rival = Database(f"sqlite:///{alias}")
    try:
        with pytest.raises(ConfigError):
            await rival.open()
    finally:
        await rival.close()


async def test_a_closed_store_writes_no_more(tmp_path: Path) -> None:
    """The file may belong to another process by now."""
    database = database_in(tmp_path)
    await database.open()
    await database.close()
    try:
        with pytest.raises(StoreUnavailable):
            await database.create_session(a_session())
    finally:
        await database.close()
    assert counts(database)["sessions"] == 0


def _folder(file: Path) -> None:
    file.mkdir()


def _no_database(file: Path) -> None:
    file.write_bytes(b"not a database" * 100)


def _from_the_future(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")


@pytest.mark.parametrize("spoil", [_folder, _no_database, _from_the_future])
async def test_a_file_that_cannot_be_ours_is_a_plain_refusal_that_names_it(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    database = database_in(tmp_path)
    spoil(database.path)
    try:
        with pytest.raises(ConfigError) as refused:
            await database.open()
    finally:
        await database.close()
    assert str(database.path) in refused.value.message
    assert "sqlalche.me" not in refused.value.message


async def test_a_place_that_cannot_hold_a_file_is_a_plain_refusal(tmp_path: Path) -> None:
    _no_database(tmp_path / "file")
    database = database_in(tmp_path / "file")
    with pytest.raises(ConfigError) as refused:
        await database.open()
    assert str(database.path) in refused.value.message


async def test_closing_frees_the_file(tmp_path: Path) -> None:
    for _ in range(2):
        database = database_in(tmp_path)
        await database.open()
        await database.close()


_OWNER = """
import asyncio, sys
from sessions.database import Database

async def own():
    await Database(sys.argv[1]).open()
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(own())
"""


async def test_a_killed_process_frees_the_file(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _OWNER,
        f"sqlite:///{database.path}",
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert owner.stdout is not None
        assert await owner.stdout.readline() == b"open\n"
        with pytest.raises(ConfigError, match=f"process {owner.pid}"):
            await database.open()
    finally:
        owner.kill()
        await owner.wait()
    await database.open()
    session = replace(a_session(), brief=Brief(product="After the crash"))
    await database.create_session(session)
    assert await database.session(session.id) == session
    await database.close()
