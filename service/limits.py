"""Slots at the provider: how many scenes may be there at once, and who is next.

Two lanes: work that somebody waits for goes first, batch work holds a bounded part of the
slots. Inside a lane models take turns, and for each model parties (sessions, or users) do, so that a
large one does not keep a small one waiting. A slot is held from submission to the provider's verdict.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.sections import LimitsSettings
from sessions.model import Lane, Scene

#: so many slots in a row go to people who wait before batch work gets one
_BATCH_TURN = 4

#: for how long computed queue places count as current, in seconds
_RANKING_GOOD_FOR = 1.0


@dataclass(eq=False)
class _Waiter:
    scene_id: str
    party: str
    granted: asyncio.Future[None]


class _Line:
    """Those who wait for one model in one lane; parties take turns."""

    def __init__(self) -> None:
        self._by_party: OrderedDict[str, OrderedDict[_Waiter, None]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_party)

    def add(self, waiter: _Waiter) -> None:
        self._by_party.setdefault(waiter.party, OrderedDict())[waiter] = None

    def next(self) -> _Waiter:
        party, waiters = self._by_party.popitem(last=False)
        waiter, _ = waiters.popitem(last=False)
        if waiters:
            self._by_party[party] = waiters  # behind the others
        return waiter

    def remove(self, waiter: _Waiter) -> None:
        waiters = self._by_party.get(waiter.party)
        if waiters and waiter in waiters:
            del waiters[waiter]
            if not waiters:
                del self._by_party[waiter.party]

    def in_order(self) -> Iterator[_Waiter]:
        """As they would be served if nobody came or went."""
        rounds = [iter(waiters) for waiters in self._by_party.values()]
        while rounds:
            going = []
            for waiters in rounds:
                if (waiter := next(waiters, None)) is not None:
                    yield waiter
                    going.append(waiters)
            rounds = going


class Slots:
    """The slots of one provider."""

    def __init__(self, settings: LimitsSettings, by_model: Mapping[str, int]) -> None:
        self._total = settings.slots
        self._batch = max(1, int(settings.slots * settings.batch_share))
        self._by_model = by_model
        self._held: dict[str, tuple[str, Lane]] = {}  # scene -> model, lane
        self._models: Counter[str] = Counter()
        self._lanes: Counter[Lane] = Counter()
        self._lines: OrderedDict[tuple[Lane, str], _Line] = OrderedDict()  # empty ones stay: models are few
        self._in_a_row = 0
        self._ranking: tuple[float, dict[str, int]] = (float("-inf"), {})

    def of(self, model: str) -> int:
        """How many scenes of the model may be at the provider."""
        return min(self._total, self._by_model.get(model, self._total))

    async def take(self, scene: Scene, lane: Lane, party: str) -> None:
        """Wait for a slot; it is the scene's until it is released.

        A scene whose task may be at the provider already gets one at once.
        """
        if scene.submitted_at is not None:
            self._take(scene.id, scene.model, lane)
        else:
            await self._wait(scene, lane, party)

    def release(self, scene_id: str) -> None:
        """Give the scene's slot back; nothing happens if it has none."""
        if scene_id in self._held:
            model, lane = self._held.pop(scene_id)
            self._models[model] -= 1
            self._lanes[lane] -= 1
            self._grant()

    def place(self, scene_id: str) -> int | None:
        """The scene's place in the queue, from 1; None if it does not wait. At most a second old."""
        made, ranking = self._ranking
        if time.monotonic() - made > _RANKING_GOOD_FOR:
            ranking = self._rank()
            self._ranking = (time.monotonic(), ranking)
        return ranking.get(scene_id)

    async def _wait(self, scene: Scene, lane: Lane, party: str) -> None:
        waiter = _Waiter(scene.id, party, asyncio.get_running_loop().create_future())
        line = self._lines.setdefault((lane, scene.model), _Line())
        line.add(waiter)
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            line.remove(waiter)
            self.release(scene.id)  # it may have been granted in the same breath
            raise

    def _grant(self) -> None:
        while (found := self._next_line()) is not None:
            lane, model = found
            waiter = self._lines[found].next()
            if waiter.granted.done():
                continue  # cancelled, and its task has not run since
            self._lines.move_to_end(found)
            self._in_a_row = self._in_a_row + 1 if lane is Lane.INTERACTIVE else 0
            self._take(waiter.scene_id, model, lane)
            waiter.granted.set_result(None)

    def _next_line(self) -> tuple[Lane, str] | None:
        if len(self._held) >= self._total:
            return None
        lanes = [Lane.INTERACTIVE, Lane.BATCH]
        if self._in_a_row >= _BATCH_TURN:
            lanes.reverse()
        for lane in lanes:
            if lane is Lane.BATCH and self._lanes[lane] >= self._batch:
                continue
            for key, line in self._lines.items():
                if key[0] is lane and line and self._models[key[1]] < self.of(key[1]):
                    return key
        return None

    def _take(self, scene_id: str, model: str, lane: Lane) -> None:
        self._held[scene_id] = (model, lane)
        self._models[model] += 1
        self._lanes[lane] += 1

    def _rank(self) -> dict[str, int]:
        """Places inside each model's queue, the batch lane behind the other."""
        places: Counter[str] = Counter()
        ranking: dict[str, int] = {}
        for lane in (Lane.INTERACTIVE, Lane.BATCH):
            for (its_lane, model), line in self._lines.items():
                if its_lane is lane:
                    for waiter in line.in_order():
                        places[model] += 1
                        ranking[waiter.scene_id] = places[model]
        return ranking
