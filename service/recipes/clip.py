"""A scene becomes a clip: wait for a slot, submit once, wait, download, check, keep.

The order is always the same: on disk first, then the world. From the moment a task may have
left, that is on record too; after any doubt the provider is asked about it, and it is sent
again, never replaced, only if the provider does not know it.
"""

from __future__ import annotations

import asyncio
import base64
import mimetypes
import time
from collections.abc import Iterator
from datetime import timedelta

import structlog

from service.estimates import Estimates, generation_of
from service.limits import Slots
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
from service.recipes.circuits import Circuits
from service.recipes.delivery import Delivery
from service.recipes.respondent import Respondent, pauses
from service.recipes.track import Track
from service.recipes.watch import Watch, Watched
from service.storage.uploads import Uploads
from sessions import lifecycle
from sessions.clock import Clock
from sessions.errors import MediaError, NotFound, ProviderError
from sessions.model import Frames, Scene, SceneState, Stage
from sessions.progress import reached, while_generating

_log = structlog.get_logger(__name__)

#: how often an accepted task may be called unknown in a row before it counts as lost; the pauses grow
_UNKNOWN_LIMIT = 8

#: how often a provider that can be reached may leave the question unanswered whether it knows a task
_SILENCE_LIMIT = 3

#: how often a task may surely be unknown after a submission of unclear outcome before that is a refusal
_REFUSAL_LIMIT = 8

#: longest pause that a provider is granted when it asks for one, in seconds
_LONGEST_REQUEST = 300.0

#: longest pause between two questions for a task that is being reconciled, in seconds
_LONGEST_RECONCILE_PAUSE = 600.0


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
        delivery: Delivery,
        uploads: Uploads,
        now: Clock,
    ) -> None:
        self._provider = Respondent(provider)
        self._catalogue = catalogue
        self._slots = slots
        self._circuits = circuits
        self._watch = watch
        self._estimates = estimates
        self._delivery = delivery
        self._uploads = uploads
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
        await self._delivery.keep(track)

    async def _generated(self, track: Track, location: str, cost_usd: float | None) -> None:
        name = self._delivery.new_name(track.scene)
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
        await self._slots.take(track.scene, track.lane, track.party)
        await track.write(lifecycle.start(track.scene, self._now()))
        scene = track.scene
        if scene.terminal or (reached(scene, Stage.SENT) and self._provider.keeps_tasks):
            return True  # to be asked for, whatever the answer: nothing is sent that nobody wants
        known = await self._is_known(scene)
        if not known and reached(scene, Stage.SENT):
            frames = await self._frames(scene.frames)
            await self._provider.submit(self._task(scene, frames))  # a provider that forgets when we stop
        return bool(known)

    async def _submit(self, track: Track, *, known: bool) -> None:
        """Leave with the scene at "sent": the provider has the task."""
        refused = 0
        doubted = track.scene.submitted_at is not None  # an earlier submission may have arrived
        waits = pauses(self._provider.poll_seconds)
        while not known and not track.scene.terminal:
            await self._line_up(track)
            frames = await self._frames(
                track.scene.frames
            )  # only now: those who wait are many, and images large
            try:
                async with self._circuits.call(track.scene.model):
                    if track.scene.submitted_at is None:
                        await track.write(lifecycle.start(track.scene, self._now()))
                    await self._provider.submit(self._task(track.scene, frames))
                known = True
            except NotNow as busy:
                _log.info("task.not_now", task=track.scene.task_id, reason=str(busy))
                if not doubted:
                    self._slots.release(track.scene.id)
                    await track.write(lifecycle.put_back(track.scene, self._now()))
                track.say(f"The provider takes no more work at the moment ({busy}); waiting")
                await asyncio.sleep(max(next(waits), min(busy.retry_after or 0.0, _LONGEST_REQUEST)))
            except InDoubt as doubt:
                _log.warning("task.in_doubt", task=track.scene.task_id, reason=str(doubt))
                doubted = True
                track.say(f"The provider's answer is unclear ({doubt}); asking before anything is sent again")
                await asyncio.sleep(next(waits))
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
            await self._slots.take(scene, track.lane, track.party)
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
        waits = pauses(self._provider.poll_seconds)
        silent = 0
        while True:
            try:
                await self._provider.status(scene.task_id)
            except UnknownTask:
                return False
            except InDoubt as doubt:
                silent += isinstance(doubt, NoAnswer)
                if silent >= _SILENCE_LIMIT:
                    return None
                await asyncio.sleep(next(waits))
            else:
                return True

    async def _verdict(self, track: Track, watched: Watched) -> Finished:
        """Ask until the provider has a verdict; rarely, and without a slot, once the deadline is over.

        Time while it is out of reach does not count towards the deadline.
        """
        unknown, waited = 0, 0.0
        troubled = pauses(self._provider.poll_seconds)
        rarely: Iterator[float] | None = None
        while True:
            asked, counts = time.monotonic(), True
            try:
                status = await self._provider.status(track.scene.task_id)
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
                unknown, troubled = 0, pauses(self._provider.poll_seconds)
                pause = await self._going_on(track, status)
            if rarely is None and (unknown >= _UNKNOWN_LIMIT or self._is_late(track.scene, waited)):
                await self._reconcile(track)
                rarely = pauses(self._provider.reconcile_pause_seconds, _LONGEST_RECONCILE_PAUSE)
            if rarely is not None:
                self._give_up_some_day(track.scene, unknown=unknown >= _UNKNOWN_LIMIT)
                pause = next(rarely)
            await self._watch.pause(watched, pause)
            waited += (time.monotonic() - asked) * counts

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

    async def _frames(self, frames: Frames) -> Frames:
        """The images as the provider takes them: what was uploaded goes along with the task."""

        async def sendable(image: str) -> str:
            scheme, mark, rest = image.partition("://")
            if mark:  # an address, whose scheme may be in capitals
                return f"{scheme.lower()}://{rest}"
            try:
                return _data_uri(image, await self._uploads.read(image))
            except NotFound:
                message = "An image of this order is not there any more; order it again"
                raise MediaError(message, code="image_gone", retryable=False) from None

        return Frames(
            first=await sendable(frames.first) if frames.first else None,
            last=await sendable(frames.last) if frames.last else None,
            references=tuple([await sendable(image) for image in frames.references]),
        )

    def _task(self, scene: Scene, frames: Frames) -> VideoTask:
        with_size = self._catalogue.sends_size(scene.model, scene.frames)
        return VideoTask(
            id=scene.task_id,
            prompt=scene.prompt,
            model=scene.model,
            seconds=scene.seconds,
            width=scene.width if with_size else 0,
            height=scene.height if with_size else 0,
            frames=frames,
            scenario=scene.name,
            take=scene.take,
            settings=self._catalogue.settings_of(scene.model, sound=scene.sound),
            webhook_url=self._watch.webhook_url(scene.task_id),
        )


def _data_uri(name: str, data: bytes) -> str:
    kind = mimetypes.guess_type(name)[0]
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _not_on_record() -> ProviderError:
    return ProviderError("The provider has no record of the task; regenerate the scene", code="notFound")
