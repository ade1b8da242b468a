"""Runs a job: gathers its scenes and settles each."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

import structlog

from service.live import Live
from service.recipes.clip import Parked, Track
from sessions import lifecycle
from sessions.clock import Clock
from sessions.errors import SceneError
from sessions.lifecycle import Transition
from sessions.model import Scene, SceneFailure
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

    def __init__(self, scene: Scene, store: Store, live: Live) -> None:
        self.scene = scene
        self._store = store
        self._live = live

    async def write(self, transition: Transition) -> None:
        job = await self._store.apply(transition)
        self.scene = transition.after
        self._live.show(job, transition.after)
        if transition.event:
            event = transition.event
            _log.info("scene.moved", to=event.kind.value, progress=transition.after.progress, **event.data)

    async def reload(self) -> None:
        """Take up the scene as the store has it, and show that."""
        snapshot = await self._store.job(self.scene.job_id)
        assert snapshot is not None, "jobs are never deleted while they run"
        self.scene = next(scene for scene in snapshot.scenes if scene.id == self.scene.id)
        # Only this one: the others may have moved on since the store was read.
        self._live.show(snapshot.job, self.scene)


class Runner:
    """Brings every scene of a job to its end."""

    def __init__(self, *, store: Store, live: Live, recipe: Recipe, now: Clock) -> None:
        self._store = store
        self._live = live
        self._recipe = recipe
        self._now = now
        #: scenes that wait for another configuration
        self.parked: set[str] = set()

    async def run_job(self, job_id: str) -> None:
        """Return when every scene of the job is terminal or parked; raise if that cannot be brought about.

        Scenes run side by side, and the end of one is no concern of the others.
        """
        snapshot = await self._store.job(job_id)
        if snapshot is None:
            return
        self._live.correct(snapshot)
        outcomes = await asyncio.gather(
            *(self._settle(scene) for scene in snapshot.scenes if not scene.terminal),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _settle(self, scene: Scene) -> None:
        """Make the scene, however often its state cannot be written in between."""
        with structlog.contextvars.bound_contextvars(
            job=scene.job_id, scene=scene.id, scenario=scene.scenario.value
        ):
            track = _Track(scene, self._store, self._live)
            pause = _FIRST_PAUSE
            while not track.scene.terminal:
                try:
                    await self._make(track)
                    break
                except (StoreUnavailable, Superseded) as error:
                    # Nothing is known of the scene that would justify its end.
                    _log.warning("scene.state_unclear", reason=str(error), again_in_seconds=pause)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    with contextlib.suppress(StoreUnavailable):
                        await track.reload()

    async def _make(self, track: _Track) -> None:
        """One run of the recipe; whatever ordinary thing goes wrong is a failed scene with a reason."""
        self.parked.discard(track.scene.id)
        try:
            await track.write(lifecycle.start(track.scene, self._now()))
            await self._recipe.make(track)
        except (StoreUnavailable, Superseded):
            raise
        except Parked as reason:
            self.parked.add(track.scene.id)
            _log.warning("scene.parked", reason=str(reason))
        except SceneError as error:
            await self._fail(track, _failure(error), error)
        except Exception as error:  # noqa: BLE001 - the border: no fault of ours leaves a scene hanging
            _log.exception("scene.broke")
            await self._fail(track, _INTERNAL, error)

    async def _fail(self, track: _Track, failure: SceneFailure, error: Exception) -> None:
        if track.scene.terminal:
            _log.warning("scene.error_after_its_end", reason=str(error))
            return
        details = error.details if isinstance(error, SceneError) else {}
        if details:
            _log.warning("scene.error", code=failure.code, details=details)
        await track.write(lifecycle.fail(track.scene, failure, self._now()))


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
