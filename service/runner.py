"""Runs a job: gathers its scenes and settles each."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Protocol

import structlog

from service.live import Live
from service.recipes.clip import Parked
from service.recipes.track import Track
from service.sections import AllTermsSettings, RetriesSettings
from service.turns import Turns
from sessions import lifecycle
from sessions.clock import Clock
from sessions.errors import ProviderError, SceneError
from sessions.lifecycle import Transition
from sessions.model import Job, JobSnapshot, Scene, SceneFailure, SceneState, Stage
from sessions.progress import reached
from sessions.store import Store, StoreUnavailable, Superseded

_log = structlog.get_logger(__name__)


#: pauses between tries to write a scene's state, in seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Recipe(Protocol):
    """How a scene becomes a file."""

    async def make(self, track: Track) -> None:
        """Bring the scene to its take. Raises ``SceneError`` if it ends, ``Parked`` if it must wait."""


class _Track:
    """Writes a scene's transitions: on disk, then visible, then in the log."""

    def __init__(
        self,
        scene: Scene,
        job: Job,
        store: Store,
        live: Live,
        read: Callable[[str], Awaitable[JobSnapshot | None]],
    ) -> None:
        self.scene = scene
        self.lane = job.lane
        self.party = job.session_id or job.owner or job.id
        self._store = store
        self._live = live
        self._read = read
        self.on_rest: Callable[[], None] = lambda: None  # called when the provider is not at work any more

    async def write(self, transition: Transition) -> None:
        job = await self._store.apply(transition)
        self.scene = transition.after
        self._live.show(transition.after, job)
        if _rests(transition.after):
            self.on_rest()
        if transition.event:
            event = transition.event
            _log.info("scene.moved", to=event.kind.value, progress=transition.after.progress, **event.data)

    def say(self, text: str) -> None:
        self._live.note(self.scene, text)

    async def reload(self) -> None:
        """Take up the scene as the store has it, and show that."""
        snapshot = await self._read(self.scene.job_id)
        assert snapshot is not None, "jobs are never deleted while they run"
        self.scene = next(scene for scene in snapshot.scenes if scene.id == self.scene.id)
        # Only this one: the others may have moved on since the store was read.
        self._live.show(self.scene, snapshot.job)


