"""What lies ahead of a job."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.estimates import Estimates
from service.limits import Slots
from service.live import LiveJob
from service.outlook import Outlook, Outlooks, Range
from service.sections import LimitsSettings
from service.turns import Turns
from sessions.model import Generation, Job, JobSnapshot, Lane, Scenario, Scene, SceneState, Stage
from sessions.rollup import job_state

NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUEUED = Scene(
    id="queued",
    job_id="job",
    session_id="session",
    scenario=Scenario.HOOK,
    take=1,
    prompt="A lamp",
    model="lamp",
    provider="local",
    seconds=5.0,
    width=1280,
    height=720,
    task_id="task",
    created_at=NOW,
    updated_at=NOW,
)
RUNNING = replace(
    QUEUED, id="running", state=SceneState.RUNNING, stage=Stage.SENT, submitted_at=NOW, progress=30
)
MADE = replace(
    RUNNING, id="made", stage=Stage.GENERATED, generated_at=NOW + timedelta(seconds=20), progress=70
)
LATE = replace(RUNNING, id="late", state=SceneState.RECONCILING)
DONE = replace(MADE, id="done", state=SceneState.SUCCEEDED, stage=Stage.COMPLETE, progress=100)

#: what the house has learned of clips like these: one of ten is faster, half, one of ten is slower
LOW, TYPICAL, HIGH = 30.0, 40.0, 60.0


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _slots(total: int = 2) -> Slots:
    settings = LimitsSettings(
        slots=total,
        batch_share=0.5,
        breaker_failures=5,
        breaker_pause_seconds=1,
        breaker_longest_seconds=60,
    )
    return Slots(settings, {})


def _learned(scene: Scene = QUEUED, took: Sequence[float] = (LOW, TYPICAL, HIGH)) -> Estimates:
    return Estimates(
        Generation(model=scene.model, seconds=scene.seconds, width=scene.width, height=scene.height, took=it)
        for it in took
    )


def _job(*scenes: Scene) -> LiveJob:
    state = job_state([scene.state for scene in scenes])
    return LiveJob(
        JobSnapshot(job=Job(id="job", session_id="session", created_at=NOW, state=state), scenes=scenes)
    )


def _outlook(
    *scenes: Scene, at: float = 0, estimates: Estimates | None = None, slots: Slots | None = None
) -> Outlook:
    """The outlook of a job of these scenes, so many seconds after NOW."""
    estimates = _learned() if estimates is None else estimates
    return Outlooks(slots=slots or _slots(), turns=Turns(), estimates=estimates, now=lambda: _at(at)).of(
        _job(*scenes)
    )


@asynccontextmanager
async def _waiting(slots: Slots, *scenes: Scene) -> AsyncIterator[None]:
    """The scenes ask for slots, in this order; those that get one keep it."""

    async def hold(scene: Scene) -> None:
        await slots.take(scene, Lane.INTERACTIVE, scene.job_id)
        try:
            await asyncio.Event().wait()
        finally:
            slots.release(scene.id)

    tasks = [asyncio.create_task(hold(scene)) for scene in scenes]
    for _ in range(3):
        await asyncio.sleep(0)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


# ---------------------------------------------------------------------- scenes


def test_a_clip_under_way_ends_between_what_fast_and_slow_ones_took() -> None:
    found = _outlook(RUNNING, at=10).scenes["running"]
    assert found.eta == Range(earliest=_at(LOW), latest=_at(HIGH))
    assert found.queue_position is None


def test_nothing_is_promised_without_experience() -> None:
    outlook = _outlook(RUNNING, QUEUED, estimates=Estimates())
    assert [scene.eta for scene in outlook.scenes.values()] == [None, None]
    assert outlook.eta is None


def test_nothing_is_promised_of_a_clip_that_is_overdue() -> None:
    assert _outlook(RUNNING, at=HIGH - 1).eta is not None
    overdue = _outlook(RUNNING, at=HIGH)
    assert (overdue.scenes["running"].eta, overdue.eta) == (None, None)


@pytest.mark.parametrize("at", [0, HIGH - 1, HIGH, HIGH + 1000])
@pytest.mark.parametrize("took", [0.0, -10.0])
def test_clocks_that_were_set_break_nothing(at: float, took: float) -> None:
    outlook = _outlook(RUNNING, QUEUED, at=at, estimates=_learned(took=[took] * 3))
    assert 0 < outlook.good_for <= 1


def test_scenes_that_are_over_have_nothing_ahead() -> None:
    assert set(_outlook(DONE, RUNNING).scenes) == {"running"}


async def test_a_queued_clip_ends_after_those_before_it() -> None:
    """Two slots: places 1 and 2 come with the next round, 3 and 4 with the one after it."""
    slots = _slots(2)
    scenes = [replace(QUEUED, id=str(number), session_id=f"session {number}") for number in range(6)]
    async with _waiting(slots, *scenes):
        found = _outlook(*scenes[2:], at=10, slots=slots)
    assert [scene.queue_position for scene in found.scenes.values()] == [1, 2, 3, 4]
    first = Range(earliest=_at(10 + LOW), latest=_at(10 + 2 * HIGH))
    second = Range(earliest=_at(10 + 2 * LOW), latest=_at(10 + 3 * HIGH))
    assert [scene.eta for scene in found.scenes.values()] == [first, first, second, second]
    assert found.eta == second


def test_a_clip_that_needs_not_wait_takes_what_clips_take() -> None:
    found = _outlook(QUEUED, at=10).scenes["queued"]
    assert (found.queue_position, found.eta) == (None, Range(earliest=_at(10 + LOW), latest=_at(10 + HIGH)))


# ---------------------------------------------------------------------- the job


def test_a_job_is_done_with_its_last_scene() -> None:
    later = replace(RUNNING, id="later", submitted_at=_at(25))
    assert _outlook(RUNNING, later, DONE, at=26).eta == Range(earliest=_at(25 + LOW), latest=_at(25 + HIGH))


def test_the_last_scene_decides_even_if_its_length_is_another() -> None:
    """The earliest end is that of the slowest at its fastest, whichever scene has the latest end."""
    wide = replace(RUNNING, id="wide", model="wide")
    estimates = _learned()
    for took in (10.0, 50.0, 200.0):
        estimates.learn(Generation(model="wide", seconds=5.0, width=1280, height=720, took=took))
    assert _outlook(RUNNING, wide, estimates=estimates).eta == Range(earliest=_at(LOW), latest=_at(200))


def test_one_scene_of_which_nothing_is_known_leaves_the_job_without_an_end() -> None:
    assert _outlook(RUNNING, replace(RUNNING, id="new", model="new")).eta is None


def test_a_clip_that_is_only_fetched_leaves_the_jobs_end_to_the_others() -> None:
    assert _outlook(MADE, RUNNING, at=21).eta == Range(earliest=_at(LOW), latest=_at(HIGH))
    fetched = _outlook(MADE, at=21)
    assert (fetched.eta, fetched.scenes["made"].eta) == (None, None)


def test_nothing_lies_ahead_of_a_job_that_is_over() -> None:
    outlook = _outlook(DONE, at=100)
    assert outlook == Outlook(scenes={}, eta=None, poll_after_ms=None, good_for=math.inf)


# ---------------------------------------------------------------------- when to ask again


@pytest.mark.parametrize(
    ("scenes", "at", "milliseconds"),
    [
        ([RUNNING], 0, 3000),
        ([RUNNING], LOW - 6, 3000),
        ([RUNNING], LOW - 5, 1000),
        ([RUNNING], HIGH - 1, 1000),
        ([RUNNING], HIGH, 3000),
        ([RUNNING, MADE], 21, 1000),
        ([MADE], 2000, 1000),
        ([QUEUED], 0, 3000),
        ([LATE], 2000, 60_000),
        ([LATE, DONE], 2000, 60_000),
        ([LATE, RUNNING], 0, 3000),
    ],
    ids=[
        "on the way",
        "not quite near",
        "near",
        "any moment",
        "overdue",
        "one is fetched",
        "fetched for long",
        "queued",
        "reconciled",
        "all that is left is reconciled",
        "one of two is reconciled",
    ],
)
def test_a_client_is_told_to_ask_again_when_there_may_be_news(
    scenes: list[Scene], at: float, milliseconds: int
) -> None:
    assert _outlook(*scenes, at=at).poll_after_ms == milliseconds


# ---------------------------------------------------------------------- how long it holds


@pytest.mark.parametrize(
    ("scenes", "at", "seconds"),
    [
        ([RUNNING], 0, LOW - 5),
        ([RUNNING], LOW - 5, HIGH - LOW + 5),
        ([RUNNING], HIGH - 1, 1),
        ([RUNNING], HIGH, math.inf),
        ([MADE], 21, math.inf),
        ([LATE], 2000, math.inf),
        ([RUNNING, replace(RUNNING, id="later", submitted_at=_at(10))], 10, LOW - 15),
        ([RUNNING, MADE], 21, LOW - 26),
    ],
    ids=["until near", "until overdue", "almost overdue", "overdue", "made", "late", "first news", "mixed"],
)
def test_an_outlook_holds_until_it_would_say_something_else(
    scenes: list[Scene], at: float, seconds: float
) -> None:
    assert _outlook(*scenes, at=at).good_for == seconds


@pytest.mark.parametrize("estimates", [Estimates(), _learned()], ids=["without experience", "with"])
def test_what_is_said_of_a_queued_scene_holds_for_a_second_even_if_its_place_is_not_known_yet(
    estimates: Estimates,
) -> None:
    outlook = _outlook(QUEUED, RUNNING, estimates=estimates)
    assert (outlook.scenes["queued"].queue_position, outlook.good_for) == (None, 1)


async def test_a_place_in_the_queue_holds_for_a_second() -> None:
    slots = _slots(1)
    async with _waiting(slots, replace(QUEUED, id="holds"), QUEUED):
        outlook = _outlook(QUEUED, estimates=Estimates(), slots=slots)
    assert (outlook.scenes["queued"].queue_position, outlook.good_for) == (1, 1)


async def test_a_job_behind_its_owners_others_ends_after_as_many_rounds() -> None:
    """Two run side by side: of those that wait, two come with the next round, and the third after it."""
    turns, slots = Turns(), _slots()
    jobs = [
        Job(id=name, session_id=None, owner="ann", created_at=_at(place))
        for place, name in enumerate("abcde")
    ]
    waiting = [asyncio.create_task(turns.take(job, f"scene of {job.id}", 2)) for job in jobs]
    await asyncio.sleep(0)
    outlooks = Outlooks(slots=slots, turns=turns, estimates=_learned(), now=lambda: NOW)
    found = [
        outlooks.of(LiveJob(JobSnapshot(job=job, scenes=(replace(QUEUED, job_id=job.id),)))).scenes["queued"]
        for job in jobs
    ]
    assert [scene.queue_position for scene in found] == [None, None, 1, 2, 3]
    assert [scene.eta for scene in found[2:]] == [
        Range(earliest=_at(rounds * LOW), latest=_at((rounds + 1) * HIGH)) for rounds in (1, 1, 2)
    ]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
