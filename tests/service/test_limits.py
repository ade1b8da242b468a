"""Slots at the provider: bounds, turns, lanes, and what a cancel leaves behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from service import limits as module
from service.limits import Slots
from service.sections import LimitsSettings
from sessions.model import Lane, Scenario, Scene

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _scene(name: str, session: str | None = None, model: str = "lamp", *, submitted: bool = False) -> Scene:
    return Scene(
        id=name,
        job_id=f"job of {name}",
        session_id=session or f"session of {name}",
        scenario=Scenario.HOOK,
        take=1,
        prompt="A lamp",
        model=model,
        provider="local",
        seconds=5.0,
        width=256,
        height=144,
        task_id=f"task of {name}",
        created_at=NOW,
        updated_at=NOW,
        submitted_at=NOW if submitted else None,
    )


def _slots(total: int, by_model: Mapping[str, int] | None = None, *, batch_share: float = 0.5) -> Slots:
    settings = LimitsSettings(
        slots=total,
        batch_share=batch_share,
        breaker_failures=5,
        breaker_pause_seconds=1,
        breaker_longest_seconds=60,
    )
    return Slots(settings, by_model or {})


class _Crowd:
    """Scenes that ask for slots, and hold them until they are told to let go."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.got: list[str] = []  #: scenes in the order in which they got a slot
        self.holding: set[str] = set()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._over: dict[str, asyncio.Event] = {}

    async def ask(self, *scenes: Scene, lane: Lane = Lane.INTERACTIVE) -> None:
        for scene in scenes:
            self._over[scene.id] = asyncio.Event()
            self.tasks[scene.id] = asyncio.create_task(self._hold(scene, lane))
        await _settled()

    async def finish(self, *names: str) -> None:
        for name in names:
            self._over[name].set()
            await _settled()

    async def serve_all(self) -> list[str]:
        """Let scenes finish in the order in which they came, until nobody waits; answers that order."""
        for name in self.got:
            await self.finish(name)
        return self.got

    async def _hold(self, scene: Scene, lane: Lane) -> None:
        await self.slots.take(scene, lane, scene.session_id or scene.job_id)
        self.got.append(scene.id)
        self.holding.add(scene.id)
        try:
            await self._over[scene.id].wait()
        finally:
            self.holding.discard(scene.id)
            self.slots.release(scene.id)


async def _settled() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def _crowd(slots: Slots) -> AsyncIterator[_Crowd]:
    """A crowd that has gone home afterwards, and left every slot free."""
    crowd = _Crowd(slots)
    try:
        yield crowd
    finally:
        for task in crowd.tasks.values():
            task.cancel()
        await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)
    assert not slots._held
    assert not any(slots._models.values())
    assert not any(slots._lanes.values())
    assert not any(slots._lines.values())


# ---------------------------------------------------------------------- bounds


async def test_never_more_scenes_hold_a_slot_than_there_are_slots() -> None:
    async with _crowd(_slots(3)) as crowd:
        await crowd.ask(*(_scene(str(number)) for number in range(20)))
        for served in range(20):
            assert len(crowd.holding) == min(3, 20 - served)
            await crowd.finish(crowd.got[served])
        assert len(crowd.got) == 20


async def test_a_model_has_a_bound_of_its_own_and_does_not_block_another() -> None:
    async with _crowd(_slots(4, {"narrow": 1})) as crowd:
        await crowd.ask(
            _scene("n1", model="narrow"), _scene("n2", model="narrow"), _scene("w1"), _scene("w2")
        )
        assert crowd.holding == {"n1", "w1", "w2"}
        await crowd.finish("w1")
        assert "n2" not in crowd.holding
        await crowd.finish("n1")
        assert crowd.holding == {"n2", "w2"}


def test_a_models_bound_is_never_wider_than_the_providers() -> None:
    slots = _slots(4, {"narrow": 1, "wide": 100})
    assert [slots.of(model) for model in ("narrow", "wide", "unnamed")] == [1, 4, 4]


