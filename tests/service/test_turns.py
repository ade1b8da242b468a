"""Turns of one user's jobs: bounds, order, what is under way, and what a cancel leaves behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from service.turns import Place, Turns
from sessions.model import Job

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _job(name: str, owner: str | None = "ann", terms: str = "video_jobs", *, age: float = 0) -> Job:
    """A job; of two without an age, the one whose name comes first is older."""
    return Job(id=name, session_id=None, created_at=NOW - timedelta(seconds=age), owner=owner, terms=terms)


@dataclass(frozen=True)
class _Scene:
    """A scene that asks, and holds what it gets until it is told to let go."""

    id: str
    job: Job
    task: asyncio.Task[None]
    over: asyncio.Event


class _Crowd:
    """Scenes of many jobs."""

    def __init__(self, most: int) -> None:
        self.turns = Turns()
        self.most = most
        self.got: list[str] = []  #: scenes in the order in which their turn came
        self.holding: dict[str, Job] = {}
        self.asked: dict[str, _Scene] = {}

    async def ask(self, job: Job, *scene_ids: str, under_way: bool = False) -> None:
        """The job's scenes (without any: the one that has its id) ask, one after the other."""
        for scene_id in scene_ids or (job.id,):
            over = asyncio.Event()
            task = asyncio.create_task(self._hold(job, scene_id, over, under_way=under_way))
            self.asked[scene_id] = _Scene(scene_id, job, task, over)
            await _settled()

    async def finish(self, *scene_ids: str) -> None:
        for scene_id in scene_ids:
            self.asked[scene_id].over.set()
            await _settled()

    async def _hold(self, job: Job, scene_id: str, over: asyncio.Event, *, under_way: bool) -> None:
        if under_way:
            self.turns.keep(job, scene_id, self.most)
        else:
            await self.turns.take(job, scene_id, self.most)
        self.got.append(scene_id)
        self.holding[scene_id] = job
        try:
            await over.wait()
        finally:
            del self.holding[scene_id]
            self.turns.release(scene_id)

    @property
    def jobs(self) -> set[str]:
        return {job.id for job in self.holding.values()}


async def _settled() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def _crowd(most: int) -> AsyncIterator[_Crowd]:
    """A crowd that has gone home afterwards, and left nothing behind."""
    crowd = _Crowd(most)
    try:
        yield crowd
    finally:
        tasks = [scene.task for scene in crowd.asked.values()]
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [it for it in outcomes if it and not isinstance(it, asyncio.CancelledError)] == []
    assert (crowd.turns._lines, crowd.turns._held) == ({}, {})


# ---------------------------------------------------------------------- bounds and order


async def test_no_more_jobs_run_than_may_and_none_is_forgotten() -> None:
    async with _crowd(3) as crowd:
        for number in range(20):
            await crowd.ask(_job(f"{number:02}"))
        for served in range(20):
            assert len(crowd.holding) == min(3, 20 - served)
            await crowd.finish(crowd.got[served])
        assert crowd.got == [f"{number:02}" for number in range(20)]


async def test_an_older_job_goes_first_in_whatever_order_they_are_taken_up() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("runs"))
        for name, age in (("young", 1), ("old", 3), ("middle", 2)):
            await crowd.ask(_job(name, age=age))
        assert [crowd.turns.place(_job(name)) for name in ("old", "middle", "young")] == [
            Place(number=1, rounds=1),
            Place(number=2, rounds=2),
            Place(number=3, rounds=3),
        ]
        for name in ("runs", "old", "middle", "young"):
            await crowd.finish(name)
        assert crowd.got == ["runs", "old", "middle", "young"]


async def test_places_come_in_rounds_of_as_many_as_run_side_by_side() -> None:
    async with _crowd(2) as crowd:
        for name in ("a", "b", "c", "d", "e"):
            await crowd.ask(_job(name))
        places = [crowd.turns.place(_job(name)) for name in ("b", "c", "d", "e")]
        assert places == [
            None,
            Place(number=1, rounds=1),
            Place(number=2, rounds=1),
            Place(number=3, rounds=2),
        ]
        assert crowd.turns.place(_job("c", "bob")) is None


@pytest.mark.parametrize(
    "other", [_job("other", "bob"), _job("other", None), _job("other", terms="credits")], ids=str
)
async def test_other_users_and_other_terms_have_lines_of_their_own(other: Job) -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("first"))
        await crowd.ask(_job("second"))
        assert crowd.turns.is_full(_job("third"), 1)
        assert not crowd.turns.is_full(other, 1)
        await crowd.ask(other)
        assert set(crowd.holding) == {"first", "other"}
        await crowd.finish("other")
        assert set(crowd.holding) == {"first"}


