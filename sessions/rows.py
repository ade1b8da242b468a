"""Rows <-> nouns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping

from sessions.api_keys import ApiKey, Scope
from sessions.idempotency import KeyedRequest
from sessions.model import (
    Brief,
    Event,
    EventKind,
    Frames,
    Job,
    JobState,
    Lane,
    Scenario,
    Scene,
    SceneDescription,
    SceneFailure,
    SceneState,
    Session,
    Stage,
    Take,
)

_DESCRIPTION_KEYS = tuple(
    field.name for field in fields(SceneDescription) if field.name not in ("scenario", "approved", "version")
)
_SCENE_KEYS = tuple(field.name for field in fields(Scene))


def session_row(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "brief": asdict(session.brief),
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "owner": session.owner,
    }


def session_of(
    row: RowMapping, description_rows: Iterable[RowMapping], take_rows: Iterable[RowMapping]
) -> Session:
    found = {item.scenario: item for item in map(description_of, description_rows)}
    return Session(
        id=row["id"],
        brief=Brief(**row["brief"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        owner=row["owner"],
        descriptions={scenario: found[scenario] for scenario in Scenario if scenario in found},
        takes=tuple(map(take_of, take_rows)),
    )


def description_row(session_id: str, description: SceneDescription) -> dict[str, Any]:
    body = {name: getattr(description, name) for name in _DESCRIPTION_KEYS}
    return {
        "session_id": session_id,
        "scenario": description.scenario.value,
        "body": body,
        "approved": description.approved,
        "version": description.version,
    }


def description_of(row: RowMapping) -> SceneDescription:
    return SceneDescription(
        scenario=Scenario(row["scenario"]), approved=row["approved"], version=row["version"], **row["body"]
    )


def job_row(job: Job) -> dict[str, Any]:
    return {**asdict(job), "state": job.state.value, "lane": job.lane.value, "asked": dict(job.asked)}


def job_of(row: RowMapping) -> Job:
    return Job(
        id=row["id"],
        session_id=row["session_id"],
        created_at=row["created_at"],
        state=JobState(row["state"]),
        lane=Lane(row["lane"]),
        finished_at=row["finished_at"],
        owner=row["owner"],
        terms=row["terms"],
        asked=row["asked"],
        deleted_at=row["deleted_at"],
    )


def scene_row(scene: Scene) -> dict[str, Any]:
    return {name: _column(scene, name) for name in _SCENE_KEYS}


def scene_changes(before: Scene, after: Scene) -> dict[str, Any]:
    """The columns in which ``after`` differs; most transitions touch a handful."""
    changed = (name for name in _SCENE_KEYS if getattr(before, name) is not getattr(after, name))
    return {"updated_at": after.updated_at} | {name: _column(after, name) for name in changed}


def _column(scene: Scene, name: str) -> Any:
    value = getattr(scene, name)
    if isinstance(value, StrEnum):
        return value.value
    return asdict(value) if isinstance(value, SceneFailure | Frames) else value


def scene_of(row: RowMapping) -> Scene:
    values: dict[str, Any] = dict(row)
    failure: Mapping[str, Any] | None = values["failure"]
    values |= {
        "scenario": _scenario_of(row),
        "frames": frames_of(values["frames"]),
        "state": SceneState(values["state"]),
        "stage": Stage(values["stage"]),
        "failure": SceneFailure(**failure) if failure else None,
    }
    return Scene(**values)


def take_row(take: Take) -> dict[str, Any]:
    return {**asdict(take), "scenario": take.scenario.value if take.scenario else None}


def take_of(row: RowMapping) -> Take:
    return Take(**{**row, "scenario": _scenario_of(row)})


def _scenario_of(row: RowMapping) -> Scenario | None:
    return Scenario(row["scenario"]) if row["scenario"] else None


def frames_of(stored: Mapping[str, Any]) -> Frames:
    return Frames(**{**stored, "references": tuple(stored.get("references", ()))})


def event_row(event: Event) -> dict[str, Any]:
    return {
        "job_id": event.job_id,
        "scene_id": event.scene_id,
        "kind": event.kind.value,
        "at": event.at,
        "data": dict(event.data),
    }


def event_of(row: RowMapping) -> Event:
    return Event(
        job_id=row["job_id"],
        scene_id=row["scene_id"],
        kind=EventKind(row["kind"]),
        at=row["at"],
        data=row["data"],
        seq=row["seq"],
    )


def request_of(row: RowMapping) -> KeyedRequest:
    return KeyedRequest(**row)


def api_key_row(key: ApiKey) -> dict[str, Any]:
    return {**asdict(key), "scopes": sorted(key.scopes)}


def api_key_of(row: RowMapping) -> ApiKey:
    return ApiKey(**{**row, "scopes": frozenset(map(Scope, row["scopes"]))})
