"""When, and how often, a provider is asked for its tasks."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from pydantic import SecretStr
from yarl import URL

from service.estimates import Estimate
from service.health import Health
from service.providers.base import TaskStatus, UnknownTask, VideoTask
from service.recipes import watch as module
from service.recipes.callbacks import Callbacks
from service.recipes.watch import Watch, Watched
from sessions.errors import NotFound

ESTIMATE = Estimate(low=60, typical=80, high=100)

#: longer than any test; who waits for it only comes back if he is called
FOREVER = 1e6


class _Provider:
    """Is never asked here: the pace is all that matters."""

    name = "acme"
    keeps_tasks = True
    poll_seconds = 1.0
    deadline_seconds = 1200.0
    reconcile_pause_seconds = 15.0
    reconcile_hours = 24.0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def submit(self, task: VideoTask) -> None: ...

    async def check(self, task_id: str) -> TaskStatus:
        raise UnknownTask(task_id)

    async def details(self, task_id: str) -> TaskStatus:
        raise UnknownTask(task_id)

    async def health(self) -> Health:
        return Health(ok=True, detail="answers")


def _watch(*, polls_per_second: float = 1000.0, webhooks: bool = False) -> Watch:
    callbacks = Callbacks("https://video.example.com", SecretStr("the key")) if webhooks else None
    return Watch(_Provider(), polls_per_second=polls_per_second, callbacks=callbacks)


def _call(watch: Watch, task_id: str) -> None:
    """The provider uses the address that it was given."""
    url = watch.webhook_url(task_id)
    assert url is not None
    watch.called(task_id, URL(url).query["token"])


async def _begun(watch: Watch, watched: Watched) -> asyncio.Task[None]:
    """A pause that lasts until the provider calls."""
    task = asyncio.create_task(watch.pause(watched, FOREVER))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    return task


def _questions(watch: Watch, until: float, estimate: Estimate | None) -> list[float]:
    """When a task is asked for, in seconds since its submission."""
    asked = [0.0]
    while asked[-1] < until:
        asked.append(asked[-1] + watch.seconds_between(asked[-1], estimate))
    return asked


# ---------------------------------------------------------------------- pace


def test_without_experience_the_pace_is_even() -> None:
    assert _questions(_watch(), 20, None) == [float(second) for second in range(21)]


def test_a_clip_that_cannot_be_done_yet_is_asked_for_rarely_and_usually_when_it_may_be() -> None:
    asked = _questions(_watch(), 100, ESTIMATE)
    early = [moment for moment in asked if moment < 0.8 * ESTIMATE.low]
    due = [moment for moment in asked if moment >= 0.8 * ESTIMATE.low]
    assert {round(later - earlier, 6) for earlier, later in pairwise(early)} == {5.0}
    assert due[0] == pytest.approx(0.8 * ESTIMATE.low), "the first question is not missed"
    assert {round(later - earlier, 6) for earlier, later in pairwise(due)} == {1.0}


def test_no_early_pause_is_longer_however_long_the_clips_take() -> None:
    """Models get faster, and experience is old."""
    slow = Estimate(low=36_000, typical=36_000, high=36_000)
    assert _watch().seconds_between(0, slow) == 5


def test_a_clip_that_is_overdue_is_asked_for_ever_more_rarely_up_to_a_limit() -> None:
    pauses = [_watch().seconds_between(ESTIMATE.high + late, ESTIMATE) for late in (0, 50, 100, 200, 10_000)]
    assert pauses == [1, 1, 2, 4, 10]


def test_a_clip_with_experience_is_never_asked_for_faster_than_one_without() -> None:
    watch = _watch()
    for estimate in (ESTIMATE, Estimate(low=0.001, typical=0.001, high=0.001)):
        assert all(watch.seconds_between(float(at), estimate) >= 1 for at in range(200))


def test_a_crowd_stretches_the_pauses_so_that_all_together_keep_to_the_bound() -> None:
    watch = _watch(polls_per_second=10)
    crowd = [watch.over(str(number)) for number in range(50)]
    for task in crowd:
        task.__enter__()
    pauses = [
        watch.seconds_between(elapsed, estimate) for elapsed in (0, 55, 90) for estimate in (None, ESTIMATE)
    ]
    assert pauses == [5.0] * 6
    assert sum(1 / pause for pause in [pauses[0]] * 50) == pytest.approx(10)
    for task in crowd[5:]:
        task.__exit__(None, None, None)
    assert watch.seconds_between(0, None) == 1
    for task in crowd[:5]:
        task.__exit__(None, None, None)


def test_with_webhooks_asking_is_only_the_fallback() -> None:
    watch = _watch(webhooks=True)
    assert [watch.seconds_between(elapsed, ESTIMATE) for elapsed in (0, 60, 10_000)] == [10, 10, 10]
    assert watch.seconds_between(0, None) == 10


def test_tasks_that_are_over_are_forgotten_whatever_ended_them() -> None:
    watch = _watch()
    for number in range(100):
        with watch.over(str(number)):
            pass
    with pytest.raises(ZeroDivisionError), watch.over("broken"):
        _ = 1 / 0
    assert not watch._tasks


def test_who_still_watches_a_task_when_another_takes_it_over_does_not_end_the_others_watch() -> None:
    watch = _watch(webhooks=True)
    old, new = watch.over("task"), watch.over("task")
    old.__enter__()
    watched = new.__enter__()
    old.__exit__(None, None, None)
    _call(watch, "task")
    assert watched.called.is_set()
    new.__exit__(None, None, None)
    assert not watch._tasks


# ---------------------------------------------------------------------- pauses and calls


async def test_a_pause_ends_by_itself() -> None:
    watch = _watch()
    with watch.over("task") as watched:
        await watch.pause(watched, 0.001)
        await watch.pause(watched, 0)


async def test_a_call_ends_the_pause() -> None:
    watch = _watch(webhooks=True)
    with watch.over("task") as watched:
        pause = await _begun(watch, watched)
        _call(watch, "task")
        await pause


async def test_a_call_that_comes_while_the_provider_is_being_asked_is_not_lost() -> None:
    watch = _watch(webhooks=True)
    with watch.over("task") as watched:
        _call(watch, "task")
        await watch.pause(watched, FOREVER)
        assert not watched.called.is_set()


async def test_after_a_call_the_next_pauses_are_short_and_then_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The provider's answers may lag behind its calls."""
    monkeypatch.setattr(module, "_AFTER_CALL", (0.0, 0.001, 0.002))
    watch = _watch(webhooks=True)
    with watch.over("task") as watched:
        pause = await _begun(watch, watched)
        _call(watch, "task")
        await pause
        for _ in range(3):
            await watch.pause(watched, FOREVER)
        again = await _begun(watch, watched)
        _call(watch, "task")
        await again