async def test_whoever_is_nobody_shares_a_line() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("first", None))
        await crowd.ask(_job("second", None))
        assert set(crowd.holding) == {"first"}


async def test_looking_at_a_line_that_is_not_there_leaves_none() -> None:
    async with _crowd(1) as crowd:
        assert not crowd.turns.is_full(_job("a"), 1)
        assert crowd.turns.place(_job("a")) is None
        crowd.turns.release("never seen")
        assert crowd.turns._lines == {}


# ---------------------------------------------------------------------- scenes of one job


async def test_a_jobs_scenes_share_its_turn_until_the_last_lets_go() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("one"), "one/a", "one/b")
        await crowd.ask(_job("two"), "two/a", "two/b")
        assert set(crowd.holding) == {"one/a", "one/b"}
        await crowd.finish("one/a")
        assert crowd.jobs == {"one"}
        await crowd.finish("one/b")
        assert set(crowd.holding) == {"two/a", "two/b"}


async def test_one_scene_that_ends_before_the_other_has_woken_does_not_lose_the_jobs_turn() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("holds"))
        await crowd.ask(_job("pair"), "pair/a", "pair/b")
        await crowd.ask(_job("rival"))
        crowd.asked["pair/a"].over.set()  # it goes as soon as it comes
        await crowd.finish("holds")
        assert crowd.jobs == {"pair"}, "the turn is the other scene's still"


async def test_scenes_of_one_job_are_called_away_in_the_breath_in_which_its_turn_comes() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("holds"))
        await crowd.ask(_job("pair"), "pair/a", "pair/b")
        await crowd.ask(_job("rival"))
        crowd.turns.release("holds")
        for name in ("pair/a", "pair/b"):
            crowd.asked[name].task.cancel()
        await _settled()
        assert crowd.got == ["holds", "rival"]


async def test_one_of_two_scenes_that_is_called_away_leaves_the_turn_to_the_other() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("holds"))
        await crowd.ask(_job("pair"), "pair/a", "pair/b")
        await crowd.ask(_job("rival"))
        crowd.turns.release("holds")
        crowd.asked["pair/a"].task.cancel()
        await _settled()
        assert crowd.got == ["holds", "pair/b"]


# ---------------------------------------------------------------------- under way


async def test_what_is_under_way_has_its_turn_even_above_the_bound() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("a"))
        await crowd.ask(_job("b"))
        await crowd.ask(_job("sent before"), under_way=True)
        assert crowd.jobs == {"a", "sent before"}
        await crowd.finish("a")
        assert crowd.jobs == {"sent before"}, "it counts against the bound"
        await crowd.finish("sent before")
        assert crowd.jobs == {"b"}


async def test_the_other_scenes_of_a_job_that_is_under_way_wait_no_more() -> None:
    async with _crowd(1) as crowd:
        await crowd.ask(_job("a"))
        await crowd.ask(_job("b"), "b/queued")
        await crowd.ask(_job("b"), "b/sent", under_way=True)
        assert set(crowd.holding) == {"a", "b/queued", "b/sent"}
        assert crowd.turns.place(_job("b")) is None


async def test_a_turn_may_be_kept_and_let_go_more_than_once() -> None:
    async with _crowd(1) as crowd:
        job = _job("a")
        crowd.turns.keep(job, "a", 1)
        crowd.turns.keep(job, "a", 1)
        await crowd.ask(job, under_way=True)
        await crowd.ask(_job("b"))
        crowd.turns.release("a")
        crowd.turns.release("a")
        await _settled()
        assert crowd.got == ["a", "b"], "it goes on, and needs its turn no more"
        await crowd.ask(_job("c"))
        await crowd.finish("a")
        assert crowd.got == ["a", "b"], "its end gives nothing back"


# ---------------------------------------------------------------------- cancels


async def test_a_job_that_is_cancelled_while_it_waits_leaves_the_line() -> None:
    async with _crowd(1) as crowd:
        for name in ("holds", "gone", "next"):
            await crowd.ask(_job(name))
        crowd.asked["gone"].task.cancel()
        await _settled()
        assert crowd.turns.place(_job("next")) == Place(number=1, rounds=1)
        await crowd.finish("holds")
        assert crowd.got == ["holds", "next"]


