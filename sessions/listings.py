"""What is read as pages: jobs, videos, the gallery; and figures about all jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sessions import reads, rows, tables
from sessions.model import GalleryVideo, JobFigures, JobSnapshot, JobState, Video
from sessions.viewer import Viewer

#: how many finished jobs the average is made of
_AVERAGED = 200

# Statements are built once: building one costs more than running it.
_by = sa.bindparam

_page = {"limit": _by("limit", type_=sa.Integer), "offset": _by("offset", type_=sa.Integer)}

_Build = Callable[[sa.ColumnElement[bool]], sa.Select[Any]]


def _for_each_viewer(owner: sa.ColumnElement[Any], build: _Build) -> Mapping[bool, sa.Select[Any]]:
    """The statement for those who see everything (True), and for those who see what is their own.

    Two, because a condition that says both in one keeps SQLite from using the index on owners. What is
    nobody's is for those who know its id, so no list tells it.
    """
    return {True: build(sa.true()), False: build(owner == _by("owner", type_=sa.String))}


def _these_jobs(seen: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    states = tables.jobs.c.state.in_(_by("states", expanding=True))
    return sa.and_(seen, tables.jobs.c.deleted_at.is_(None), states)


_JOBS = _for_each_viewer(
    tables.jobs.c.owner,
    lambda seen: (
        sa.select(tables.jobs)
        .where(_these_jobs(seen))
        .order_by(tables.jobs.c.created_at.desc(), tables.jobs.c.id)
        .limit(_page["limit"])
        .offset(_page["offset"])
    ),
)
_COUNT_JOBS = _for_each_viewer(
    tables.jobs.c.owner,
    lambda seen: sa.select(sa.func.count()).select_from(tables.jobs).where(_these_jobs(seen)),
)
_SCENES = sa.select(tables.scenes).where(tables.scenes.c.job_id.in_(_by("ids", expanding=True)))

_first_frame = tables.scenes.c.frames["first"].as_string()
_videos = (tables.takes.join(tables.scenes, tables.scenes.c.id == tables.takes.c.scene_id)).join(
    tables.jobs, tables.jobs.c.id == tables.scenes.c.job_id
)
_columns = [
    *(column.label(f"take_{column.name}") for column in tables.takes.c),
    *(column.label(f"scene_{column.name}") for column in tables.scenes.c),
    *(column.label(f"job_{column.name}") for column in tables.jobs.c),
]


def _these_videos(seen: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """A job's record may be deleted and its video kept."""
    return sa.and_(
        seen,
        tables.scenes.c.removed_at.is_(None),
        sa.or_(tables.takes.c.favorite, sa.not_(_by("favorites_only", type_=sa.Boolean))),
        sa.or_(
            _by("any_origin", type_=sa.Boolean),
            sa.case((_first_frame.is_not(None), True), else_=False) == _by("from_image", type_=sa.Boolean),
        ),
    )


_VIDEOS = _for_each_viewer(
    tables.jobs.c.owner,
    lambda seen: (
        sa.select(*_columns)
        .select_from(_videos)
        .where(_these_videos(seen))
        .order_by(tables.takes.c.created_at.desc(), tables.takes.c.id)
        .limit(_page["limit"])
        .offset(_page["offset"])
    ),
)
_COUNT_VIDEOS = _for_each_viewer(
    tables.jobs.c.owner,
    lambda seen: sa.select(sa.func.count()).select_from(_videos).where(_these_videos(seen)),
)
_VIDEO = (
    sa.select(*_columns)
    .select_from(_videos)
    .where(
        sa.or_(tables.takes.c.id == _by("video_id"), tables.takes.c.scene_id == _by("video_id")),
        tables.scenes.c.removed_at.is_(None),
        sa.or_(
            _by("everything", type_=sa.Boolean),
            tables.jobs.c.owner.is_(None),
            tables.jobs.c.owner == _by("owner", type_=sa.String),
        ),
    )
)

