"""What is written, each function inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime

import sqlalchemy as sa

from sessions import ledger_writes, lifecycle, reads, rows, tables
from sessions.api_keys import ApiKey
from sessions.idempotency import KEPT, KeyedRequest
from sessions.ledger import Balance, Currency, Purchase
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
from sessions.quota import Quota
from sessions.rollup import job_state
from sessions.store import DescriptionChanged, RequestKnown, SceneUnderWay, Superseded

# Statements are built once: building one costs more than running it. An UPDATE without values
# writes the columns that it is given.
_by = sa.bindparam

_KNOWS_SESSION = sa.select(sa.func.count()).where(tables.sessions.c.id == _by("session_id"))
_INSERT_SESSION = sa.insert(tables.sessions)
_UPDATE_SESSION = sa.update(tables.sessions).where(tables.sessions.c.id == _by("its_id"))

_this_description = (
    tables.descriptions.c.session_id == _by("its_session"),
    tables.descriptions.c.scenario == _by("its_scenario"),
)
_KNOWS_DESCRIPTION = sa.select(sa.func.count()).where(*_this_description)
_INSERT_DESCRIPTION = sa.insert(tables.descriptions)
_UPDATE_DESCRIPTION = sa.update(tables.descriptions).where(
    *_this_description, tables.descriptions.c.version == _by("seen")
)

_INSERT_JOB = sa.insert(tables.jobs)
_UPDATE_JOB = sa.update(tables.jobs).where(tables.jobs.c.id == _by("its_id"))
_JOB_AND_STATES = (
    sa.select(tables.jobs, tables.scenes.c.state.label("scene_state"))
    .join(tables.scenes, tables.scenes.c.job_id == tables.jobs.c.id)
    .where(tables.jobs.c.id == _by("job_id"))
)

_INSERT_SCENE = sa.insert(tables.scenes)
_UPDATE_SCENE = sa.update(tables.scenes).where(
    tables.scenes.c.id == _by("its_id"), tables.scenes.c.attempt == _by("seen"), tables.unsettled
)
_REMOVE_VIDEO = sa.update(tables.scenes).where(tables.scenes.c.id == _by("its_id"))
_RIVALS = sa.select(tables.scenes).where(
    tables.scenes.c.session_id == _by("session_id"),
    tables.scenes.c.scenario.in_(_by("scenarios", expanding=True)),
    tables.live,
)
_LAST_TAKES = (
    sa.select(tables.scenes.c.scenario, sa.func.max(tables.scenes.c.take))
    .where(tables.scenes.c.session_id == _by("session_id"))
    .group_by(tables.scenes.c.scenario)
)

_INSERT_EVENT = sa.insert(tables.events)
_INSERT_TAKE = sa.insert(tables.takes)

_UPDATE_TAKE = sa.update(tables.takes).where(tables.takes.c.id == _by("its_id"))
_INSERT_SECRET = sa.insert(tables.secrets)

_INSERT_REQUEST = sa.insert(tables.requests)
_DELETE_REQUEST = sa.delete(tables.requests).where(
    tables.requests.c.caller == _by("caller"), tables.requests.c.key == _by("key")
)
_DELETE_REQUESTS = sa.delete(tables.requests).where(tables.requests.c.created_at < _by("before"))

_INSERT_API_KEY = sa.insert(tables.api_keys)
_REVOKE_API_KEY = sa.update(tables.api_keys).where(
    tables.api_keys.c.id == _by("its_id"), tables.api_keys.c.revoked_at.is_(None)
)


def create_session(connection: sa.Connection, session: Session, request: KeyedRequest | None) -> None:
    if request:
        _record_once(connection, request)
    if connection.scalar(_KNOWS_SESSION, {"session_id": session.id}):
        return
    connection.execute(_INSERT_SESSION, rows.session_row(session))
    for description in session.descriptions.values():
        _save_description(connection, session.id, description)


def save_descriptions(
    connection: sa.Connection, session_id: str, descriptions: Sequence[SceneDescription], now: datetime
) -> None:
    for description in descriptions:
        _save_description(connection, session_id, description)
    _touch_session(connection, session_id, now)


def _save_description(connection: sa.Connection, session_id: str, description: SceneDescription) -> None:
    """Write over the version that the caller has seen, and no other."""
    row = rows.description_row(session_id, replace(description, version=description.version + 1))
    mine = {"its_session": session_id, "its_scenario": description.scenario.value}
    if description.version:
        changed = connection.execute(_UPDATE_DESCRIPTION, {**row, **mine, "seen": description.version})
        written = changed.rowcount == 1
    else:
        written = not connection.scalar(_KNOWS_DESCRIPTION, mine)
        if written:
            connection.execute(_INSERT_DESCRIPTION, row)
    if not written:
        raise DescriptionChanged(description.scenario)


def create_job(
    connection: sa.Connection,
    job: Job,
    scenes: Sequence[Scene],
    request: KeyedRequest | None = None,
    *,
    purchase: Purchase | None = None,
    quota: Quota | None = None,
) -> JobSnapshot:
    if request:
        _record_once(connection, request)
    if quota:
        quota.check(reads.unclosed_jobs(connection, job.owner, job.terms))
    last: dict[str, int] = {}
    if job.session_id is not None:
        scenarios = [scene.name for scene in scenes]
        rivals = reads.scenes(connection, _RIVALS, {"session_id": job.session_id, "scenarios": scenarios})
        if rivals:
            raise SceneUnderWay(rivals)
        last = _last_takes(connection, job.session_id)
    numbered = tuple(replace(scene, take=last.get(scene.name, 0) + 1) for scene in scenes)
    connection.execute(_INSERT_JOB, rows.job_row(job))
    connection.execute(_INSERT_SCENE, [rows.scene_row(scene) for scene in numbered])
    connection.execute(_INSERT_EVENT, [rows.event_row(_queued(scene)) for scene in numbered])
    if purchase:
        ledger_writes.hold(connection, purchase, [scene.id for scene in numbered], job.created_at)
    return JobSnapshot(job=job, scenes=reads.in_running_order(numbered))


def apply(connection: sa.Connection, transition: Transition) -> Job | None:
    before, after = transition.before, transition.after
    changes = rows.scene_changes(before, after)
    written = connection.execute(_UPDATE_SCENE, {**changes, "its_id": before.id, "seen": before.attempt})
    if written.rowcount != 1:
        raise Superseded(before.id)
    if transition.event:
        connection.execute(_INSERT_EVENT, rows.event_row(transition.event))
    if transition.take:
        connection.execute(_INSERT_TAKE, rows.take_row(transition.take))
        if after.session_id is not None:
            _touch_session(connection, after.session_id, after.updated_at)
    ledger_writes.settle(connection, before, after, after.updated_at)
    return None if before.state is after.state else _rolled_up(connection, after)


def cancel(
    connection: sa.Connection, job_id: str, scene_ids: Collection[str], now: datetime
) -> JobSnapshot | None:
    snapshot = reads.snapshot(connection, job_id)
    if snapshot is None:
        return None
    for scene in snapshot.scenes:
        if scene.id in scene_ids and not scene.terminal:
            apply(connection, lifecycle.cancel(scene, now))
    return reads.snapshot(connection, job_id)


def delete_job(connection: sa.Connection, job_id: str, now: datetime) -> None:
    connection.execute(_UPDATE_JOB, {"its_id": job_id, "deleted_at": now})


def mark_take(connection: sa.Connection, take_id: str, now: datetime, *, favorite: bool) -> None:
    connection.execute(_UPDATE_TAKE, {"its_id": take_id, "favorite": favorite, "changed_at": now})


def remove_video(connection: sa.Connection, scene_id: str, now: datetime) -> None:
    connection.execute(_REMOVE_VIDEO, {"its_id": scene_id, "removed_at": now})


def forget_file(connection: sa.Connection, scene_id: str) -> None:
    connection.execute(_REMOVE_VIDEO, {"its_id": scene_id, "file": None, "mirror_url": None})


def secret(connection: sa.Connection, name: str, value: bytes) -> bytes:
    """The secret on record; ``value`` becomes it if there is none."""
    known = reads.secret(connection, name)
    if known is None:
        connection.execute(_INSERT_SECRET, {"name": name, "value": value})
    return known or value


def grant(
    connection: sa.Connection,
    owner: str,
    currency: Currency,
    amount: int,
    *,
    note: str,
    now: datetime,
    opening: int = 0,
    request: KeyedRequest | None = None,
) -> Balance:
    if request:
        _record_once(connection, request)
    return ledger_writes.grant(connection, owner, currency, amount, note=note, now=now, opening=opening)


def remember_request(connection: sa.Connection, request: KeyedRequest) -> None:
    """Put it on record; what an earlier record of the same request says more is kept."""
    known = reads.request(connection, request.caller, request.key)
    if known and known.created_at == request.created_at:
        request = replace(
            request, subject=request.subject or known.subject, joined=request.joined or known.joined
        )
    connection.execute(_DELETE_REQUEST, {"caller": request.caller, "key": request.key})
    connection.execute(_INSERT_REQUEST, asdict(request))


def forget_requests(connection: sa.Connection, before: datetime) -> int:
    return connection.execute(_DELETE_REQUESTS, {"before": before}).rowcount


def add_api_key(connection: sa.Connection, key: ApiKey) -> None:
    connection.execute(_INSERT_API_KEY, rows.api_key_row(key))


def revoke_api_key(connection: sa.Connection, key_id: str, now: datetime) -> ApiKey | None:
    connection.execute(_REVOKE_API_KEY, {"its_id": key_id, "revoked_at": now})
    return reads.api_key(connection, key_id)


def _record_once(connection: sa.Connection, request: KeyedRequest) -> None:
    known = reads.request(connection, request.caller, request.key)
    if known and known.created_at > request.created_at - KEPT:
        raise RequestKnown(known)
    remember_request(connection, request)


def _rolled_up(connection: sa.Connection, scene: Scene) -> Job:
    """The job, its state written anew after one of its scenes has changed its own."""
    found = connection.execute(_JOB_AND_STATES, {"job_id": scene.job_id}).mappings().all()
    job = rows.job_of(found[0])
    state = job_state([SceneState(row["scene_state"]) for row in found])
    if state is job.state:
        return job
    job = replace(job, state=state, finished_at=scene.updated_at if state in CLOSED else None)
    changes = {"state": state.value, "finished_at": job.finished_at}
    connection.execute(_UPDATE_JOB, {**changes, "its_id": job.id})
    return job


def _last_takes(connection: sa.Connection, session_id: str) -> dict[str, int]:
    """The highest take number so far, by scenario."""
    found = connection.execute(_LAST_TAKES, {"session_id": session_id})
    return {scenario: take for scenario, take in found}  # noqa: C416 - rows are not pairs


def _touch_session(connection: sa.Connection, session_id: str, now: datetime) -> None:
    connection.execute(_UPDATE_SESSION, {"updated_at": now, "its_id": session_id})


def _queued(scene: Scene) -> Event:
    return Event(
        job_id=scene.job_id,
        scene_id=scene.id,
        kind=EventKind.QUEUED,
        at=scene.created_at,
        data={"take": scene.take, "model": scene.model},
    )
