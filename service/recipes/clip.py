"""A scene becomes a clip: wait for a slot, submit once, wait, download, check, keep.

The order is always the same: on disk first, then the world. From the moment a task may have
left, that is on record too; after any doubt the provider is asked about it, and it is sent
again, never replaced, only if the provider does not know it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from service.breaker import Refused
from service.estimates import Estimates, generation_of
from service.limits import Slots
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
    TaskStatus,
    UnknownTask,
    VideoProvider,
    VideoTask,
)
from service.providers.catalogue import Catalogue
from service.recipes.circuits import Circuits
from service.recipes.watch import Watch, Watched
from service.settings import DownloadsSettings
from service.storage.outputs import Outputs
from sessions import lifecycle
from sessions.clock import Clock
from sessions.errors import DownloadError, MediaError, ProviderError, SceneError
from sessions.lifecycle import Transition
from sessions.model import Lane, Scene, SceneState, Stage, Take
from sessions.progress import reached, while_generating

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)

#: how often an accepted task may be called unknown in a row before it counts as lost; the pauses grow
_UNKNOWN_LIMIT = 8

#: how often a provider that can be reached may leave the question unanswered whether it knows a task
_SILENCE_LIMIT = 3

#: how often a task may surely be unknown after a submission of unclear outcome before that is a refusal
_REFUSAL_LIMIT = 8

#: longest pause while the provider is away, busy or unclear, in seconds
_LONGEST_PAUSE = 30.0

#: longest pause that a provider is granted when it asks for one, in seconds
_LONGEST_REQUEST = 300.0

#: longest pause between two questions for a task that is being reconciled, in seconds
_LONGEST_RECONCILE_PAUSE = 600.0


class Track(Protocol):
    """A scene on its way. ``write`` puts a transition on disk and only then shows it."""

    scene: Scene
    lane: Lane

    async def write(self, transition: Transition) -> None:
        """Apply; afterwards ``scene`` is the scene as stored. Raises ``Superseded``."""

    def say(self, text: str) -> None:
        """Show what the scene waits for, until the next transition."""


class Parked(Exception):
    """The scene cannot go on in this process, and must not end: another configuration can finish it."""


class ClipRecipe:
    """Makes the clip of one scene with one provider."""

    def __init__(
        self,
        *,
        provider: VideoProvider,
        catalogue: Catalogue,
        slots: Slots,
        circuits: Circuits,
        watch: Watch,
        estimates: Estimates,
        downloader: Downloader,
        workers: MediaWorkers,
        outputs: Outputs,
        downloads: DownloadsSettings,
        now: Clock,
    ) -> None:
        self._provider = provider
        self._catalogue = catalogue
        self._slots = slots
        self._circuits = circuits
        self._watch = watch
        self._estimates = estimates
        self._downloader = downloader
        self._downloading = asyncio.Semaphore(downloads.parallel)
        self._workers = workers
        self._outputs = outputs
        self._downloads = downloads
        self._now = now

    async def make(self, track: Track) -> None:
        """Bring the scene from wherever it stands to its take. Raises ``SceneError`` or ``Parked``."""
        if reached(track.scene, Stage.GENERATED):
            await track.write(lifecycle.start(track.scene, self._now()))
        elif track.scene.result is not None:  # made for an earlier job that could not fetch it
            await track.write(lifecycle.start(track.scene, self._now()))
            await self._generated(track, track.scene.result, track.scene.cost_usd)
        else:
            if track.scene.provider != self._provider.name:
                raise Parked(f"begun with {track.scene.provider}; start with that provider to finish it")
            in_one_go = track.scene.submitted_at is None
            finished = await self._film(track)
            in_one_go &= track.scene.state is SceneState.RUNNING
            await self._generated(track, finished.location, finished.cost_usd)
            # Restarts of ours and late verdicts say nothing about how long the provider takes.
            if in_one_go and (experience := generation_of(track.scene)) is not None:
                self._estimates.learn(experience)
        await self._keep(track)

    async def _generated(self, track: Track, location: str, cost_usd: float | None) -> None:
        name = self._outputs.new_name(track.scene.session_id, track.scene.scenario)
        await track.write(lifecycle.generated(track.scene, location, cost_usd, name, self._now()))

    # ------------------------------------------------------------------ the provider's part

    async def _film(self, track: Track) -> Finished:
        """Hold a slot from submission to the verdict."""
        try:
            # Listening begins before the task leaves: the provider may call at once.
            with self._watch.over(track.scene.task_id) as watched:
                known = track.scene.submitted_at is not None and await self._take_up(track)
                if not reached(track.scene, Stage.SENT):
                    await self._submit(track, known=known)
                    soon = self._watch.seconds_between(0.0, self._estimates.of(track.scene))
                    await self._watch.pause(watched, soon)
                return await self._verdict(track, watched)
        finally:
            self._slots.release(track.scene.id)

    async def _take_up(self, track: Track) -> bool:
        """Go on with a task that may have left; answers whether the provider has it."""
        await self._slots.take(track.scene, track.lane)
        await track.write(lifecycle.start(track.scene, self._now()))
        scene = track.scene
        if scene.terminal or (reached(scene, Stage.SENT) and self._provider.keeps_tasks):
            return True  # to be asked for, whatever the answer: nothing is sent that nobody wants
        known = await self._is_known(scene)
        if not known and reached(scene, Stage.SENT):
            await self._provider.submit(self._task(scene))  # a provider that forgets when we stop
        return bool(known)

    async def _submit(self, track: Track, *, known: bool) -> None:
        """Leave with the scene at "sent": the provider has the task."""
        refused = 0
        doubted = track.scene.submitted_at is not None  # an earlier submission may have arrived
        pauses = _pauses(self._provider.poll_seconds)
        while not known and not track.scene.terminal:
            await self._line_up(track)
            try:
                async with self._circuits.call(track.scene.model):
                    if track.scene.submitted_at is None:
                        await track.write(lifecycle.start(track.scene, self._now()))
                    await _exchange(self._provider.submit(self._task(track.scene)))
                known = True
            except NotNow as busy:
                _log.info("task.not_now", task=track.scene.task_id, reason=str(busy))
                if not doubted:
                    self._slots.release(track.scene.id)
                    await track.write(lifecycle.put_back(track.scene, self._now()))
                track.say(f"The provider takes no more work at the moment ({busy}); waiting")
                await asyncio.sleep(max(next(pauses), min(busy.retry_after or 0.0, _LONGEST_REQUEST)))
            except InDoubt as doubt:
                _log.warning("task.in_doubt", task=track.scene.task_id, reason=str(doubt))
                doubted = True
                track.say(f"The provider's answer is unclear ({doubt}); asking before anything is sent again")
                await asyncio.sleep(next(pauses))
                found = await self._is_known(track.scene)
                known = bool(found)
                refused += found is False
                if refused >= _REFUSAL_LIMIT:
                    raise ProviderError(f"The provider does not accept the task: {doubt}") from doubt
                if found is None:
                    self._give_up_some_day(track.scene, unknown=False)
        if not track.scene.terminal:
            await track.write(lifecycle.sent(track.scene, self._now()))

    async def _line_up(self, track: Track) -> None:
        """Wait until the provider takes work and a slot is free, both at once.

        A scene without a slot waits for the circuits first, so that none is held for nothing, and
        looks at them again when it has one: in a long queue they may have opened meanwhile.
        """
        scene = track.scene
        told = False
        while scene.submitted_at is None:
            if trouble := self._circuits.trouble(scene.model):
                track.say(trouble)
                told = True
            await self._circuits.passable(scene.model)
            if told:
                track.say("")
            await self._slots.take(scene, track.lane)
            if self._circuits.are_passable(scene.model):
                return
            self._slots.release(scene.id)
        if trouble := self._circuits.trouble(scene.model):
            track.say(trouble)

    async def _is_known(self, scene: Scene) -> bool | None:
        """Whether the provider has the scene's task; keeps asking while there is doubt.

        None for one that can be reached and stays silent, which may mean "unknown": then the same
        UUID is sent again, and the answer that it is used already says the rest.
        """
        pauses = _pauses(self._provider.poll_seconds)
        silent = 0
        while True:
            try:
                await self._status(scene.task_id)
            except UnknownTask:
                return False
            except InDoubt as doubt:
                silent += isinstance(doubt, NoAnswer)
                if silent >= _SILENCE_LIMIT:
                    return None
                await asyncio.sleep(next(pauses))
            else:
                return True

    async def _verdict(self, track: Track, watched: Watched) -> Finished:
        """Ask until the provider has a verdict; rarely, and without a slot, once the deadline is over.

        Time while it is out of reach does not count towards the deadline.
        """
        unknown, waited = 0, 0.0
        troubled = _pauses(self._provider.poll_seconds)
        rarely: Iterator[float] | None = None
        while True:
            asked, counts = time.monotonic(), True
            try:
                status = await self._status(track.scene.task_id)
            except UnknownTask:
                unknown += 1
                if unknown >= _UNKNOWN_LIMIT and not self._was_accepted(track.scene):
                    raise _not_on_record() from None
                pause = next(troubled)
            except InDoubt as doubt:
                _log.info("task.no_answer", task=track.scene.task_id, reason=str(doubt))
                counts = isinstance(doubt, NoAnswer)
                pause = next(troubled)
            else:
                if isinstance(status, Finished):
                    return status
                if isinstance(status, Failed):
                    raise status.error
                unknown, troubled = 0, _pauses(self._provider.poll_seconds)
                pause = await self._going_on(track, status)
            if rarely is None and (unknown >= _UNKNOWN_LIMIT or self._is_late(track.scene, waited)):
                await self._reconcile(track)
                rarely = _pauses(self._provider.reconcile_pause_seconds, _LONGEST_RECONCILE_PAUSE)
            if rarely is not None:
                self._give_up_some_day(track.scene, unknown=unknown >= _UNKNOWN_LIMIT)
                pause = next(rarely)
            await self._watch.pause(watched, pause)
            waited += (time.monotonic() - asked) * counts

    async def _status(self, task_id: str) -> TaskStatus:
        """Ask once, and once more in the archive for what the provider does not know at the first."""
        try:
            return await _exchange(self._provider.check(task_id))
        except UnknownTask:
            try:
                return await _exchange(self._provider.details(task_id))
            except InDoubt:
                raise UnknownTask(task_id) from None  # the first answer stands

    async def _going_on(self, track: Track, status: Running) -> float:
        """Show how far the clip is; answers the pause until the next question."""
        scene = track.scene
        assert scene.submitted_at is not None, "nobody waits for what was not sent"
        elapsed = (self._now() - scene.submitted_at).total_seconds()
        fraction = self._estimates.fraction(scene, elapsed) if status.fraction is None else status.fraction
        percent = while_generating(fraction)
        if percent > scene.progress and not scene.terminal:
            await track.write(lifecycle.tick(scene, percent, self._now()))
        return self._watch.seconds_between(elapsed, self._estimates.of(scene))

    def _is_late(self, scene: Scene, waited: float) -> bool:
        return scene.state is SceneState.RECONCILING or waited >= self._provider.deadline_seconds

    async def _reconcile(self, track: Track) -> None:
        self._slots.release(track.scene.id)
        if track.scene.state is SceneState.RUNNING:
            await track.write(lifecycle.reconcile(track.scene, self._now()))

    def _was_accepted(self, scene: Scene) -> bool:
        """Whether the provider has said that it has the task, and should know it still."""
        return self._provider.keeps_tasks and reached(scene, Stage.SENT)

    def _give_up_some_day(self, scene: Scene, *, unknown: bool) -> None:
        assert scene.submitted_at is not None, "nobody waits for what was not sent"
        limit = timedelta(hours=self._provider.reconcile_hours)
        if self._now() - scene.submitted_at >= limit:
            if unknown:
                raise _not_on_record()
            raise ProviderError(
                f"The provider gave no verdict within {self._provider.reconcile_hours:g} hours",
                code="noVerdict",
            )

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
            webhook_url=self._watch.webhook_url(scene.task_id),
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
                facts = await self._bring_home(track, result, name)
            await track.write(lifecycle.downloaded(track.scene, self._now()))
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
        pauses = _pauses(self._downloads.pause_seconds)
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
            await asyncio.sleep(next(pauses))

    async def _new_location(self, scene: Scene, location: str) -> str | None:
        """Where the provider has put the video meanwhile, if it has."""
        if not self._provider.keeps_tasks:
            return None
        try:
            status = await self._status(scene.task_id)
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


def _not_on_record() -> ProviderError:
    return ProviderError("The provider has no record of the task; regenerate the scene", code="notFound")


async def _exchange(exchange: Awaitable[_T]) -> _T:
    """One exchange with a provider; whatever breaks in it unforeseen says nothing of the task."""
    try:
        return await exchange
    except (Refused, UnknownTask, SceneError):
        raise
    except Exception as error:
        _log.exception("provider.broke")
        raise NoAnswer(f"{type(error).__name__} while speaking to it", code="internal") from error


def _pauses(first: float, longest: float = _LONGEST_PAUSE) -> Iterator[float]:
    """Pauses in seconds, each twice the one before."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, longest)


def _undelivered(error: SceneError) -> DownloadError:
    return DownloadError(
        f"The video was made, but not delivered whole: {error.message}",
        code=error.code,
        retryable=error.retryable,
        details=error.details,
    )
