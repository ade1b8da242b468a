"""What lies ahead of a job: queue places, when it will be done, when to ask again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.estimates import Estimate, Estimates
from service.limits import Slots
from service.live import LiveJob
from service.turns import Place, Turns
from sessions.clock import Clock
from sessions.model import Scene, SceneState, Stage
from sessions.progress import reached

#: what is said of a queued scene is news for so long, in seconds
_QUEUE_GOOD_FOR = 1.0

#: when to ask again, in milliseconds: near the end, on the way, and while only a late verdict can come
_SOON, _USUAL, _RARELY = 1000, 3000, 60_000

#: an end that is this close is near, in seconds
_NEAR = 5.0


@dataclass(frozen=True, kw_only=True)
class Range:
    """Most probably then, if nothing goes wrong."""

    earliest: datetime
    latest: datetime


@dataclass(frozen=True, kw_only=True)
class SceneOutlook:
    """What lies ahead of one scene."""

    queue_position: int | None = None  #: from 1, while it waits for a slot
    eta: Range | None = None  #: None without enough experience


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What lies ahead of a job."""

    scenes: Mapping[str, SceneOutlook] = field(default_factory=dict)
    eta: Range | None = None
    poll_after_ms: int | None = None  #: None once it is over
    good_for: float = math.inf  #: seconds


class Outlooks:
    """Makes them, from the queue and from experience."""

    def __init__(self, *, slots: Slots, turns: Turns, estimates: Estimates, now: Clock) -> None:
        self._slots = slots
        self._turns = turns
        self._estimates = estimates
        self._now = now

    def of(self, job: LiveJob) -> Outlook:
        if job.snapshot.job.closed:
            return Outlook()
        now = self._now()
        live = [scene for scene in job.snapshot.scenes if not scene.terminal]
        turn = self._turns.place(job.snapshot.job)
        found = {scene.id: self._scene(scene, turn, now) for scene in live}
        # What is made already is only fetched: the others decide when the job is done.
        ranges = [found[scene.id].eta for scene in live if not reached(scene, Stage.GENERATED)]
        return Outlook(
            scenes=found,
            eta=_last([it for it in ranges if it]) if all(ranges) else None,
            poll_after_ms=_poll_after(live, ranges, now),
            good_for=min((_good_for(scene, found[scene.id].eta, now) for scene in live), default=math.inf),
        )

    def _scene(self, scene: Scene, turn: Place | None, now: datetime) -> SceneOutlook:
        estimate = self._estimates.of(scene)
        if scene.state is SceneState.QUEUED:
            if turn is not None:  # behind its owner's other jobs
                eta = _range(now, estimate, turn.rounds, turn.rounds + 1)
                return SceneOutlook(queue_position=turn.number, eta=eta)
            place = self._slots.place(scene.id)
            ahead = math.ceil((place or 0) / self._slots.of(scene.model))
            return SceneOutlook(queue_position=place, eta=_range(now, estimate, max(1, ahead), ahead + 1))
        if scene.submitted_at is None or reached(scene, Stage.GENERATED):
            return SceneOutlook()
        eta = _range(scene.submitted_at, estimate)
        return SceneOutlook(eta=eta if eta and now < eta.latest else None)  # overdue: no more promises


def _range(start: datetime, estimate: Estimate | None, fewest: int = 1, most: int = 1) -> Range | None:
    """The end of a clip that comes in the given round of the queue, 1 being the clips under way."""
    if estimate is None:
        return None
    return Range(
        earliest=start + timedelta(seconds=fewest * estimate.low),
        latest=start + timedelta(seconds=most * estimate.high),
    )


def _last(ranges: list[Range]) -> Range | None:
    """The job is done with its last scene."""
    if not ranges:
        return None
    return Range(earliest=max(it.earliest for it in ranges), latest=max(it.latest for it in ranges))


def _good_for(scene: Scene, eta: Range | None, now: datetime) -> float:
    if scene.state is SceneState.QUEUED:
        return _QUEUE_GOOD_FOR
    if eta is None:
        return math.inf
    news = [eta.earliest - timedelta(seconds=_NEAR), eta.latest]
    return min((it - now).total_seconds() for it in news if it > now)


def _poll_after(live: list[Scene], ranges: list[Range | None], now: datetime) -> int:
    if all(scene.state is SceneState.RECONCILING for scene in live):
        return _RARELY
    near = now + timedelta(seconds=_NEAR)
    fetched = any(reached(scene, Stage.GENERATED) for scene in live)
    return _SOON if fetched or any(it and it.earliest <= near for it in ranges) else _USUAL
