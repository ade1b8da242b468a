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
from sessions.progress import CLIP, ORDER, reached


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
    """A runner takes the scene, and from now on its task may be at the provider.

    One that has its result already, from an earlier job, sends no task.
    """
    queued = scene.state is SceneState.QUEUED
    leaves = scene.submitted_at is not None or scene.result is None
    after = _moved(
        scene,
        now,
        state=SceneState.RUNNING if queued else scene.state,
        stage=Stage.CREATED if scene.stage is Stage.WAITING else scene.stage,
        attempt=scene.attempt + 1,
        submitted_at=(scene.submitted_at or now) if leaves else None,
    )
    return _transition(scene, after, EventKind.STARTED, attempt=after.attempt, resumed_at=after.stage.value)


def sent(scene: Scene, now: datetime) -> Transition:
    """The provider has acknowledged the task."""
    return _transition(scene, _moved(scene, now, stage=Stage.SENT), EventKind.SENT, task=scene.task_id)


def tick(scene: Scene, percent: int, now: datetime) -> Transition:
    """Progress inside a stage; never lowers what was shown, nor moves a cancelled scene."""
    after = _moved(scene, now)
    if not after.terminal:
        after = replace(after, progress=max(after.progress, min(percent, CLIP[Stage.GENERATED] - 1)))
    return Transition(before=scene, after=after, event=None)


def reconcile(scene: Scene, now: datetime) -> Transition:
    """The provider gave no verdict in time. That is no failure: the task may still end well."""
    if scene.state is not SceneState.RUNNING:
        raise IllegalTransition(f"scene {scene.id} is {scene.state}")
    after = _moved(scene, now, state=SceneState.RECONCILING)
    return _transition(scene, after, EventKind.RECONCILING, task=scene.task_id)


def generated(scene: Scene, result: str, cost_usd: float | None, file: str, now: datetime) -> Transition:
    """The provider has finished; from here on only the file is missing. ``file`` is its reserved name."""
    state = SceneState.RUNNING if scene.state is SceneState.RECONCILING else scene.state
    after = _moved(
        scene,
        now,
        state=state,
        stage=Stage.GENERATED,
        result=result,
        cost_usd=cost_usd,
        file=file,
        generated_at=now,
    )
    return _transition(scene, after, EventKind.GENERATED, cost_usd=cost_usd)


def downloaded(scene: Scene, now: datetime, *, mirror_url: str | None = None) -> Transition:
    """The file is complete, checked and on disk under its name. ``mirror_url`` is where a copy is."""
    after = _moved(scene, now, stage=Stage.DOWNLOADED, mirror_url=mirror_url)
    return _transition(scene, after, EventKind.DOWNLOADED)


def succeed(scene: Scene, take: Take, now: datetime) -> Transition:
    """The take goes on record and into the session; a cancelled scene stays so, and its take is late."""
    if scene.owed:
        after, kind = _moved(scene, now, stage=Stage.COMPLETE, owed=False), EventKind.KEPT
        take = replace(take, late=True)
    else:
        after = _moved(scene, now, state=SceneState.SUCCEEDED, stage=Stage.COMPLETE)
        kind = EventKind.SUCCEEDED
    return replace(_transition(scene, after, kind, file=take.file, take=take.number), take=take)


def fail(scene: Scene, failure: SceneFailure, now: datetime) -> Transition:
    """The scene ends without a file; progress stays where it was. A cancelled one stays cancelled."""
    if scene.owed:
        after, kind = _moved(scene, now, owed=False), EventKind.GIVEN_UP
    else:
        after, kind = _moved(scene, now, state=SceneState.FAILED, failure=failure), EventKind.FAILED
    return _transition(scene, after, kind, code=failure.code, message=failure.message)


def put_back(scene: Scene, now: datetime) -> Transition:
    """The provider has surely not taken the task: back into the queue, under the same UUID."""
    if scene.state is not SceneState.RUNNING or scene.stage is not Stage.CREATED:
        raise IllegalTransition(f"scene {scene.id} is {scene.state} at {scene.stage}")
    after = replace(scene, state=SceneState.QUEUED, stage=Stage.WAITING, submitted_at=None, updated_at=now)
    return Transition(before=scene, after=after, event=None)


def retry(scene: Scene, failure: SceneFailure, task_id: str, now: datetime) -> Transition:
    """The task has ended without a video: back into the queue, for another one under a new UUID."""
    if scene.terminal or scene.state is SceneState.QUEUED:
        raise IllegalTransition(f"scene {scene.id} is {scene.state}")
    if reached(scene, Stage.GENERATED):
        raise IllegalTransition(f"scene {scene.id} has its video")
    after = replace(
        scene,
        state=SceneState.QUEUED,
        stage=Stage.WAITING,
        task_id=task_id,
        tries=scene.tries + 1,
        submitted_at=None,
        updated_at=now,
    )
    return _transition(
        scene,
        after,
        EventKind.RETRIED,
        code=failure.code,
        message=failure.message,
        ended_task=scene.task_id,
        task=task_id,
        tries=after.tries,
    )


def cancel(scene: Scene, now: datetime) -> Transition:
    """Nobody waits for the scene any longer. What the provider has been given, it goes on with, and bills."""
    if scene.terminal:
        raise IllegalTransition(f"scene {scene.id} is {scene.state}")
    owed = scene.submitted_at is not None or scene.result is not None
    after = replace(scene, state=SceneState.CANCELLED, owed=owed, attempt=scene.attempt + 1, updated_at=now)
    return _transition(scene, after, EventKind.CANCELLED, owed=owed)


def _moved(scene: Scene, now: datetime, *, stage: Stage | None = None, **changes: Any) -> Scene:
    """The scene with ``changes``, at ``stage``; while it is live, its progress reaches the stage's mark."""
    if scene.settled:
        raise IllegalTransition(f"scene {scene.id} is {scene.state}")
    if scene.state is changes.get("state", scene.state) is SceneState.QUEUED:
        raise IllegalTransition(f"scene {scene.id} has not been started")
    stage = stage or scene.stage
    if ORDER.index(stage) < ORDER.index(scene.stage):
        raise IllegalTransition(f"scene {scene.id} cannot go back from {scene.stage} to {stage}")
    progress = scene.progress if scene.terminal else max(scene.progress, CLIP[stage])
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
