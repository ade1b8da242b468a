"""Clips without a session; owners, terms and deletion of jobs; frames, sound, marks; the gallery."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

LIVE = "state NOT IN ('cancelled', 'failed', 'succeeded')"
UNCLOSED = "state NOT IN ('cancelled', 'failed', 'partial', 'succeeded')"

#: UtcTime as text, as SQLite's own functions write it
AT = "strftime('%Y-%m-%dT%H:%M:%fZ', {} / 1000000.0, 'unixepoch')"

STATUS = """CASE WHEN scenes.state = 'succeeded' THEN 'completed'
    WHEN scenes.state IN ('failed', 'cancelled') THEN 'failed' ELSE 'generating' END"""

#: a path on this server, or the whole address of a copy at a delivery network
URL = """CASE WHEN takes.file IS NOT NULL THEN coalesce(scenes.mirror_url, '/outputs/' || takes.file) END"""

#: as the client gave it; what is kept of it here has a name of ours
IMAGE_URL = """coalesce(json_extract(jobs.asked, '$.imageUrl'), json_extract(jobs.asked, '$.image_url'),
            CASE WHEN json_extract(scenes.frames, '$.first') LIKE 'http%' THEN
                json_extract(scenes.frames, '$.first') END)"""

FROM = """FROM scenes JOIN jobs ON jobs.id = scenes.job_id
    LEFT JOIN takes ON takes.scene_id = scenes.id
    WHERE jobs.deleted_at IS NULL AND scenes.removed_at IS NULL"""

WITH_IMAGE = "json_extract(scenes.frames, '$.first') IS NOT NULL"

#: videos that were made from an image (document 000, "Database Integration")
GENERATED_VIDEOS = f"""CREATE VIEW generated_videos AS
SELECT scenes.id AS id, jobs.owner AS user_id, scenes.task_id AS runway_task_id, scenes.prompt AS prompt,
    {STATUS} AS status, {URL} AS video_url,
    json_object('job_id', jobs.id, 'model', scenes.model, 'seconds', scenes.seconds,
        'progress', scenes.progress, 'image_url', {IMAGE_URL},
        'error', json_extract(scenes.failure, '$.message')) AS metadata,
    {AT.format("scenes.created_at")} AS created_at, {AT.format("scenes.updated_at")} AS updated_at
{FROM} AND {WITH_IMAGE}"""

#: videos that were made from text
CREATED_VIDEOS = f"""CREATE VIEW created_videos AS
SELECT scenes.id AS id, jobs.owner AS user_id, takes.file AS filename, {URL} AS video_url,
    scenes.prompt AS original_text, {STATUS} AS status,
    CAST(round(coalesce(takes.seconds, scenes.seconds)) AS INTEGER) AS duration_seconds,
    {AT.format("scenes.created_at")} AS created_at
{FROM} AND NOT {WITH_IMAGE}"""


def upgrade() -> None:
    op.drop_index("uq_scenes_live", "scenes")
    op.drop_index("ix_scenes_unsettled", "scenes")
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("session_id", existing_type=sa.String(length=36), nullable=True)
        jobs.add_column(sa.Column("owner", sa.String(length=255), nullable=True))
        jobs.add_column(sa.Column("terms", sa.String(length=32), nullable=False, server_default="scenes"))
        jobs.add_column(sa.Column("asked", sa.JSON(), nullable=False, server_default="{}"))
        jobs.add_column(sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE jobs SET owner = (SELECT owner FROM sessions WHERE sessions.id = jobs.session_id)")
    op.create_index("ix_jobs_owner_created_at", "jobs", ["owner", "created_at"])
    op.create_index(op.f("ix_jobs_created_at"), "jobs", ["created_at"])
    op.create_index(
        "ix_jobs_unclosed",
        "jobs",
        ["owner", "terms"],
        sqlite_where=sa.text(UNCLOSED),
        postgresql_where=sa.text(UNCLOSED),
    )
    with op.batch_alter_table("scenes") as scenes:
        scenes.alter_column("session_id", existing_type=sa.String(length=36), nullable=True)
        scenes.alter_column("scenario", existing_type=sa.String(length=32), nullable=True)
        scenes.add_column(sa.Column("frames", sa.JSON(), nullable=False, server_default="{}"))
        scenes.add_column(sa.Column("sound", sa.Boolean(), nullable=False, server_default=sa.true()))
        scenes.add_column(sa.Column("mirror_url", sa.Text(), nullable=True))
        scenes.add_column(sa.Column("removed_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE scenes SET frames = json_object('first', image_url) WHERE image_url IS NOT NULL")
    with op.batch_alter_table("scenes") as scenes:
        scenes.drop_column("image_url")
    _create_partial_indexes()
    with op.batch_alter_table("takes") as takes:
        takes.alter_column("session_id", existing_type=sa.String(length=36), nullable=True)
        takes.alter_column("scenario", existing_type=sa.String(length=32), nullable=True)
        takes.add_column(sa.Column("favorite", sa.Boolean(), nullable=False, server_default=sa.false()))
        takes.add_column(sa.Column("changed_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_events_retried",
        "events",
        ["job_id"],
        unique=False,
        sqlite_where=sa.text("kind = 'retried'"),
        postgresql_where=sa.text("kind = 'retried'"),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.execute(GENERATED_VIDEOS)
    op.execute(CREATED_VIDEOS)


def downgrade() -> None:
    op.execute("DROP VIEW created_videos")
    op.execute("DROP VIEW generated_videos")
    op.drop_table("secrets")
    op.drop_index("ix_events_retried", "events")
    op.drop_index("uq_scenes_live", "scenes")
    op.drop_index("ix_scenes_unsettled", "scenes")
    # What an older version cannot hold goes: clips on their own, and all that belongs to them.
    op.execute(  # what was charged stays true
        "UPDATE charges SET scene_id = NULL "
        "WHERE scene_id IN (SELECT id FROM scenes WHERE session_id IS NULL)"
    )
    for table in ("holds", "takes", "events"):
        op.execute(
            f"DELETE FROM {table} WHERE scene_id IN (SELECT id FROM scenes WHERE session_id IS NULL)"  # noqa: S608 - literals
        )
    # An older version would show these, and their files are gone.
    op.execute("DELETE FROM takes WHERE scene_id IN (SELECT id FROM scenes WHERE removed_at IS NOT NULL)")
    op.execute("DELETE FROM scenes WHERE session_id IS NULL")
    op.execute("DELETE FROM jobs WHERE session_id IS NULL")
    with op.batch_alter_table("takes") as takes:
        for column in ("changed_at", "favorite"):
            takes.drop_column(column)
        takes.alter_column("scenario", existing_type=sa.String(length=32), nullable=False)
        takes.alter_column("session_id", existing_type=sa.String(length=36), nullable=False)
    with op.batch_alter_table("scenes", recreate="always") as scenes:
        scenes.add_column(sa.Column("image_url", sa.Text(), nullable=True), insert_after="height")
    op.execute("UPDATE scenes SET image_url = json_extract(frames, '$.first')")
    with op.batch_alter_table("scenes") as scenes:
        for column in ("removed_at", "mirror_url", "sound", "frames"):
            scenes.drop_column(column)
        scenes.alter_column("scenario", existing_type=sa.String(length=32), nullable=False)
        scenes.alter_column("session_id", existing_type=sa.String(length=36), nullable=False)
    _create_partial_indexes()
    op.drop_index("ix_jobs_unclosed", "jobs")
    op.drop_index(op.f("ix_jobs_created_at"), "jobs")
    op.drop_index("ix_jobs_owner_created_at", "jobs")
    with op.batch_alter_table("jobs") as jobs:
        for column in ("deleted_at", "asked", "terms", "owner"):
            jobs.drop_column(column)
        jobs.alter_column("session_id", existing_type=sa.String(length=36), nullable=False)


def _create_partial_indexes() -> None:
    op.create_index(
        "uq_scenes_live",
        "scenes",
        ["session_id", "scenario"],
        unique=True,
        sqlite_where=sa.text(LIVE),
        postgresql_where=sa.text(LIVE),
    )
    op.create_index(
        "ix_scenes_unsettled",
        "scenes",
        ["job_id"],
        unique=False,
        sqlite_where=sa.text(f"{LIVE} OR owed = 1"),
        postgresql_where=sa.text(f"{LIVE} OR owed"),
    )
