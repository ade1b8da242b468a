"""Sessions, jobs and scenes to try the store with."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sessions import lifecycle
from sessions.database import Database
from sessions.lifecycle import Transition
from sessions.model import (
    Brief,
    Job,
    JobSnapshot,
    Scenario,
    Scene,
    SceneFailure,
    Session,
    Take,
)

NOW = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
ODD = "Lámpa 🪔 مصباح \u202e\u200d'; DROP TABLE scenes; -- \"{}%s\\ \r\n\t\x7f"
FAILURE = SceneFailure(code="provider", message=ODD, retryable=False, provider_code="x")
TABLES = ("sessions", "descriptions", "jobs", "scenes", "takes", "events", "requests", "api_keys")


def database_in(folder: Path) -> Database:
    return Database(f"sqlite:///{folder / 'test.db'}")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def new_id() -> str:
    return str(uuid.uuid4())


def a_session(**changes: Any) -> Session:
    values = {"id": new_id(), "brief": Brief(product="Lamp"), "created_at": NOW, "updated_at": NOW}
    return Session(**{**values, **changes})


def an_order(
    session: Session, *scenarios: Scenario, at: datetime = NOW, **changes: Any
) -> tuple[Job, list[Scene]]:
    """A job with a scene for each of ``scenarios`` (without any: for all)."""
    job = Job(id=new_id(), session_id=session.id, created_at=at)
    values: dict[str, Any] = {
        "job_id": job.id,
        "session_id": session.id,
        "take": 0,
        "prompt": "A lamp",
        "model": "local:preview@1",
        "provider": "local",
        "seconds": 5.0,
        "width": 256,
        "height": 144,
        "created_at": at,
        "updated_at": at,
        **changes,
    }
    return job, [
        Scene(id=new_id(), task_id=new_id(), scenario=scenario, **values)
        for scenario in scenarios or Scenario
    ]


def a_take(scene: Scene, at: datetime = NOW, **changes: Any) -> Take:
    values: dict[str, Any] = {
        "id": new_id(),
        "session_id": scene.session_id,
        "scene_id": scene.id,
        "scenario": scene.scenario,
        "number": scene.take,
        "file": f"{scene.id}.mp4",
        "prompt": scene.prompt,
        "model": scene.model,
        "provider": scene.provider,
        "seconds": 5.04,
        "width": 256,
        "height": 144,
        "size": 2**40,
        "cost_usd": None,
        "created_at": at,
    }
    return Take(**{**values, **changes})


async def begun(database: Database, *scenarios: Scenario, **changes: Any) -> tuple[Session, JobSnapshot]:
    """A new session with a job in the store."""
    session = a_session()
    await database.create_session(session)
    return session, await database.create_job(*an_order(session, *scenarios, **changes))


async def end(database: Database, scene: Scene, at: datetime = NOW, *, well: bool = True) -> Job:
    """The scene, which waits, is started and comes to its end."""
    started = lifecycle.start(scene, at)
    await database.apply(started)
    if well:
        job = await database.apply(lifecycle.succeed(started.after, a_take(scene, at), at))
    else:
        job = await database.apply(lifecycle.fail(started.after, FAILURE, at))
    assert job is not None
    return job


async def stored(database: Database, scene: Scene) -> Scene:
    snapshot = await database.job(scene.job_id)
    assert snapshot is not None
    return next(item for item in snapshot.scenes if item.id == scene.id)


def sql(database: Database, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database.path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def counts(database: Database) -> dict[str, int]:
    return {table: sql(database, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def applied(database: Database, scene: Scene, *verbs: Callable[[Scene], Transition]) -> Scene:
    """The scene after ``verbs``, each of them applied."""
    for verb in verbs:
        change = verb(scene)
        await database.apply(change)
        scene = change.after
    return scene
