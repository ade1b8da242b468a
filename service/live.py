"""The latest snapshot of each job, in memory, as ready bytes; and who waits for it to change.

What is here is on disk already: the runner writes first and shows afterwards. A poll is
answered without SQL and, while nothing changes, without serialising anything.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType

from sessions.errors import Stopping
from sessions.model import Job, JobSnapshot, Scene

#: answers about one job kept ready: contracts are few, and so are the names under which clients ask
_RENDERED_KEPT = 16

#: closed jobs kept ready; the store has them all
_CLOSED_KEPT = 5000


class Rendered:
    """Bytes of one snapshot in one contract's words."""

    __slots__ = ("body", "etag", "good_until")

    def __init__(self, body: bytes, good_for: float = math.inf) -> None:
        self.body = body
        #: entity tag, quoted; the same content has the same one after a restart
        self.etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        #: when it has to be made anew though nothing was written, on the monotonic clock
        self.good_until = time.monotonic() + good_for


class LiveJob:
    """One snapshot, and what is said of its scenes besides; replaced, never changed."""

    __slots__ = ("_rendered", "changed", "notes", "snapshot")

    def __init__(self, snapshot: JobSnapshot, notes: Mapping[str, str] = MappingProxyType({})) -> None:
        self.snapshot = snapshot
        self.notes = notes  #: scene -> what it waits for at the moment; not on record
        self.changed = asyncio.Event()  #: set when a newer snapshot has taken this one's place
        self._rendered: dict[Hashable, Rendered] = {}

    def rendered(self, render: Callable[..., Rendered], *about: Hashable) -> Rendered:
        """The job by ``render``, called with it and ``about``, once for as long as its answer is good."""
        key = (render, *about)
        found = self._rendered.get(key)
        if found is None or found.good_until < time.monotonic():
            if len(self._rendered) >= _RENDERED_KEPT:
                self._rendered.clear()
            found = self._rendered[key] = render(self, *about)
        return found


Render = Callable[[LiveJob], Rendered]


class Live:
    """All jobs that move, and those closed last."""

    def __init__(self) -> None:
        self._moving: dict[str, LiveJob] = {}
        self._closed: OrderedDict[str, LiveJob] = OrderedDict()
        self.stopping = False

    def get(self, job_id: str) -> LiveJob | None:
        return self._moving.get(job_id) or self._closed.get(job_id)

    def add(self, snapshot: JobSnapshot) -> LiveJob:
        """Take in a snapshot from the store, unless a newer one is here already."""
        return self.get(snapshot.job.id) or self._put(snapshot)

    def correct(self, snapshot: JobSnapshot) -> None:
        """Put what the store says in place of what was shown. Only while nobody works on the job.

        What has been deleted meanwhile stays deleted.
        """
        known = self.get(snapshot.job.id)
        if known is not None:
            snapshot = _without_deleted(snapshot, known.snapshot)
        if known is None or known.snapshot != snapshot:
            self._put(snapshot)
            if known is not None:
                known.changed.set()

    def show(self, scene: Scene, job: Job | None = None) -> None:
        """A transition is on disk: let everybody see it, with the roll-up where it may have changed."""
        known = self.get(scene.job_id)
        if known is None:
            return  # closed long ago: only the store has it
        if scene in known.snapshot.scenes and job in (None, known.snapshot.job):
            return  # no news, and what the scene waits for is still true
        scenes = tuple(scene if other.id == scene.id else other for other in known.snapshot.scenes)
        # A closed job stays closed, and a deleted one deleted, in whatever order news of it arrive.
        settled = known.snapshot.job.closed or known.snapshot.job.deleted_at is not None
        job = known.snapshot.job if job is None or settled else job
        notes = {name: note for name, note in known.notes.items() if name != scene.id}
        self._put(replace(known.snapshot, job=job, scenes=scenes), notes)
        known.changed.set()

    def delete(self, job_id: str, now: datetime) -> None:
        """The job's record is there for nobody any more; who works on it goes on."""
        known = self.get(job_id)
        if known is not None:
            job = replace(known.snapshot.job, deleted_at=now)
            self._put(replace(known.snapshot, job=job), known.notes)
            known.changed.set()

    def remove_video(self, scene: Scene, now: datetime) -> None:
        """The scene's video has been deleted by its owner."""
        known = self.get(scene.job_id)
        if known is not None:
            scenes = tuple(
                replace(it, removed_at=now) if it.id == scene.id else it for it in known.snapshot.scenes
            )
            self._put(replace(known.snapshot, scenes=scenes), known.notes)
            known.changed.set()

    def note(self, scene: Scene, text: str) -> None:
        """Say what the scene waits for; the next transition takes it back."""
        known = self.get(scene.job_id)
        if known is not None and known.notes.get(scene.id) != text:
            self._put(known.snapshot, {**known.notes, scene.id: text})
            known.changed.set()

    async def until(self, job_id: str, reached: Callable[[JobSnapshot], bool]) -> JobSnapshot:
        """Wait until a snapshot of a known job satisfies ``reached``. Raises ``Stopping``."""
        while True:
            job = self.get(job_id)
            assert job is not None, "callers wait for jobs that they have seen"
            if reached(job.snapshot):
                return job.snapshot
            if self.stopping:
                raise Stopping
            await job.changed.wait()

    def stop(self) -> None:
        """Send all who wait home; the jobs go on after the next start."""
        self.stopping = True
        for job in (*self._moving.values(), *self._closed.values()):
            job.changed.set()

    def _put(self, snapshot: JobSnapshot, notes: Mapping[str, str] = MappingProxyType({})) -> LiveJob:
        job = LiveJob(snapshot, notes)
        if self.stopping:
            job.changed.set()  # nobody shall begin to wait
        if snapshot.job.closed:
            self._moving.pop(snapshot.job.id, None)
            self._closed[snapshot.job.id] = job
            if len(self._closed) > _CLOSED_KEPT:
                self._closed.popitem(last=False)
        else:
            self._moving[snapshot.job.id] = job
        return job


def _without_deleted(snapshot: JobSnapshot, known: JobSnapshot) -> JobSnapshot:
    """``snapshot``, which may have been read before its owner deleted what ``known`` says is deleted."""
    removed = {scene.id: scene.removed_at for scene in known.scenes if scene.removed_at}
    return JobSnapshot(
        job=replace(snapshot.job, deleted_at=snapshot.job.deleted_at or known.job.deleted_at),
        scenes=tuple(
            replace(scene, removed_at=removed[scene.id]) if scene.id in removed else scene
            for scene in snapshot.scenes
        ),
    )