# The two record stores of document 000 are views; their columns are the document's.
_generated = sa.table(
    "generated_videos",
    *map(sa.column, ("id", "user_id", "runway_task_id", "prompt", "status", "video_url", "metadata")),
    *map(sa.column, ("created_at", "updated_at")),
)
_created = sa.table(
    "created_videos",
    *map(sa.column, ("id", "user_id", "filename", "video_url", "original_text", "status")),
    *map(sa.column, ("duration_seconds", "created_at")),
)
_merged = sa.union_all(
    sa.select(
        *_generated.c["id", "user_id", "runway_task_id", "prompt", "status", "video_url", "metadata"],
        sa.null().label("duration_seconds"),
        *_generated.c["created_at", "updated_at"],
        sa.literal(1).label("from_image"),
    ),
    sa.select(
        *_created.c["id", "user_id"],
        sa.null().label("runway_task_id"),
        _created.c.original_text.label("prompt"),
        *_created.c["status", "video_url"],
        sa.null().label("metadata"),
        *_created.c["duration_seconds", "created_at"],
        _created.c.created_at.label("updated_at"),
        sa.literal(0).label("from_image"),
    ),
).subquery("gallery")
_this_status = sa.or_(_by("any_status", type_=sa.Boolean), _merged.c.status == _by("status", type_=sa.String))
_GALLERY = _for_each_viewer(
    _merged.c.user_id,
    lambda seen: (
        sa.select(_merged)
        .where(seen, _this_status)
        .order_by(_merged.c.created_at.desc(), _merged.c.id)
        .limit(_page["limit"])
        .offset(_page["offset"])
    ),
)
_COUNT_GALLERY = _for_each_viewer(
    _merged.c.user_id,
    lambda seen: sa.select(sa.func.count()).select_from(_merged).where(seen, _this_status),
)

_BY_STATE = (
    sa.select(tables.jobs.c.state, sa.func.count())
    .where(tables.jobs.c.deleted_at.is_(None))
    .group_by(tables.jobs.c.state)
)
_NEWEST_FINISHED = (
    sa.select(tables.jobs.c.created_at, tables.jobs.c.finished_at)
    .where(tables.jobs.c.finished_at.is_not(None))
    .order_by(tables.jobs.c.finished_at.desc())
    .limit(_AVERAGED)
)


def jobs(
    connection: sa.Connection, viewer: Viewer, states: Collection[JobState], *, limit: int, offset: int
) -> tuple[list[JobSnapshot], int]:
    values = {**asdict(viewer), "states": [state.value for state in states]}
    total = connection.scalar(_COUNT_JOBS[viewer.everything], values) or 0
    found = connection.execute(
        _JOBS[viewer.everything], {**values, "limit": limit, "offset": offset}
    ).mappings()
    jobs_found = [rows.job_of(row) for row in found]
    scenes = reads.scenes(connection, _SCENES, {"ids": [job.id for job in jobs_found]})
    return [
        JobSnapshot(job=job, scenes=tuple(scene for scene in scenes if scene.job_id == job.id))
        for job in jobs_found
    ], total


def videos(
    connection: sa.Connection,
    viewer: Viewer,
    *,
    favorites_only: bool,
    from_image: bool | None,
    limit: int,
    offset: int,
) -> tuple[list[Video], int]:
    values = {
        **asdict(viewer),
        "favorites_only": favorites_only,
        "any_origin": from_image is None,
        "from_image": bool(from_image),
    }
    total = connection.scalar(_COUNT_VIDEOS[viewer.everything], values) or 0
    found = connection.execute(
        _VIDEOS[viewer.everything], {**values, "limit": limit, "offset": offset}
    ).mappings()
    return [_video_of(row) for row in found], total


def video(connection: sa.Connection, video_id: str, viewer: Viewer) -> Video | None:
    row = connection.execute(_VIDEO, {"video_id": video_id, **asdict(viewer)}).mappings().first()
    return None if row is None else _video_of(row)


def gallery(
    connection: sa.Connection, viewer: Viewer, *, status: str | None, limit: int, offset: int
) -> tuple[list[GalleryVideo], int]:
    values = {**asdict(viewer), "any_status": status is None, "status": status or ""}
    total = connection.scalar(_COUNT_GALLERY[viewer.everything], values) or 0
    found = connection.execute(
        _GALLERY[viewer.everything], {**values, "limit": limit, "offset": offset}
    ).mappings()
    return [_gallery_video_of(row) for row in found], total


def figures(connection: sa.Connection) -> JobFigures:
    by_state = {JobState(state): count for state, count in connection.execute(_BY_STATE)}
    newest: Sequence[Any] = connection.execute(_NEWEST_FINISHED).all()
    took = [(row.finished_at - row.created_at).total_seconds() for row in newest]
    return JobFigures(
        by_state=by_state,
        last_finished_at=newest[0].finished_at if newest else None,
        average_seconds=sum(took) / len(took) if took else None,
    )


def _video_of(row: sa.RowMapping) -> Video:
    def part(prefix: str) -> Any:
        return {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}

    return Video(
        take=rows.take_of(part("take_")), scene=rows.scene_of(part("scene_")), job=rows.job_of(part("job_"))
    )


def _gallery_video_of(row: sa.RowMapping) -> GalleryVideo:
    return GalleryVideo(
        id=row["id"],
        from_image=bool(row["from_image"]),
        owner=row["user_id"],
        task_id=row["runway_task_id"],
        prompt=row["prompt"],
        status=row["status"],
        video_url=row["video_url"],
        metadata=json.loads(row["metadata"]) if row["metadata"] else {},
        seconds=row["duration_seconds"],
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
    )
