"""A scene becomes a clip: submit once, wait, download, check, keep.

The order is always the same: on disk first, then the world. The task's UUID has been on
record since the scene was; after any doubt the provider is asked about it, and it is sent
again, never replaced, only if the provider does not know it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import structlog

from service.media.download import Downloader
from service.media.facts import VideoFacts
from service.media.probe import quick
from service.media.workers import MediaWorkers, media_missing
from service.providers.base import (
    Failed,
    Finished,
    InDoubt,
    NoAnswer,
    NotNow,
    Running,
    UnknownTask,
    VideoProvider,
    VideoTask,
)
from service.providers.catalogue import Catalogue
from service.settings import DownloadsSettings
from service.storage.outputs import Outputs
from sessions import lifecycle
from sessions.clock import Clock
from sessions.errors import DownloadError, MediaError, ProviderError, SceneError
from sessions.lifecycle import Transition
from sessions.model import Scene, Stage, Take
from sessions.progress import ORDER, while_generating

_log = structlog.get_logger(__name__)

#: how often an accepted task may be called unknown in a row before it counts as lost; the pauses grow
_UNKNOWN_LIMIT = 8

#: how often a provider that can be reached may leave the question unanswered whether it knows a task
_SILENCE_LIMIT = 3

#: how often a task may stay unknown after a submission of unclear outcome before that is a refusal
_REFUSAL_LIMIT = 8

#: longest pause while the provider is away, busy or unclear, in seconds
_LONGEST_PAUSE = 30.0


class Track(Protocol):
    """A scene on its way. ``write`` puts a transition on disk and only then shows it."""

    scene: Scene

    async def write(self, transition: Transition) -> None:
        """Apply; afterwards ``scene`` is the scene as stored. Raises ``Superseded``."""


class Parked(Exception):
    """The scene cannot go on in this process, and must not end: another configuration can finish it."""


class ClipRecipe:
    """Makes the clip of one scene with one provider."""

    def __init__(
        self,
        *,
        provider: VideoProvider,
        catalogue: Catalogue,
        downloader: Downloader,
        workers: MediaWorkers,
        outputs: Outputs,
        downloads: DownloadsSettings,
        now: Clock,
    ) -> None:
        self._provider = provider
        self._catalogue = catalogue
        self._downloader = downloader
        self._workers = workers
        self._outputs = outputs
        self._downloads = downloads
        self._now = now

    async def make(self, track: Track) -> None:
        """Bring the scene from wherever it stands to its take. Raises ``SceneError`` or ``Parked``."""
        if _before(track.scene, Stage.GENERATED):
            if track.scene.provider != self._provider.name:
                raise Parked(f"begun with {track.scene.provider}; start with that provider to finish it")
            await self._submit(track)
            finished = await self._wait(track)
            name = self._outputs.new_name(track.scene.session_id, track.scene.scenario)
            await track.write(
                lifecycle.generated(track.scene, finished.location, finished.cost_usd, name, self._now())
            )
        await self._keep(track)

    # ------------------------------------------------------------------ the provider's part

    async def _submit(self, track: Track) -> None:
        """Leave with the scene at "sent": the provider has the task."""
        scene = track.scene
        sent_before = not _before(scene, Stage.SENT)
        if sent_before and self._provider.keeps_tasks:
            return
        # Whoever took the scene before may have sent its task and died before saying so.
        known = scene.attempt > 1 and await self._is_known(scene)
        unclear = 0
        pauses = _pauses(self._provider.poll_seconds)
        while not known:
            try:
                await self._provider.submit(self._task(scene))
                break
            except NotNow as busy:
                _log.info("task.not_now", task=scene.task_id, reason=str(busy))
                await asyncio.sleep(next(pauses))
            except InDoubt as doubt:
                _log.warning("task.in_doubt", task=scene.task_id, reason=str(doubt))
                await asyncio.sleep(next(pauses))
                known = await self._is_known(scene)
                unclear += 1
                if not known and unclear >= _REFUSAL_LIMIT:
                    raise ProviderError(f"The provider does not accept the task: {doubt}") from doubt
        if not sent_before:
            await track.write(lifecycle.sent(track.scene, self._now()))

    async def _is_known(self, scene: Scene) -> bool:
        """Whether the provider has the scene's task; keeps asking while there is doubt.

        One that can be reached and stays silent may mean "unknown": then the same UUID is sent
        again, and the answer that it is used already says the rest.
        """
        pauses = _pauses(self._provider.poll_seconds)
        silent = 0
        while True:
            try:
                await self._provider.check(scene.task_id)
            except UnknownTask:
                return False
            except InDoubt as doubt:
                silent += isinstance(doubt, NoAnswer)
                if silent >= _SILENCE_LIMIT:
                    return False
                await asyncio.sleep(next(pauses))
            else:
                return True

    async def _wait(self, track: Track) -> Finished:
        """Ask until the provider has a verdict. Time while it is out of reach does not count."""
        unknown, waited = 0, 0.0
        pauses = _pauses(self._provider.poll_seconds)
        pause = next(pauses)
        while waited < self._provider.deadline_seconds:
            asked = time.monotonic()
            try:
                status = await self._provider.check(track.scene.task_id)
            except UnknownTask:
                unknown += 1
                if unknown >= _UNKNOWN_LIMIT:
                    raise ProviderError(
                        "The provider has lost the task; regenerate the scene", code="notFound"
                    ) from None
                await asyncio.sleep(next(pauses))
            except InDoubt as doubt:
                _log.info("task.no_answer", task=track.scene.task_id, reason=str(doubt))
                await asyncio.sleep(next(pauses))
                if isinstance(doubt, NoAnswer):
                    waited += time.monotonic() - asked
            else:
                match status:
                    case Finished():
                        return status
                    case Failed(error=error):
                        raise error
                    case Running(fraction=fraction) if fraction is not None:
                        await self._show(track, while_generating(fraction))
                unknown, pauses = 0, _pauses(self._provider.poll_seconds)
                await asyncio.sleep(pause)
                waited += time.monotonic() - asked
        raise ProviderError(
            f"The provider gave no verdict within {self._provider.deadline_seconds:g} seconds", code="timeout"
        )

    async def _show(self, track: Track, percent: int) -> None:
        if percent > track.scene.progress:
            await track.write(lifecycle.tick(track.scene, percent, self._now()))

    def _task(self, scene: Scene) -> VideoTask:
        with_size = self._catalogue.sends_size(scene.model, scene.image_url)
        return VideoTask(
            id=scene.task_id,
            prompt=scene.prompt,
            model=scene.model,
            seconds=scene.seconds,
            width=scene.width if with_size else 0,
            height=scene.height if with_size else 0,
            image_url=scene.image_url,
            scenario=scene.scenario.value,
            take=scene.take,
            settings=self._catalogue.settings_of(scene.model),
        )

    # ------------------------------------------------------------------ our part

    async def _keep(self, track: Track) -> None:
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
                facts = await self._bring_home(result, name)
            await track.write(lifecycle.downloaded(track.scene, self._now()))
        except SceneError:
            self._outputs.discard(name)
            await self._downloader.discard(result)
            raise
        take = await self._take(track.scene, name, facts)
        await track.write(lifecycle.succeed(track.scene, take, self._now()))
        await self._downloader.discard(result)

    async def _bring_home(self, location: str, name: str) -> VideoFacts | None:
        """Download, check, and put under its name; never a reason to generate again.

        A file that cannot be had is asked for until the budget is spent; one that arrives broken,
        a few times.
        """
        give_up = time.monotonic() + self._downloads.give_up_seconds
        broken = 0
        pauses = _pauses(self._downloads.pause_seconds)
        while True:
            try:
                part = self._outputs.part(name)
                await self._downloader.fetch(location, part)
                facts = await self._check(part)
                await self._outputs.publish(name)
            except MediaError as error:
                broken += 1
                if broken >= self._downloads.attempts:
                    raise _undelivered(error) from error
                _log.warning("download.broken", code=error.code, reason=error.message)
            except DownloadError as error:
                if not error.retryable or time.monotonic() >= give_up:
                    raise _undelivered(error) from error
                _log.warning("download.again", code=error.code, reason=error.message)
            else:
                return facts
            await asyncio.sleep(next(pauses))

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


def _before(scene: Scene, stage: Stage) -> bool:
    return ORDER.index(scene.stage) < ORDER.index(stage)


def _pauses(first: float) -> Iterator[float]:
    """Pauses in seconds, each twice the one before."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def _undelivered(error: SceneError) -> DownloadError:
    return DownloadError(
        f"The video was made, but not delivered whole: {error.message}",
        code=error.code,
        retryable=error.retryable,
        details=error.details,
    )
