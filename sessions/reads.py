"""What is read, each function on the caller's connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sessions import rows, tables
from sessions.model import CLOSED, Event, Job, JobSnapshot, Scenario, Scene, Session

_PLACE = {scenario: place for place, scenario in enumerate(Scenario)}


async def sessions(connection: AsyncConnection, query: sa.Select[Any]) -> list[Session]:
    """The sessions that ``query`` finds, with their descriptions and takes."""
    found = list((await connection.execute(query)).mappings())
    ids = [row["id"] for row in found]
    descriptions = await _by_session(connection, tables.descriptions, tables.descriptions.c.scenario, ids)
    takes = await _by_session(connection, tables.takes, tables.takes.c.created_at, ids)
    return [rows.session_of(row, descriptions.get(row["id"], []), takes.get(row["id"], [])) for row in found]


async def page_of_sessions(
    connection: AsyncConnection, *, limit: int, offset: int
) -> tuple[list[Session], int]:
    table = tables.sessions
    newest = sa.select(table).order_by(table.c.created_at.desc(), table.c.id).limit(limit).offset(offset)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(table))
    return await sessions(connection, newest), total or 0


async def job(connection: AsyncConnection, job_id: str) -> Job:
    """The job, which is known to exist."""
    query = sa.select(tables.jobs).where(tables.jobs.c.id == job_id)
    return rows.job_of((await connection.execute(query)).mappings().one())


async def snapshot(connection: AsyncConnection, job_id: str) -> JobSnapshot | None:
    query = sa.select(tables.jobs).where(tables.jobs.c.id == job_id)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return None
    its_scenes = sa.select(tables.scenes).where(tables.scenes.c.job_id == job_id)
    return JobSnapshot(job=rows.job_of(row), scenes=await scenes(connection, its_scenes))


async def jobs_of(connection: AsyncConnection, session_id: str) -> list[Job]:
    table = tables.jobs
    query = sa.select(table).where(table.c.session_id == session_id)
    newest_first = query.order_by(table.c.created_at.desc(), table.c.id)
    return [rows.job_of(row) for row in (await connection.execute(newest_first)).mappings()]


async def unfinished_jobs(connection: AsyncConnection) -> list[str]:
    table = tables.jobs
    query = sa.select(table.c.id).where(table.c.state.not_in(sorted(CLOSED)))
    return list((await connection.execute(query.order_by(table.c.created_at, table.c.id))).scalars())


async def scenes(connection: AsyncConnection, query: sa.Select[Any]) -> tuple[Scene, ...]:
    return in_running_order([rows.scene_of(row) for row in (await connection.execute(query)).mappings()])


async def events(connection: AsyncConnection, job_id: str) -> list[Event]:
    table = tables.events
    query = sa.select(table).where(table.c.job_id == job_id).order_by(table.c.seq)
    return [rows.event_of(row) for row in (await connection.execute(query)).mappings()]


def in_running_order(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Hook first, call to action last."""
    return tuple(sorted(scenes, key=lambda scene: _PLACE[scene.scenario]))


async def _by_session(
    connection: AsyncConnection, table: sa.Table, order: sa.Column[Any], ids: list[str]
) -> dict[str, list[sa.RowMapping]]:
    found: dict[str, list[sa.RowMapping]] = {}
    query = sa.select(table).where(table.c.session_id.in_(ids)).order_by(order)
    for row in (await connection.execute(query)).mappings():
        found.setdefault(row["session_id"], []).append(row)
    return found
