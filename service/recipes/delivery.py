"""From "generated" to the take on record: download, check, keep.

The clip is paid for by now. Whatever goes wrong here is a reason to fetch it again, and never
one to make it again.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import structlog

from service.media.download import Downloader
from service.media.facts import VideoFacts
from service.media.probe import quick
from service.media.workers import MediaWorkers, media_missing
from service.providers.base import Finished, InDoubt, UnknownTask, VideoProvider
from service.recipes.respondent import Respondent, pauses
from service.recipes.track import Track
from service.sections import DownloadsSettings
from service.storage.mirror import Mirror, MirrorFailed
from service.storage.outputs import Outputs
from sessions import lifecycle
from sessions.clock import Clock
from sessions.errors import DownloadError, MediaError, SceneError
from sessions.model import Scene, Take

_log = structlog.get_logger(__name__)


class Delivery:
    """Brings finished clips home."""

    def __init__(
        self,
        *,
        provider: VideoProvider,
        downloader: Downloader,
        workers: MediaWorkers,
        outputs: Outputs,
        downloads: DownloadsSettings,
        mirror: Mirror | None,
        now: Clock,
    ) -> None:
        self._provider = Respondent(provider)
        self._downloader = downloader
        self._downloading = asyncio.Semaphore(downloads.parallel)
        self._workers = workers
        self._outputs = outputs
        self._downloads = downloads
        self._mirror = mirror
        self._now = now

    def new_name(self, scene: Scene) -> str:
        """What the scene's file will be called."""
        return self._outputs.new_name(scene.session_id or scene.job_id, scene.name)

    async def keep(self, track: Track) -> None:
        """From "generated" to the take on record.

        What a stop leaves behind is taken up again: the file under its name, or the result.
        """
        name, result = track.scene.file, track.scene.result
        assert name is not None
        assert result is not None
        try:
            if self._outputs.has(name):  # an earlier process came as far as this
                facts = await self._check(self._outputs.folder / name)
            else:
                facts = await self._bring_home(track, result, name)
            copy = await self._mirrored(track.scene, name)
            await track.write(lifecycle.downloaded(track.scene, self._now(), mirror_url=copy))
        except SceneError:
            self._outputs.discard(name)
            await self._downloader.discard(result)
            raise
        take = await self._take(track.scene, name, facts)
        await track.write(lifecycle.succeed(track.scene, take, self._now()))
        await self._downloader.discard(result)

    async def _bring_home(self, track: Track, location: str, name: str) -> VideoFacts | None:
        """Download, check, and put under its name; never a reason to generate again.

        A file that cannot be had is asked for until the budget is spent; one that arrives broken,
        a few times.
        """
        give_up = time.monotonic() + self._downloads.give_up_seconds
        broken = 0
        waits = pauses(self._downloads.pause_seconds)
        while True:
            try:
                async with self._downloading:
                    part = self._outputs.part(name)
                    await self._downloader.fetch(location, part)
                facts = await self._check(part)
                await self._outputs.publish(name)
            except MediaError as error:
                broken += 1
                if broken >= self._downloads.attempts:
                    raise _undelivered(error) from error
                self._say_again(track, error)
            except DownloadError as error:
                self._outputs.discard(name)  # a full disk needs the room
                self._outputs.restore()
                moved = await self._new_location(track.scene, location)
                if time.monotonic() >= give_up or (moved is None and not error.retryable):
                    raise _undelivered(error) from error
                location = moved or location
                self._say_again(track, error)
            else:
                return facts
            await asyncio.sleep(next(waits))

    async def _mirrored(self, scene: Scene, name: str) -> str | None:
        """Where the delivery network has the file; None where there is none, or it cannot take it."""
        if self._mirror is None or scene.mirror_url:
            return scene.mirror_url
        try:
            return await self._mirror.upload(self._outputs.folder / name, scene.id)
        except MirrorFailed as error:
            _log.warning("mirror.failed", reason=str(error))  # our own copy is served
            return None

    async def _new_location(self, scene: Scene, location: str) -> str | None:
        """Where the provider has put the video meanwhile, if it has."""
        if not self._provider.keeps_tasks:
            return None
        try:
            status = await self._provider.status(scene.task_id)
        except (UnknownTask, InDoubt):
            return None
        return status.location if isinstance(status, Finished) and status.location != location else None

    def _say_again(self, track: Track, error: SceneError) -> None:
        _log.warning("download.again", code=error.code, reason=error.message)
        track.say(f"The video is made and is being fetched again: {error.message}")

    async def _check(self, file: Path) -> VideoFacts | None:
        """Raise ``MediaError`` unless the file is a complete video.

        Only a verdict on the file counts. Where it cannot be looked at closely, for want of the
        ``media`` extra, memory or time, its structure decides: a paid video is not thrown away
        for our own trouble.
        """
        if not media_missing():
            try:
                return await self._workers.probe(file)
            except MediaError as error:
                if error.code == "corrupt":
                    raise
                _log.warning("probe.failed", code=error.code, reason=error.message)
            except OSError as error:
                _log.warning("probe.failed", reason=str(error))
        try:
            await asyncio.to_thread(quick, file)
        except OSError as error:
            raise DownloadError(f"The video could not be read: {error.strerror}", code="storage") from error
        return None

    async def _take(self, scene: Scene, name: str, facts: VideoFacts | None) -> Take:
        stat = await asyncio.to_thread((self._outputs.folder / name).stat)
        return Take(
            id=str(uuid.uuid4()),
            session_id=scene.session_id,
            scene_id=scene.id,
            scenario=scene.scenario,
            number=scene.take,
            file=name,
            prompt=scene.prompt,
            model=scene.model,
            provider=scene.provider,
            seconds=facts.seconds if facts else scene.seconds,
            width=facts.width if facts else scene.width,
            height=facts.height if facts else scene.height,
            size=stat.st_size,
            cost_usd=scene.cost_usd,
            created_at=self._now(),
        )


def _undelivered(error: SceneError) -> DownloadError:
    return DownloadError(
        f"The video was made, but not delivered whole: {error.message}",
        code=error.code,
        retryable=error.retryable,
        details=error.details,
    )