async def test_a_scene_whose_task_may_have_left_gets_a_slot_at_once_even_above_the_bound() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("first"), _scene("second"))
        await crowd.ask(_scene("left before", submitted=True))
        assert crowd.holding == {"first", "left before"}
        await crowd.finish("first")
        assert crowd.holding == {"left before"}, "it counts against the bound"
        await crowd.finish("left before")
        assert crowd.holding == {"second"}


async def test_a_slot_that_is_given_back_early_is_given_back_once() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("late"), _scene("next"), _scene("last"))
        crowd.slots.release("late")
        crowd.slots.release("late")
        await _settled()
        assert crowd.holding == {"late", "next"}, "it goes on without a slot"
        await crowd.finish("late")
        assert crowd.holding == {"next"}, "its end gives nothing back"
        crowd.slots.release("never seen")
        await _settled()
        assert crowd.got == ["late", "next"]


# ---------------------------------------------------------------------- turns


async def test_sessions_take_turns() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(*(_scene(f"large {number}", "large") for number in range(4)))
        await crowd.ask(*(_scene(f"small {number}", "small") for number in range(2)), _scene("single"))
        assert await crowd.serve_all() == [
            "large 0",
            "large 1",
            "small 0",
            "single",
            "large 2",
            "small 1",
            "large 3",
        ]


async def test_models_take_turns_where_all_share_the_slots() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(*(_scene(f"popular {number}", model="popular") for number in range(4)))
        await crowd.ask(_scene("rare 0", model="rare"), _scene("rare 1", model="rare"))
        assert await crowd.serve_all() == [
            "popular 0",
            "popular 1",
            "rare 0",
            "popular 2",
            "rare 1",
            "popular 3",
        ]


async def test_who_waits_at_a_screen_goes_before_batch_work() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"))
        await crowd.ask(_scene("batch"), lane=Lane.BATCH)
        await crowd.ask(_scene("interactive"))
        assert await crowd.serve_all() == ["holds", "interactive", "batch"]


async def test_every_fifth_slot_goes_to_batch_work_that_waits() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("i0"))
        await crowd.ask(*(_scene(f"b{number}") for number in range(3)), lane=Lane.BATCH)
        await crowd.ask(*(_scene(f"i{number}") for number in range(1, 10)))
        assert await crowd.serve_all() == [
            *("i0", "i1", "i2", "i3", "b0"),
            *("i4", "i5", "i6", "i7", "b1"),
            *("i8", "i9", "b2"),
        ]


async def test_batch_work_holds_its_part_of_the_slots_and_no_more() -> None:
    async with _crowd(_slots(4, batch_share=0.5)) as crowd:
        await crowd.ask(*(_scene(f"b{number}") for number in range(4)), lane=Lane.BATCH)
        assert crowd.holding == {"b0", "b1"}
        await crowd.ask(*(_scene(f"i{number}") for number in range(3)))
        assert crowd.holding == {"b0", "b1", "i0", "i1"}
        await crowd.finish("b0")
        assert crowd.holding == {"b1", "i0", "i1", "i2"}
        await crowd.finish("i0")
        assert crowd.holding == {"b1", "b2", "i1", "i2"}


async def test_batch_work_may_hold_one_slot_however_small_its_part() -> None:
    async with _crowd(_slots(3, batch_share=0.01)) as crowd:
        await crowd.ask(_scene("b0"), _scene("b1"), lane=Lane.BATCH)
        assert crowd.holding == {"b0"}


async def test_batch_work_whose_turn_has_come_lets_others_pass_while_its_part_is_held() -> None:
    async with _crowd(_slots(2, batch_share=0.5)) as crowd:
        await crowd.ask(_scene("b0"), _scene("b1"), lane=Lane.BATCH)
        await crowd.ask(*(_scene(f"i{number}") for number in range(8)))
        for number in range(6):
            await crowd.finish(f"i{number}")
        assert crowd.holding == {"b0", "i6"}
        await crowd.finish("b0")
        assert crowd.holding == {"b1", "i6"}