class Runner:
    """Brings every scene of a job to its end."""

    def __init__(
        self,
        *,
        store: Store,
        live: Live,
        recipe: Recipe,
        retries: RetriesSettings,
        turns: Turns,
        terms: AllTermsSettings,
        now: Clock,
    ) -> None:
        self._turns = turns
        self._terms = terms
        self._store = store
        self._live = live
        self._recipe = recipe
        self._retries = retries
        self._now = now
        self._in_order = asyncio.Lock()  # jobs that take turns ask for them in the order of their submission
        self._at_work: dict[str, asyncio.Task[bool]] = {}  # scene -> its recipe
        self._reconsidered = 0
        #: scenes that wait for another configuration
        self.parked: set[str] = set()

    async def run_job(self, job_id: str) -> None:
        """Return when every scene of the job is settled or parked; raise if that cannot be brought about.

        Scenes run side by side, and the end of one is no concern of the others.
        """
        known = self._live.get(job_id)
        limited = known is not None and self._terms.of(known.snapshot.job.terms).running is not None
        if known is not None:
            # Nothing has been awaited yet: after a restart all jobs come to this point before any goes on.
            self._keep_turns(known.snapshot)
        async with self._in_order if limited else contextlib.nullcontext():
            snapshot = await self._read(job_id)
        if snapshot is None:
            return
        self._live.correct(snapshot)
        self._keep_turns(snapshot)
        outcomes = await asyncio.gather(
            *(self._settle(scene, snapshot.job) for scene in snapshot.scenes if not scene.settled),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def reconsider(self, scene_ids: Collection[str]) -> None:
        """The scenes' rows have been changed from outside: let go of them and read them again."""
        self._reconsidered += 1
        for scene_id in scene_ids:
            self.parked.discard(scene_id)
            if scene_id in self._at_work:
                self._at_work[scene_id].cancel()

    async def _read(self, job_id: str) -> JobSnapshot | None:
        """The job as stored; read again if anything was changed from outside meanwhile."""
        while True:
            reconsidered = self._reconsidered
            snapshot = await self._store.job(job_id)
            if reconsidered == self._reconsidered:
                return snapshot

    async def _settle(self, scene: Scene, job: Job) -> None:
        """Make the scene, however often its state cannot be written in between."""
        with structlog.contextvars.bound_contextvars(job=scene.job_id, scene=scene.id, scenario=scene.name):
            track = _Track(scene, job, self._store, self._live, self._read)
            pause = _FIRST_PAUSE
            while not track.scene.settled:
                try:
                    if await self._made(track, job):
                        break
                    pause = _FIRST_PAUSE
                except (StoreUnavailable, Superseded) as error:
                    # Nothing is known of the scene that would justify its end.
                    _log.warning("scene.state_unclear", reason=str(error), again_in_seconds=pause)
                    if isinstance(error, StoreUnavailable):
                        track.say("The database cannot be used at the moment; the scene goes on when it can")
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    with contextlib.suppress(StoreUnavailable):
                        await track.reload()

    async def _made(self, track: _Track, job: Job) -> bool:
        """Make the scene as a task that ``reconsider`` can end; False if it is to be taken up anew."""
        scene_id = track.scene.id
        task = self._at_work[scene_id] = asyncio.create_task(self._make(track, job))
        try:
            return await task
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is None or me.cancelling():
                raise
            await track.reload()
            return False
        finally:
            del self._at_work[scene_id]

    async def _make(self, track: _Track, job: Job) -> bool:
        """One run of the recipe; whatever ordinary thing goes wrong is a failed scene with a reason.

        False if the scene is back in the queue.
        """
        self.parked.discard(track.scene.id)
        try:
            async with self._turn(track, job):
                await self._recipe.make(track)
        except (StoreUnavailable, Superseded):
            raise
        except Parked as reason:
            self.parked.add(track.scene.id)
            _log.warning("scene.parked", reason=str(reason))
        except SceneError as error:
            if self._may_retry(track.scene, error):
                await self._retry(track, error)
                return False
            await self._fail(track, _failure(error), error)
        except Exception as error:  # noqa: BLE001 - the border: no fault of ours leaves a scene hanging
            _log.exception("scene.broke")
            await self._fail(track, _INTERNAL, error)
        return True

    def _keep_turns(self, snapshot: JobSnapshot) -> None:
        """What is under way has its turn before anybody who waits is let in; what rests has none."""
        most = self._terms.of(snapshot.job.terms).running
        if most is None:
            return
        for scene in snapshot.scenes:
            if scene.submitted_at is not None and not _rests(scene):
                self._turns.keep(snapshot.job, scene.id, most)
            else:
                self._turns.release(scene.id)

    @contextlib.asynccontextmanager
    async def _turn(self, track: _Track, job: Job) -> AsyncIterator[None]:
        """Where the terms let only so many jobs of a user run, wait for the job's turn, and hold it."""
        most, scene = self._terms.of(job.terms).running, track.scene
        if most is None or _rests(scene):
            yield
            return
        if scene.submitted_at is not None:
            self._turns.keep(job, scene.id, most)
        else:
            await self._wait_for_turn(track, job, most)
        track.on_rest = lambda: self._turns.release(scene.id)
        try:
            yield
        finally:
            self._turns.release(scene.id)

    async def _wait_for_turn(self, track: _Track, job: Job, most: int) -> None:
        waits = self._turns.is_full(job, most)
        if waits:
            track.say(f"Waiting for one of the {most} jobs that run already")
        await self._turns.take(job, track.scene.id, most)
        if waits:
            track.say("")

    def _may_retry(self, scene: Scene, error: SceneError) -> bool:
        """Only after the provider's own verdict, and only for what another try can mend."""
        return (
            isinstance(error, ProviderError)
            and error.code in self._retries.codes
            and scene.tries <= self._retries.most
            and not scene.terminal
            and not reached(scene, Stage.GENERATED)
        )

    async def _retry(self, track: _Track, error: SceneError) -> None:
        pause = self._retries.pause_seconds * 2 ** (track.scene.tries - 1)
        await track.write(lifecycle.retry(track.scene, _failure(error), str(uuid.uuid4()), self._now()))
        track.say(f"{error.message}; it is ordered again in {pause:g} s")
        await asyncio.sleep(pause)

    async def _fail(self, track: _Track, failure: SceneFailure, error: Exception) -> None:
        if track.scene.settled:
            _log.warning("scene.error_after_its_end", reason=str(error))
            return
        details = error.details if isinstance(error, SceneError) else {}
        if details:
            _log.warning("scene.error", code=failure.code, details=details)
        await track.write(lifecycle.fail(track.scene, failure, self._now()))


def _rests(scene: Scene) -> bool:
    """Whether only a late video may still come of it, so that another job may run beside."""
    return scene.terminal or scene.state is SceneState.RECONCILING


_INTERNAL = SceneFailure(
    code="internal",
    message="Something went wrong inside the server; its log has the details",
    retryable=True,
)


def _failure(error: SceneError) -> SceneFailure:
    return SceneFailure(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        provider_code=error.details.get("provider_code") or None,
    )
