"""What is read, each function on the caller's connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from sessions import ledger_reads, rows, tables
from sessions.api_keys import ApiKey
from sessions.idempotency import KeyedRequest
from sessions.ledger import Purchase
from sessions.model import Event, EventKind, Generation, Job, JobSnapshot, Scenario, Scene, Session
from sessions.quota import Quota
from sessions.viewer import SERVICE, Viewer

_PLACE: Mapping[Scenario | None, int] = {None: 0} | {
    scenario: place for place, scenario in enumerate(Scenario)
}

# Statements are built once: building one costs more than running it.
_by = sa.bindparam

#: see ``Viewer.sees``
_VISIBLE = sa.or_(
    _by("everything", type_=sa.Boolean),
    tables.sessions.c.owner.is_(None),
    tables.sessions.c.owner == _by("owner", type_=sa.String),
)
_SESSION = sa.select(tables.sessions).where(tables.sessions.c.id == _by("session_id"), _VISIBLE)
#: what is nobody's is for those who know its id, so no list tells it
_LISTED = sa.or_(
    _by("everything", type_=sa.Boolean), tables.sessions.c.owner == _by("owner", type_=sa.String)
)
_COUNT_SESSIONS = sa.select(sa.func.count()).select_from(tables.sessions).where(_LISTED)
_PAGE_OF_SESSIONS = (
    sa.select(tables.sessions)
    .where(_LISTED)
    .order_by(tables.sessions.c.created_at.desc(), tables.sessions.c.id)
    .limit(_by("limit", type_=sa.Integer))
    .offset(_by("offset", type_=sa.Integer))
)
_DESCRIPTIONS = (
    sa.select(tables.descriptions)
    .where(tables.descriptions.c.session_id.in_(_by("ids", expanding=True)))
    .order_by(tables.descriptions.c.scenario)
)
_TAKES = (
    sa.select(tables.takes)
    .join(tables.scenes, tables.scenes.c.id == tables.takes.c.scene_id)
    .where(tables.takes.c.session_id.in_(_by("ids", expanding=True)), tables.scenes.c.removed_at.is_(None))
    .order_by(tables.takes.c.created_at)
)
#: the same for jobs, and for what comes of them
_JOB_VISIBLE = sa.and_(
    sa.or_(
        _by("everything", type_=sa.Boolean),
        tables.jobs.c.owner.is_(None),
        tables.jobs.c.owner == _by("owner", type_=sa.String),
    ),
    sa.or_(_by("deleted", type_=sa.Boolean), tables.jobs.c.deleted_at.is_(None)),
)
_JOB = sa.select(tables.jobs).where(tables.jobs.c.id == _by("job_id"), _JOB_VISIBLE)
_FILE = (
    sa.select(tables.takes.c.id)
    .join(tables.scenes, tables.scenes.c.id == tables.takes.c.scene_id)
    .join(tables.jobs, tables.jobs.c.id == tables.scenes.c.job_id)
    .where(
        tables.takes.c.file == _by("file"),
        tables.scenes.c.removed_at.is_(None),
        sa.or_(
            _by("everything", type_=sa.Boolean),
            tables.jobs.c.owner.is_(None),
            tables.jobs.c.owner == _by("owner", type_=sa.String),
        ),
    )
)
_JOB_OF_SCENE = (
    sa.select(tables.jobs.c.id)
    .join(tables.scenes, tables.scenes.c.job_id == tables.jobs.c.id)
    .where(tables.scenes.c.id == _by("scene_id"), _JOB_VISIBLE)
)
_JOB_OF_TASK = (
    sa.select(tables.jobs.c.id)
    .join(tables.scenes, tables.scenes.c.job_id == tables.jobs.c.id)
    .where(tables.scenes.c.task_id == _by("task_id"), _JOB_VISIBLE)
)
#: tasks that a scene had before it was ordered anew
_JOB_OF_ENDED_TASK = (
    sa.select(tables.jobs.c.id)
    .join(tables.events, tables.events.c.job_id == tables.jobs.c.id)
    .where(
        tables.events.c.kind == sa.literal_column(f"'{EventKind.RETRIED.value}'"),
        tables.events.c.data["ended_task"].as_string() == _by("task_id"),
        _JOB_VISIBLE,
    )
)
_SECRET = sa.select(tables.secrets.c.value).where(tables.secrets.c.name == _by("name"))
_FRAMES_IN_USE = sa.select(tables.scenes.c.frames).where(tables.unsettled)
_REMOVED = sa.select(tables.scenes).where(
    tables.scenes.c.removed_at.is_not(None), tables.scenes.c.file.is_not(None)
)
_UNCLOSED = sa.select(sa.func.count()).where(
    tables.jobs.c.terms == _by("terms"),
    tables.jobs.c.owner.is_not_distinct_from(_by("owner", type_=sa.String)),
    tables.unclosed,
)
_SCENES = sa.select(tables.scenes).where(tables.scenes.c.job_id == _by("job_id"))
_JOBS_OF = (
    sa.select(tables.jobs)
    .where(tables.jobs.c.session_id == _by("session_id"), tables.jobs.c.deleted_at.is_(None))
    .order_by(tables.jobs.c.created_at.desc(), tables.jobs.c.id)
)
_UNFINISHED = (
    sa.select(tables.jobs.c.id)
    .where(tables.jobs.c.id.in_(sa.select(tables.scenes.c.job_id).where(tables.unsettled)))
    .order_by(tables.jobs.c.created_at, tables.jobs.c.id)
)
_EVENTS = (
    sa.select(tables.events)
    .where(tables.events.c.job_id == _by("job_id"), tables.events.c.seq > _by("after"))
    .order_by(tables.events.c.seq)
)
_GENERATIONS = (
    sa.select(*tables.scenes.c["model", "seconds", "width", "height", "submitted_at", "generated_at"])
    .where(tables.scenes.c.generated_at.is_not(None), tables.scenes.c.submitted_at.is_not(None))
    .order_by(tables.scenes.c.generated_at.desc())
    .limit(_by("limit", type_=sa.Integer))
)
_REQUEST = sa.select(tables.requests).where(
    tables.requests.c.caller == _by("caller"), tables.requests.c.key == _by("key")
)
_API_KEY = sa.select(tables.api_keys).where(tables.api_keys.c.id == _by("key_id"))
_API_KEYS = sa.select(tables.api_keys).order_by(tables.api_keys.c.created_at, tables.api_keys.c.id)


def session(connection: sa.Connection, session_id: str, viewer: Viewer) -> Session | None:
    found = _sessions(connection, _SESSION, {"session_id": session_id, **asdict(viewer)})
    return found[0] if found else None


def page_of_sessions(
    connection: sa.Connection, viewer: Viewer, *, limit: int, offset: int
) -> tuple[list[Session], int]:
    seen_by = asdict(viewer)
    total = connection.scalar(_COUNT_SESSIONS, seen_by)
    page = _sessions(connection, _PAGE_OF_SESSIONS, {"limit": limit, "offset": offset, **seen_by})
    return page, total or 0


def snapshot(connection: sa.Connection, job_id: str, viewer: Viewer = SERVICE) -> JobSnapshot | None:
    row = connection.execute(_JOB, {"job_id": job_id, **asdict(viewer)}).mappings().first()
    if row is None:
        return None
    its_scenes = scenes(connection, _SCENES, {"job_id": job_id})
    return JobSnapshot(job=rows.job_of(row), scenes=its_scenes)


def shows_file(connection: sa.Connection, file: str, viewer: Viewer) -> bool:
    return connection.scalar(_FILE, {"file": file, **asdict(viewer)}) is not None


def job_of_scene(connection: sa.Connection, scene_id: str, viewer: Viewer) -> str | None:
    found: str | None = connection.scalar(_JOB_OF_SCENE, {"scene_id": scene_id, **asdict(viewer)})
    return found


def job_of_task(connection: sa.Connection, task_id: str, viewer: Viewer) -> str | None:
    values = {"task_id": task_id, **asdict(viewer)}
    found: str | None = connection.scalar(_JOB_OF_TASK, values)
    return found or connection.scalar(_JOB_OF_ENDED_TASK, values)


def unclosed_jobs(connection: sa.Connection, owner: str | None, terms: str) -> int:
    return connection.scalar(_UNCLOSED, {"owner": owner, "terms": terms}) or 0


def check_room(
    connection: sa.Connection,
    owner: str | None,
    terms: str,
    *,
    purchase: Purchase | None,
    quota: Quota | None,
) -> None:
    if quota:
        quota.check(unclosed_jobs(connection, owner, terms))
    if purchase:
        ledger_reads.check_funds(connection, purchase)


def secret(connection: sa.Connection, name: str) -> bytes | None:
    found: bytes | None = connection.scalar(_SECRET, {"name": name})
    return found


def images_in_use(connection: sa.Connection) -> set[str]:
    found = map(rows.frames_of, connection.execute(_FRAMES_IN_USE).scalars())
    return {image for it in found for image in (it.first, it.last, *it.references) if image}


def removed_scenes(connection: sa.Connection) -> list[Scene]:
    return list(scenes(connection, _REMOVED, {}))


def jobs_of(connection: sa.Connection, session_id: str) -> list[Job]:
    found = connection.execute(_JOBS_OF, {"session_id": session_id})
    return [rows.job_of(row) for row in found.mappings()]


def unfinished_jobs(connection: sa.Connection) -> list[str]:
    return list(connection.execute(_UNFINISHED).scalars())


def scenes(connection: sa.Connection, query: sa.Select[Any], values: Mapping[str, Any]) -> tuple[Scene, ...]:
    found = connection.execute(query, values)
    return in_running_order([rows.scene_of(row) for row in found.mappings()])


def events(connection: sa.Connection, job_id: str, after: int) -> list[Event]:
    found = connection.execute(_EVENTS, {"job_id": job_id, "after": after})
    return [rows.event_of(row) for row in found.mappings()]


def generations(connection: sa.Connection, limit: int) -> list[Generation]:
    found = [
        Generation(
            model=row.model,
            seconds=row.seconds,
            width=row.width,
            height=row.height,
            took=(row.generated_at - row.submitted_at).total_seconds(),
        )
        for row in connection.execute(_GENERATIONS, {"limit": limit})
    ]
    return found[::-1]


def request(connection: sa.Connection, caller: str, key: str) -> KeyedRequest | None:
    row = connection.execute(_REQUEST, {"caller": caller, "key": key}).mappings().first()
    return None if row is None else rows.request_of(row)


def api_key(connection: sa.Connection, key_id: str) -> ApiKey | None:
    row = connection.execute(_API_KEY, {"key_id": key_id}).mappings().first()
    return None if row is None else rows.api_key_of(row)


def api_keys(connection: sa.Connection) -> list[ApiKey]:
    return [rows.api_key_of(row) for row in connection.execute(_API_KEYS).mappings()]


def in_running_order(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Hook first, call to action last."""
    return tuple(sorted(scenes, key=lambda scene: _PLACE[scene.scenario]))


def _sessions(connection: sa.Connection, query: sa.Select[Any], values: Mapping[str, Any]) -> list[Session]:
    """The sessions that ``query`` finds, with their descriptions and takes."""
    found = list(connection.execute(query, values).mappings())
    ids = [row["id"] for row in found]
    descriptions = _by_session(connection, _DESCRIPTIONS, ids)
    takes = _by_session(connection, _TAKES, ids)
    return [rows.session_of(row, descriptions.get(row["id"], []), takes.get(row["id"], [])) for row in found]


def _by_session(
    connection: sa.Connection, query: sa.Select[Any], ids: list[str]
) -> dict[str, list[sa.RowMapping]]:
    found: dict[str, list[sa.RowMapping]] = {}
    for row in connection.execute(query, {"ids": ids}).mappings():
        found.setdefault(row["session_id"], []).append(row)
    return found