async def test_each_call_is_for_one_task() -> None:
    watch = _watch(webhooks=True)
    with watch.over("one") as one, watch.over("two") as two, watch.over("three") as three:
        pauses = [await _begun(watch, watched) for watched in (one, two, three)]
        _call(watch, "two")
        await pauses[1]
        assert [pause.done() for pause in pauses] == [False, True, False]
        _call(watch, "three")
        _call(watch, "one")
        await asyncio.gather(*pauses)


async def test_a_pause_that_is_cancelled_is_over() -> None:
    watch = _watch()
    with watch.over("task") as watched:
        pause = await _begun(watch, watched)
        pause.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pause


def test_a_call_about_a_task_that_nobody_waits_for_changes_nothing() -> None:
    watch = _watch(webhooks=True)
    with watch.over("task") as watched:
        pass
    _call(watch, "task")
    _call(watch, "unheard of")
    assert not watched.called.is_set()
    assert not watch._tasks


def test_only_the_provider_may_call() -> None:
    watch = _watch(webhooks=True)
    with watch.over("task") as watched:
        for token in ("", "wrong", "ключ"):
            with pytest.raises(NotFound):
                watch.called("task", token)
        assert not watched.called.is_set()


def test_without_webhooks_there_is_no_address_and_nobody_may_call() -> None:
    watch = _watch()
    assert watch.webhook_url("task") is None
    with watch.over("task") as watched:
        with pytest.raises(NotFound):
            watch.called("task", "")
        assert not watched.called.is_set()