# ---------------------------------------------------------------------- cancels


async def test_a_scene_that_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"), _scene("gone"), _scene("next"))
        crowd.tasks["gone"].cancel()
        await _settled()
        assert crowd.holding == {"holds"}
        assert crowd.slots.place("next") == 1
        assert await crowd.serve_all() == ["holds", "next"]


async def test_a_cancel_that_meets_the_grant_loses_no_slot() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"), _scene("granted first"), _scene("cancelled first"), _scene("next"))
        crowd.slots.release("holds")
        crowd.tasks["granted first"].cancel()  # has a slot, and has not run since
        crowd.tasks["cancelled first"].cancel()
        await _settled()
        assert crowd.got == ["holds", "next"]


async def test_no_slot_is_given_to_one_that_was_cancelled_in_the_same_breath() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"), _scene("gone"), _scene("next"))
        crowd.tasks["gone"].cancel()  # still in the line
        crowd.slots.release("holds")
        assert set(crowd.slots._held) == {"next"}
        await _settled()
        assert crowd.got == ["holds", "next"]


async def test_a_scene_that_was_cancelled_may_ask_again() -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"), _scene("again"))
        crowd.tasks["again"].cancel()
        await _settled()
        await crowd.ask(_scene("again"))
        assert await crowd.serve_all() == ["holds", "again"]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_comes_and_goes_the_bounds_hold_and_all_who_stay_are_served(seed: int) -> None:
    """Arrivals, ends and cancels in an order that looks like chance, and is the same in every run."""
    slots = _slots(5, {"narrow": 2}, batch_share=0.4)
    async with _crowd(slots) as crowd:
        state, cancelled = seed, set()
        for number in range(300):
            state = (state * 1103515245 + 12345) % 2**31
            scene = _scene(str(number), f"session {state % 7}", "narrow" if state % 3 else "lamp")
            crowd_lane = Lane.BATCH if state % 5 < 2 else Lane.INTERACTIVE
            await crowd.ask(scene, lane=crowd_lane)
            if state % 11 == 0:
                cancelled.add(str(number // 2))
                crowd.tasks[str(number // 2)].cancel()
            if state % 4 == 0 and crowd.holding:
                await crowd.finish(min(crowd.holding))
            assert len(slots._held) <= 5
            assert slots._models["narrow"] <= 2
            assert slots._lanes[Lane.BATCH] <= 2
            assert sum(slots._models.values()) == sum(slots._lanes.values()) == len(slots._held)
        await crowd.serve_all()
        assert set(crowd.got) | cancelled == {str(number) for number in range(300)}


# ---------------------------------------------------------------------- places


class _Time(SimpleNamespace):
    """Stands in for the module ``time``."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Time:
    clock = _Time()
    monkeypatch.setattr(module, "time", clock)
    return clock


async def test_places_are_those_in_which_the_scenes_are_served(clock: _Time) -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"))
        await crowd.ask(_scene("b"), lane=Lane.BATCH)
        await crowd.ask(*(_scene(f"l{number}", "large") for number in range(3)))
        await crowd.ask(*(_scene(f"s{number}", "small") for number in range(2)))
        places = {name: crowd.slots.place(name) for name in ("l0", "s0", "l1", "s1", "l2", "b")}
        assert places == {"l0": 1, "s0": 2, "l1": 3, "s1": 4, "l2": 5, "b": 6}
        # The batch lane is counted last; its turn after four in a row may come earlier.
        assert await crowd.serve_all() == ["holds", "l0", "s0", "l1", "b", "s1", "l2"]


async def test_places_are_counted_for_each_model(clock: _Time) -> None:
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"), _scene("one"), _scene("other", model="other"), _scene("two"))
        assert [crowd.slots.place(name) for name in ("one", "two", "other")] == [1, 2, 1]


async def test_who_does_not_wait_has_no_place(clock: _Time) -> None:
    async with _crowd(_slots(1)) as crowd:
        assert crowd.slots.place("unheard of") is None
        clock.now += 2
        await crowd.ask(_scene("holds"), _scene("waits"))
        assert crowd.slots.place("holds") is None
        assert crowd.slots.place("waits") == 1


async def test_places_are_counted_anew_once_a_second(clock: _Time, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = 0
    rank = Slots._rank

    def counted(slots: Slots) -> dict[str, int]:
        nonlocal runs
        runs += 1
        return rank(slots)

    monkeypatch.setattr(Slots, "_rank", counted)
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(_scene("holds"), _scene("first"), _scene("second"))
        assert crowd.slots.place("second") == 2
        await crowd.finish("holds")
        assert [crowd.slots.place("second") for _ in range(100)] == [2] * 100
        assert runs == 1
        clock.now += 1.5
        assert [crowd.slots.place(name) for name in ("first", "second")] == [None, 1]
        assert runs == 2


# ---------------------------------------------------------------------- thousands


@contextmanager
def _counted_lines() -> Iterator[list[int]]:
    """Counts the lines of the module that run: work that does not depend on the machine."""
    lines = [0]

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        lines[0] += event == "line"
        return local

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        return local if frame.f_code.co_filename == module.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


async def _work(scenes: int, *, sessions: int) -> dict[str, int]:
    """Lines that run for each of the four things that happen to a queue of so many scenes."""
    work: dict[str, int] = {}
    async with _crowd(_slots(10, {"model 0": 1})) as crowd:
        names = [str(number) for number in range(scenes)]
        with _counted_lines() as lines:
            await crowd.ask(
                *(_scene(name, f"session {int(name) % sessions}", f"model {int(name) % 4}") for name in names)
            )
        work["asking"] = lines[0]
        with _counted_lines() as lines:
            assert len([name for name in names if crowd.slots.place(name)]) == scenes - 10
        work["ranking"] = lines[0]
        with _counted_lines() as lines:
            for _ in range(scenes // 2):
                crowd.slots.release(next(iter(crowd.slots._held)))
        work["serving"] = lines[0]
        with _counted_lines() as lines:
            for name in reversed(names):
                crowd.tasks[name].cancel()
            await _settled()
        work["cancelling"] = lines[0]
    return work


@pytest.mark.parametrize("spread", ["one session", "a session each"])
async def test_the_work_for_each_of_4000_waiting_scenes_is_that_for_each_of_400(
    spread: str, clock: _Time
) -> None:
    few = await _work(400, sessions=1 if spread == "one session" else 400)
    clock.now += 2
    many = await _work(4000, sessions=1 if spread == "one session" else 4000)
    # Ten times as much, give or take what does not grow; its square would be a hundred times.
    assert {name: round(many[name] / few[name] / 10) for name in few} == dict.fromkeys(few, 1)


async def test_leaving_a_long_line_looks_at_no_other_waiter(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def same(one: object, other: object) -> bool:
        nonlocal compared
        compared += 1
        return one is other

    monkeypatch.setattr(module._Waiter, "__eq__", same)
    monkeypatch.setattr(module._Waiter, "__hash__", object.__hash__)
    async with _crowd(_slots(1)) as crowd:
        await crowd.ask(*(_scene(str(number), "large") for number in range(4000)))
        for number in reversed(range(4000)):
            crowd.tasks[str(number)].cancel()
        await _settled()
    assert compared < 100  # equal hashes are rare


async def test_what_the_slots_remember_does_not_grow_with_the_scenes() -> None:
    slots = _slots(2)
    async with _crowd(slots) as crowd:
        for number in range(50):
            await crowd.ask(*(_scene(f"{number}-{index}") for index in range(4)))
            crowd.tasks[f"{number}-3"].cancel()
            await crowd.finish(*(f"{number}-{index}" for index in range(3)))
        assert not slots._held
        assert len(slots._lines) == len(slots._models) == 1
        assert not slots._lines[Lane.INTERACTIVE, "lamp"]._by_party
