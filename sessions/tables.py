"""The schema, for SQLite and PostgreSQL alike. Changes go through ``migrations/``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from sessions.model import CLOSED, TERMINAL, EventKind, Lane

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC as whole microseconds since 1970: SQLite has no type that keeps a time zone."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

_ID = sa.String(36)
_WORD = sa.String(32)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("brief", sa.JSON, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False, index=True),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Column("owner", sa.String(255), index=True),
)

descriptions = sa.Table(
    "descriptions",
    metadata,
    sa.Column("session_id", _ID, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("scenario", _WORD, primary_key=True),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("session_id", _ID, sa.ForeignKey("sessions.id"), index=True),
    sa.Column("state", _WORD, nullable=False, index=True),
    sa.Column("lane", _WORD, nullable=False, server_default=Lane.INTERACTIVE.value),
    sa.Column("created_at", UtcTime, nullable=False, index=True),
    sa.Column("finished_at", UtcTime),
    sa.Column("owner", sa.String(255)),
    sa.Column("terms", _WORD, nullable=False, server_default="scenes"),
    sa.Column("asked", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("deleted_at", UtcTime),
    sa.Index("ix_jobs_owner_created_at", "owner", "created_at"),
)

# Literals, no parameters: a partial index serves only queries in which its condition can be read.
unclosed = jobs.c.state.not_in([sa.literal_column(f"'{state.value}'") for state in sorted(CLOSED)])

unclosed_jobs = sa.Index(
    "ix_jobs_unclosed", jobs.c.owner, jobs.c.terms, sqlite_where=unclosed, postgresql_where=unclosed
)

scenes = sa.Table(
    "scenes",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), nullable=False, index=True),
    sa.Column("session_id", _ID, sa.ForeignKey("sessions.id")),
    sa.Column("scenario", _WORD),
    sa.Column("take", sa.Integer, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("provider", _WORD, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("frames", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("sound", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("task_id", _ID, nullable=False, unique=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Column("state", _WORD, nullable=False),
    sa.Column("stage", _WORD, nullable=False),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="1"),
    sa.Column("submitted_at", UtcTime),
    sa.Column("generated_at", UtcTime, index=True),
    sa.Column("result", sa.Text),
    sa.Column("cost_usd", sa.Float),
    sa.Column("file", sa.String(255)),
    sa.Column("mirror_url", sa.Text),
    sa.Column("removed_at", UtcTime),
    sa.Column("failure", sa.JSON(none_as_null=True)),
    sa.Column("owed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("session_id", "scenario", "take"),
)

live = scenes.c.state.not_in([sa.literal_column(f"'{state.value}'") for state in sorted(TERMINAL)])

unsettled = sa.or_(live, scenes.c.owed)

# Whatever the program believes, the database never holds two live scenes for one scenario of a
# session: a double click cannot pay twice.
one_live_scene = sa.Index(
    "uq_scenes_live",
    scenes.c.session_id,
    scenes.c.scenario,
    unique=True,
    sqlite_where=live,
    postgresql_where=live,
)

unsettled_scenes = sa.Index(
    "ix_scenes_unsettled", scenes.c.job_id, sqlite_where=unsettled, postgresql_where=unsettled
)

takes = sa.Table(
    "takes",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("session_id", _ID, sa.ForeignKey("sessions.id"), index=True),
    sa.Column("scene_id", _ID, sa.ForeignKey("scenes.id"), nullable=False, unique=True),
    sa.Column("scenario", _WORD),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("file", sa.String(255), nullable=False, unique=True),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("provider", _WORD, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("cost_usd", sa.Float),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("late", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("favorite", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("changed_at", UtcTime),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("job_id", _ID, sa.ForeignKey("jobs.id"), nullable=False, index=True),
    sa.Column("scene_id", _ID, sa.ForeignKey("scenes.id"), nullable=False),
    sa.Column("kind", _WORD, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
)

# Few scenes are ever ordered anew: which tasks they had before is found among these.
_retried = events.c.kind == sa.literal_column(f"'{EventKind.RETRIED.value}'")
retried_events = sa.Index(
    "ix_events_retried", events.c.job_id, sqlite_where=_retried, postgresql_where=_retried
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("caller", sa.String(255), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False, index=True),
    sa.Column("subject", _ID),
    sa.Column("joined", sa.Boolean, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("body", sa.LargeBinary),
)

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", _WORD, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", _WORD, primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("label", sa.String(255), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("revoked_at", UtcTime),
)
