"""What is written, each function inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sessions import reads, rows, tables
from sessions.lifecycle import Transition
from sessions.model import (
    CLOSED,
    Event,
    EventKind,
    Job,
    JobSnapshot,
    Scene,
    SceneDescription,
    SceneState,
    Session,
)
from sessions.rollup import job_state
from sessions.store import DescriptionChanged, SceneUnderWay, Superseded


async def create_session(connection: AsyncConnection, session: Session) -> None:
    table = tables.sessions
    known = await connection.scalar(
        sa.select(sa.func.count()).select_from(table).where(table.c.id == session.id)
    )
    if not known:
        await connection.execute(sa.insert(table), [rows.session_row(session)])
        for description in session.descriptions.values():
            await _save_description(connection, session.id, description)


async def save_descriptions(
    connection: AsyncConnection, session_id: str, descriptions: Sequence[SceneDescription], now: datetime
) -> None:
    for description in descriptions:
        await _save_description(connection, session_id, description)
    await _touch_session(connection, session_id, now)


async def _save_description(
    connection: AsyncConnection, session_id: str, description: SceneDescription
) -> None:
    """Write over the version that the caller has seen, and no other."""
    table = tables.descriptions
    row = rows.description_row(session_id, replace(description, version=description.version + 1))
    mine = (table.c.session_id == session_id, table.c.scenario == description.scenario.value)
    if description.version:
        seen = table.c.version == description.version
        written = (await connection.execute(sa.update(table).where(*mine, seen).values(row))).rowcount
    else:
        known = await connection.scalar(sa.select(sa.func.count()).select_from(table).where(*mine))
        written = 0 if known else (await connection.execute(sa.insert(table), [row])).rowcount
    if not written:
        raise DescriptionChanged(description.scenario)


async def create_job(connection: AsyncConnection, job: Job, scenes: Sequence[Scene]) -> JobSnapshot:
    table = tables.scenes
    wanted = [scene.scenario.value for scene in scenes]
    rivals = await reads.scenes(
        connection,
        sa.select(table).where(
            table.c.session_id == job.session_id, table.c.scenario.in_(wanted), tables.live
        ),
    )
    if rivals:
        raise SceneUnderWay(rivals)
    last = await _last_takes(connection, job.session_id)
    numbered = tuple(replace(scene, take=last.get(scene.scenario.value, 0) + 1) for scene in scenes)
    await connection.execute(sa.insert(tables.jobs), [rows.job_row(job)])
    await connection.execute(sa.insert(table), [rows.scene_row(scene) for scene in numbered])
    await connection.execute(sa.insert(tables.events), [rows.event_row(_queued(scene)) for scene in numbered])
    return JobSnapshot(job=job, scenes=reads.in_running_order(numbered))


async def apply(connection: AsyncConnection, transition: Transition) -> Job:
    before, after = transition.before, transition.after
    table = tables.scenes
    written = await connection.execute(
        sa.update(table)
        .where(table.c.id == before.id, table.c.attempt == before.attempt, tables.live)
        .values(rows.scene_row(after))
    )
    if written.rowcount != 1:
        raise Superseded(before.id)
    if transition.event:
        await connection.execute(sa.insert(tables.events), [rows.event_row(transition.event)])
    if transition.take:
        await connection.execute(sa.insert(tables.takes), [rows.take_row(transition.take)])
        await _touch_session(connection, after.session_id, after.updated_at)
    if before.state is not after.state:
        await _roll_up(connection, after)
    return await reads.job(connection, after.job_id)


async def _roll_up(connection: AsyncConnection, scene: Scene) -> None:
    """Write the job's state anew after one of its scenes has changed its own."""
    states = await connection.execute(
        sa.select(tables.scenes.c.state).where(tables.scenes.c.job_id == scene.job_id)
    )
    state = job_state([SceneState(value) for value in states.scalars()])
    await connection.execute(
        sa.update(tables.jobs)
        .where(tables.jobs.c.id == scene.job_id)
        .values(state=state.value, finished_at=scene.updated_at if state in CLOSED else None)
    )


async def _last_takes(connection: AsyncConnection, session_id: str) -> dict[str, int]:
    """The highest take number so far, by scenario."""
    table = tables.scenes
    query = (
        sa.select(table.c.scenario, sa.func.max(table.c.take))
        .where(table.c.session_id == session_id)
        .group_by(table.c.scenario)
    )
    return {scenario: take for scenario, take in await connection.execute(query)}  # noqa: C416 - rows are not pairs


async def _touch_session(connection: AsyncConnection, session_id: str, now: datetime) -> None:
    table = tables.sessions
    await connection.execute(sa.update(table).where(table.c.id == session_id).values(updated_at=now))


def _queued(scene: Scene) -> Event:
    return Event(
        job_id=scene.job_id,
        scene_id=scene.id,
        kind=EventKind.QUEUED,
        at=scene.created_at,
        data={"take": scene.take, "model": scene.model},
    )
