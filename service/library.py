"""The library: finished videos, as their owners look after them."""

from __future__ import annotations

import asyncio
import copy

import structlog

from service.live import Live
from service.storage.mirror import Mirror, MirrorFailed
from service.storage.outputs import Outputs
from sessions.clock import Clock
from sessions.errors import NotFound
from sessions.model import GalleryVideo, JobFigures, Scene, Video
from sessions.store import Store
from sessions.viewer import EVERYTHING, Viewer

_log = structlog.get_logger(__name__)


class Library:
    """Videos by whatever contract they were ordered."""

    def __init__(
        self, *, store: Store, live: Live, outputs: Outputs, mirror: Mirror | None, now: Clock
    ) -> None:
        self._store = store
        self._live = live
        self._outputs = outputs
        self._mirror = mirror
        self._now = now
        self._viewer = EVERYTHING

    def seen_by(self, viewer: Viewer) -> Library:
        """The same library, in which what ``viewer`` must not see is not there."""
        theirs = copy.copy(self)
        theirs._viewer = viewer  # noqa: SLF001 - a copy of this very object
        return theirs

    async def videos(
        self, *, favorites_only: bool, from_image: bool | None, limit: int, offset: int
    ) -> tuple[list[Video], int]:
        """A page of one's own videos, newest first, and how many there are in all."""
        return await self._store.videos(
            self._viewer, favorites_only=favorites_only, from_image=from_image, limit=limit, offset=offset
        )

    async def video(self, video_id: str) -> Video:
        """The video with the take's id, or of the scene with that id. Raises ``NotFound``."""
        video = await self._store.video(video_id, self._viewer)
        if video is None:
            raise NotFound("There is no such video")
        return video

    async def mark(self, video_id: str, *, favorite: bool) -> Video:
        """Mark a video as a favourite, or no longer. Raises ``NotFound``."""
        video = await self.video(video_id)
        await self._store.mark_take(video.take.id, self._now(), favorite=favorite)
        return await self.video(video_id)

    async def remove(self, video_id: str) -> bool:
        """Delete a video for good: first on record, then its file and its copy.

        Answers whether the file is gone; if not, it is served no more, and tried again at the next
        start. Raises ``NotFound``.
        """
        video = await self.video(video_id)
        if (snapshot := await self._store.job(video.job.id)) is not None:
            self._live.add(snapshot)  # so that who reads the job at this moment cannot put back what was
        now = self._now()
        await self._store.remove_video(video.scene.id, now)
        self._live.remove_video(video.scene, now)
        gone = await self._discard(video.scene)
        _log.info("video.removed", scene=video.scene.id, job=video.job.id, gone=gone)
        return gone

    async def sweep(self) -> None:
        """Delete files that removed videos have left behind: a stop, or a failure, came in between."""
        for scene in await self._store.removed_scenes():
            if scene.mirror_url is None:
                await self._discard(scene)
            elif scene.file:
                await asyncio.to_thread(self._outputs.remove, scene.file)

    async def sweep_copies(self) -> None:
        """The same for copies; takes as long as the mirror does."""
        for scene in await self._store.removed_scenes():
            await self._discard(scene)

    async def _discard(self, scene: Scene) -> bool:
        """Delete the file and its copy; answers whether the file is gone. What stays is tried again."""
        gone = scene.file is None or await asyncio.to_thread(self._outputs.remove, scene.file)
        if scene.mirror_url and self._mirror:
            try:
                await self._mirror.remove(scene.id)
            except MirrorFailed as error:
                _log.warning("mirror.not_removed", scene=scene.id, reason=str(error))
                return gone
        if gone:
            await self._store.forget_file(scene.id)
        return gone

    async def gallery(self, *, status: str | None, limit: int, offset: int) -> tuple[list[GalleryVideo], int]:
        """A page of one's own gallery, newest first, and how many rows there are in all."""
        return await self._store.gallery(self._viewer, status=status, limit=limit, offset=offset)

    async def figures(self) -> JobFigures:
        """Numbers about everybody's jobs."""
        return await self._store.figures()
