"""Answers of the video jobs contract as models: what ``video_jobs_views`` and ``monitor`` make.

Nothing is made from them; they are for the documentation, and tests hold real answers against them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from service.contracts.video_jobs_logs import Level

JobStatus = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
Percent = Annotated[int, Field(ge=0, le=100)]


def _absent(schema: dict[str, Any]) -> None:
    """Fields with a default are left out where there is nothing to say; they are never null."""
    for name, field in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and "anyOf" in field:
            (kind,) = (it for it in field.pop("anyOf") if it != {"type": "null"})
            field.update(kind)


class _Answer(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, json_schema_extra=_absent, serialize_by_alias=True
    )


class MissingTokens(_Answer):
    """What an order would have cost."""

    message: str
    cost: int = Field(description="Of this order, in tokens")
    available_tokens: int


class VideoJobsProblem(_Answer):
    """Every error of this contract."""

    detail: str | MissingTokens = Field(description="One sentence; with status 402 an object")


class JobLog(_Answer):
    """Something that has happened to a job."""

    timestamp: datetime
    level: Level
    message: str


class _Asked(_Answer):
    prompt: str | None = Field(description="Null if only images were given")
    model: str
    resolution: str = Field(description="Such as `1080p`")
    aspect_ratio: str = Field(description="Such as `16:9`")
    duration_seconds: float


class VideoJob(_Asked):
    """A job as it is now. What does not apply is left out."""

    id: str
    user_id: str
    generate_audio: bool
    mock_mode: bool = Field(description="A local preview stands in for the video")
    status: JobStatus
    status_message: str
    progress_percentage: Percent
    logs: list[JobLog] = Field(description="Oldest first")
    tokens_consumed: int = Field(description="0 where nothing is charged, or all was given back")
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = Field(default=None, description="When it ended, however it did")
    error_message: str | None = Field(default=None, description="One sentence; of failed jobs")
    error_code: str | None = None
    retryable: bool | None = Field(default=None, description="Whether the same order has a chance")
    cloudinary_url: str | None = Field(
        default=None,
        description=(
            "Address of the video: at Cloudinary where that is configured, else on this server. As it is, a "
            "link for a while"
        ),
    )
    queue_position: int | None = Field(default=None, description="From 1, while it waits for others")
    estimated_completion_at: datetime | None = Field(
        default=None,
        description="Most probably by then, while it is RUNNING; left out without enough experience",
    )
    estimated_wait_seconds: int | None = Field(
        default=None, description="Until the video is there, while the job is PENDING"
    )
    note: str | None = Field(default=None, description="What it waits for")


class VideoJobList(_Answer):
    """One page of one's own jobs, newest first."""

    jobs: list[VideoJob]
    total: int = Field(description="How many there are on all pages")


class MonitoredJob(_Asked):
    """A job as anybody may see it."""

    id: str = Field(description="The first eight characters")
    prompt: str | None = Field(description="Its beginning")
    status: JobStatus
    status_message: str
    progress_percentage: Percent
    logs: list[JobLog] = Field(description="In fixed words, oldest first")
    created_at: datetime
    completed_at: datetime | None = None
    video_url: str | None = Field(default=None, description="Only where the server is told to show videos")


class MonitorFeed(_Answer):
    """What everybody's jobs do, newest first."""

    jobs: list[MonitoredJob]
    counts: dict[JobStatus, int] = Field(description="Of all jobs, not only of those listed")
    queue_length: int = Field(description="How many are PENDING")
    average_seconds: float | None = Field(description="From order to end, of the jobs that ended last")
    generated_at: datetime
