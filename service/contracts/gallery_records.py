"""Video records (document 000): what a ``videoId`` and a ``taskId`` name.

A ``videoId`` is the id of a job, or of one scene of a job. A ``taskId`` is the id of a scene's task at
the provider. A retry gives a scene another task; clients go on asking for the one they were told of.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.live import LiveJob
from service.studio import Studio
from sessions.errors import NotFound
from sessions.model import EventKind, Scene

#: ids whose places are known without a question to the store
_KNOWN = 10_000


@dataclass(frozen=True, kw_only=True)
class Record:
    """A job, or one scene of it."""

    job: LiveJob
    scene_id: str | None  #: None: the job as a whole

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes that are meant."""
        return tuple(it for it in self.job.snapshot.scenes if self.scene_id in (None, it.id))


@dataclass(frozen=True, kw_only=True)
class _Place:
    job_id: str
    scene_id: str


class Records:
    """Finds them; polls are answered without SQL.

    Where an id belongs never changes, so it is remembered. Whether the one who asks may see it is
    decided each time, by ``studio``.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}

    async def find(self, studio: Studio, video_id: str | None, task_id: str | None) -> Record:
        """What both ids name; one of them may be missing. Raises ``NotFound``, also if they do not match."""
        try:
            if video_id is None:
                assert task_id is not None, "one of them is given"
                return await self._by_task(studio, task_id)
            record = await self._by_video(studio, video_id)
            if task_id is None or await self._belongs(studio, record, task_id):
                return record
        except NotFound:
            pass
        raise NotFound("Video record not found")

    async def _by_video(self, studio: Studio, video_id: str) -> Record:
        if (job := studio.live_job(video_id)) is not None:
            return Record(job=job, scene_id=None)
        place = self._places.get(video_id)
        if place is None:
            try:
                return Record(job=await studio.job(video_id), scene_id=None)
            except NotFound:
                job = await studio.job_with(scene_id=video_id)
            place = self._remember(video_id, job, video_id)
        return Record(job=await studio.job(place.job_id), scene_id=place.scene_id)

    async def _by_task(self, studio: Studio, task_id: str) -> Record:
        place = self._places.get(task_id)
        if place is None:
            job = await studio.job_with(task_id=task_id)
            place = _present(job, task_id) or await _earlier(studio, job, task_id)
            if place is None:
                raise NotFound
            self._remember(task_id, job, place.scene_id)
        return Record(job=await studio.job(place.job_id), scene_id=place.scene_id)

    async def _belongs(self, studio: Studio, record: Record, task_id: str) -> bool:
        """Whether it is or was the task of what is meant."""
        if any(scene.task_id == task_id for scene in record.scenes):
            return True
        place = self._places.get(task_id)
        if place is None:
            place = await _earlier(studio, record.job, task_id)
            if place is None:
                return False
            self._remember(task_id, record.job, place.scene_id)
        return any(scene.id == place.scene_id for scene in record.scenes)

    def _remember(self, id_: str, job: LiveJob, scene_id: str) -> _Place:
        if len(self._places) >= _KNOWN:
            self._places.clear()
        place = self._places[id_] = _Place(job_id=job.snapshot.job.id, scene_id=scene_id)
        return place


def _present(job: LiveJob, task_id: str) -> _Place | None:
    found = (it for it in job.snapshot.scenes if it.task_id == task_id)
    return next((_Place(job_id=it.job_id, scene_id=it.id) for it in found), None)


async def _earlier(studio: Studio, job: LiveJob, task_id: str) -> _Place | None:
    """The scene of the job that had the task before a retry."""
    for event in await studio.events(job.snapshot.job.id, 0):
        if event.kind is EventKind.RETRIED and event.data.get("ended_task") == task_id:
            return _Place(job_id=event.job_id, scene_id=event.scene_id)
    return None