async def test_a_cancel_that_meets_the_grant_loses_no_turn() -> None:
    async with _crowd(1) as crowd:
        for name in ("holds", "a granted", "b cancelled", "c next"):
            await crowd.ask(_job(name))
        crowd.turns.release("holds")
        crowd.asked["a granted"].task.cancel()  # has its turn, and has not run since
        crowd.asked["b cancelled"].task.cancel()
        await _settled()
        assert crowd.got == ["holds", "c next"]


async def test_no_turn_is_given_to_one_that_was_cancelled_in_the_same_breath() -> None:
    async with _crowd(1) as crowd:
        for name in ("holds", "gone", "next"):
            await crowd.ask(_job(name))
        crowd.asked["gone"].task.cancel()  # still in the line
        crowd.turns.release("holds")
        await _settled()
        assert crowd.got == ["holds", "next"]


async def test_a_cancel_before_the_first_breath_is_no_trouble() -> None:
    async with _crowd(1) as crowd:
        task = asyncio.create_task(crowd.turns.take(_job("a"), "a", 1))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await crowd.ask(_job("b"))
        assert crowd.got == ["b"]


# ---------------------------------------------------------------------- at random


class _Riot(_Crowd):
    """A crowd that acts at random."""

    def __init__(self, most: int, seed: int) -> None:
        super().__init__(most)
        self.chance = random.Random(seed)
        self.above: set[str] = set()  #: jobs of which a scene was under way when it asked
        self.made = 0

    async def act(self) -> None:
        chance = self.chance
        waiting = [it for it in self.asked.values() if it.id not in self.got and not it.task.done()]
        match chance.choice(("ask", "ask", "pair", "under way", "finish", "finish", "cancel", "rest")):
            case "ask":
                self._send(self._new())
            case "pair":
                job = self._new()
                self._send(job, f"{job.id}/a", f"{job.id}/b")
            case "under way":
                job = chance.choice(waiting).job if waiting and chance.random() < 0.5 else self._new()
                self.above.add(job.id)
                self._send(job, f"{job.id}/under way", under_way=True)
            case "finish" if self.holding:
                self.asked[chance.choice(list(self.holding))].over.set()
            case "cancel" if self.asked:
                self.chance.choice(list(self.asked.values())).task.cancel()
            case "rest" if self.holding:
                self.turns.release(chance.choice(list(self.holding)))
            case _:
                pass
        if chance.random() < 0.5:  # or the next thing happens in the same breath
            await _settled()

    def _new(self) -> Job:
        self.made += 1
        age = self.chance.random()
        return _job(f"job {self.made}", self.chance.choice(("ann", "bob", None)), age=age)

    def _send(self, job: Job, *scene_ids: str, under_way: bool = False) -> None:
        for scene_id in scene_ids or (job.id,):
            if scene_id in self.asked:
                continue
            over = asyncio.Event()
            task = asyncio.create_task(self._hold(job, scene_id, over, under_way=under_way))
            self.asked[scene_id] = _Scene(scene_id, job, task, over)

    def check(self) -> None:
        """Nobody runs too many jobs, and nobody waits while there is room."""
        held = {
            scene_id for line in self.turns._lines.values() for it in line.running.values() for scene_id in it
        }
        assert held == set(self.turns._held)
        assert held <= set(self.holding), "whoever has a turn knows it"
        waiting = [it for it in self.asked.values() if it.id not in self.got and not it.task.done()]
        for owner in ("ann", "bob", None):
            line = self.turns._lines.get((owner, "video_jobs"))
            theirs = {it.id for it in waiting if it.job.owner == owner}
            assert theirs == {it.scene_id for it in (line.waiting if line else ())}, "nobody is forgotten"
            if line is None:
                continue
            assert len(set(line.running) - self.above) <= self.most
            assert not theirs or len(line.running) >= self.most
            assert not any(it.job.id in line.running for it in line.waiting)
            assert all(line.running.values()), "a turn is somebody's"


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_happens_no_turn_is_lost_or_held_twice(seed: int) -> None:
    riot = _Riot(1 + seed % 3, seed)
    try:
        for _ in range(300):
            await riot.act()
            if riot.chance.random() < 0.3:
                await _settled()
                riot.check()
        while riot.holding:
            await riot.finish(*riot.holding)
            riot.check()
        assert all(it.id in riot.got or it.task.cancelled() for it in riot.asked.values())
    finally:
        for scene in riot.asked.values():
            scene.task.cancel()
        await asyncio.gather(*(it.task for it in riot.asked.values()), return_exceptions=True)
    assert (riot.turns._lines, riot.turns._held) == ({}, {})
