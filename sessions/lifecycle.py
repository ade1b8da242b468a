"""The scene's state machine: the only place where a scene's state changes.

Each verb takes the scene as it is and answers with a ``Transition``: the scene as it
will be, and the event to keep. Nothing happens until the store has applied it.
A verb on a terminal scene, or one that would go back, raises ``IllegalTransition``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sessions.model import Event, EventKind, Scene, SceneFailure, SceneState, Stage, Take
from sessions.progress import CLIP, ORDER


class IllegalTransition(Exception):
    """The scene cannot change in this way: a fault of the program, not of a caller."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A change that the store applies only if the stored scene still is ``before``'s attempt and live."""

    before: Scene
    after: Scene
    event: Event | None  #: None for progress inside a stage
    take: Take | None = None  #: put on record together with the success


def start(scene: Scene, now: datetime) -> Transition:
    """A runner takes the scene: for the first time, or again after a restart."""
    stage = Stage.CREATED if scene.stage is Stage.WAITING else scene.stage
    after = _moved(scene, now, state=SceneState.RUNNING, stage=stage, attempt=scene.attempt + 1)
    return _transition(scene, after, EventKind.STARTED, attempt=after.attempt, resumed_at=stage.value)


def sent(scene: Scene, now: datetime) -> Transition:
    """The provider has acknowledged the task."""
    return _transition(scene, _moved(scene, now, stage=Stage.SENT), EventKind.SENT, task=scene.task_id)


def tick(scene: Scene, percent: int, now: datetime) -> Transition:
    """The provider reports progress; never lowers what was shown."""
    after = _moved(scene, now)
    after = replace(after, progress=max(after.progress, min(percent, CLIP[Stage.GENERATED] - 1)))
    return Transition(before=scene, after=after, event=None)


def generated(scene: Scene, result: str, cost_usd: float | None, file: str, now: datetime) -> Transition:
    """The provider has finished; from here on only the file is missing. ``file`` is its reserved name."""
    after = _moved(scene, now, stage=Stage.GENERATED, result=result, cost_usd=cost_usd, file=file)
    return _transition(scene, after, EventKind.GENERATED, cost_usd=cost_usd)


def downloaded(scene: Scene, now: datetime) -> Transition:
    """The file is complete, checked and on disk under its name."""
    return _transition(scene, _moved(scene, now, stage=Stage.DOWNLOADED), EventKind.DOWNLOADED)


def succeed(scene: Scene, take: Take, now: datetime) -> Transition:
    """The take goes on record and into the session."""
    after = _moved(scene, now, state=SceneState.SUCCEEDED, stage=Stage.COMPLETE)
    return replace(
        _transition(scene, after, EventKind.SUCCEEDED, file=take.file, take=take.number), take=take
    )


def fail(scene: Scene, failure: SceneFailure, now: datetime) -> Transition:
    """The scene ends without a file; progress stays where it was."""
    after = _moved(scene, now, state=SceneState.FAILED, failure=failure)
    return _transition(scene, after, EventKind.FAILED, code=failure.code, message=failure.message)


def _moved(scene: Scene, now: datetime, *, stage: Stage | None = None, **changes: Any) -> Scene:
    """The scene with ``changes``, at ``stage``, its progress at least at the stage's mark."""
    if scene.terminal:
        raise IllegalTransition(f"scene {scene.id} is {scene.state}")
    if scene.state is SceneState.QUEUED and "state" not in changes:
        raise IllegalTransition(f"scene {scene.id} has not been started")
    stage = stage or scene.stage
    if not _before(scene, stage) and stage is not scene.stage:
        raise IllegalTransition(f"scene {scene.id} cannot go back from {scene.stage} to {stage}")
    progress = max(scene.progress, CLIP[stage])
    return replace(scene, stage=stage, progress=progress, updated_at=now, **changes)


def _transition(before: Scene, after: Scene, kind: EventKind, **data: Any) -> Transition:
    event = Event(
        job_id=after.job_id,
        scene_id=after.id,
        kind=kind,
        at=after.updated_at,
        data={name: value for name, value in data.items() if value is not None},
    )
    return Transition(before=before, after=after, event=event)


def _before(scene: Scene, stage: Stage) -> bool:
    return ORDER.index(scene.stage) < ORDER.index(stage)
