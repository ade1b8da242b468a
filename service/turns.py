"""Turns: how many jobs of one user run side by side under the same terms; further ones wait, oldest first."""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from dataclasses import dataclass, field
from datetime import datetime

from sessions.model import Job

#: a user under certain terms
_Party = tuple[str | None, str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a job stands that waits."""

    number: int  #: from 1
    rounds: int  #: how often as many jobs as run side by side have to end before it is its turn


@dataclass(eq=False)
class _Waiter:
    """A scene that waits for its job's turn."""

    job: Job
    scene_id: str
    granted: asyncio.Future[None]

    @property
    def age(self) -> tuple[datetime, str]:
        """Older jobs first, in whatever order they are taken up after a restart."""
        return self.job.created_at, self.job.id


@dataclass(eq=False)
class _Line:
    """One user's jobs: those that have a turn, with the scenes that hold it, and who waits."""

    most: int  #: jobs that run side by side
    running: dict[str, set[str]] = field(default_factory=dict)
    waiting: list[_Waiter] = field(default_factory=list)


class Turns:
    """Kept in memory: after a restart the jobs line up again, those under way first."""

    def __init__(self) -> None:
        self._lines: dict[_Party, _Line] = {}
        self._held: dict[str, tuple[_Party, str]] = {}  # scene -> whose turn of which job

    async def take(self, job: Job, scene_id: str, most: int) -> None:
        """Wait for the job's turn; it is held until each of its scenes has released it."""
        party = (job.owner, job.terms)
        line = self._lines.setdefault(party, _Line(most))
        if job.id in line.running:
            self.keep(job, scene_id, most)
            return
        waiter = _Waiter(job, scene_id, asyncio.get_running_loop().create_future())
        insort(line.waiting, waiter, key=lambda it: it.age)
        self._call(party)
        try:
            await waiter.granted
        except asyncio.CancelledError:  # perhaps in the same breath in which the turn came
            if waiter in line.waiting:
                line.waiting.remove(waiter)
                self._call(party)
            self.release(scene_id)
            raise

    def keep(self, job: Job, scene_id: str, most: int) -> None:
        """Give the scene its job's turn at once: its task may be at the provider already."""
        party = (job.owner, job.terms)
        line = self._lines.setdefault(party, _Line(most))
        self._hold(party, line, job.id, scene_id)
        self._call(party)  # those who wait for the same job

    def release(self, scene_id: str) -> None:
        """The scene needs its turn no more; nothing happens if it has none."""
        if scene_id not in self._held:
            return
        party, job_id = self._held.pop(scene_id)
        scenes = self._lines[party].running[job_id]
        scenes.discard(scene_id)
        if not scenes:
            del self._lines[party].running[job_id]
        self._call(party)

    def is_full(self, job: Job, most: int) -> bool:
        """Whether the job would have to wait now."""
        line = self._lines.get((job.owner, job.terms))
        return line is not None and job.id not in line.running and len(line.running) >= most

    def place(self, job: Job) -> Place | None:
        """The job's place among its owner's that wait; None if it does not wait."""
        line = self._lines.get((job.owner, job.terms))
        if line is None:
            return None
        waiting = list(dict.fromkeys(waiter.job.id for waiter in line.waiting))
        if job.id not in waiting:
            return None
        number = waiting.index(job.id) + 1
        return Place(number=number, rounds=math.ceil(number / line.most))

    def _call(self, party: _Party) -> None:
        """Let in whom there is room for. What is granted is held from here on, whenever its task runs."""
        line = self._lines[party]
        for waiter in list(line.waiting):
            if waiter.granted.done():  # cancelled, and about to leave
                continue
            if waiter.job.id not in line.running and len(line.running) >= line.most:
                continue
            line.waiting.remove(waiter)
            self._hold(party, line, waiter.job.id, waiter.scene_id)
            waiter.granted.set_result(None)
        if not line.running and not line.waiting:
            del self._lines[party]

    def _hold(self, party: _Party, line: _Line, job_id: str, scene_id: str) -> None:
        line.running.setdefault(job_id, set()).add(scene_id)
        self._held[scene_id] = party, job_id
