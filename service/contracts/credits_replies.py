"""Answers of the credit-jobs contract as models: what ``credits_views`` makes, for the documentation.

Nothing is made from them; tests hold real answers against them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.contracts.credits_bodies import AspectRatio, GenerationType, ReferencePerson, Resolution

CreditStatus = Annotated[
    Literal["queued", "starting", "processing", "completed", "failed", "cancelled"],
    Field(
        description="`queued` nobody works on it yet · `starting` on its way to the provider · `processing` "
        "being made or fetched · `completed` the result is there · `failed` no video, DUST refunded · "
        "`cancelled` ended by its user. The last three are final."
    ),
]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[int, Field(ge=0, description="In steps of 5; 0 once it is over, or later than expected")]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Success(_Answer):
    success: Literal[True]


class CreditsProblem(BaseModel):
    """Every error of this contract; some have more fields, such as `fields`, `required` or `available`."""

    model_config = ConfigDict(extra="allow", strict=True)

    success: Literal[False]
    error: str = Field(description="One sentence, for people")
    code: str | None = Field(default=None, description="The same for programs")


class CreditsStarted(_Success):
    """The job is on record, its DUST is held, and it runs on, whoever watches."""

    job_id: str
    status: Literal["queued"]
    estimated_completion_seconds: int = Field(description="240 from words, 180 from an image")
    message: str


class CreditsGenerationInfo(_Answer):
    """What is being done, and for how long most probably."""

    current_step: str = Field(description="For people")
    estimated_remaining_seconds: Seconds


class CreditsPartial(_Answer):
    """Whether only some of the videos of a job with several were made."""

    partial: bool


class CreditsStatus(_Success):
    """How far a job is."""

    job_id: str
    status: CreditStatus
    progress: Fraction
    generation_info: CreditsGenerationInfo
    created_at: datetime
    updated_at: datetime
    progress_percent: Annotated[int, Field(ge=0, le=100)]
    generation_type: GenerationType
    metadata: CreditsPartial
    error: str | None = Field(description="Why there is no video, if there will be none")
    poll_after_ms: int | None = Field(description="When to ask again; null once it is over")


class CreditsVideoMetadata(_Answer):
    """What is known of a video besides."""

    job_id: str
    model: str
    provider: str = Field(description="`local` makes free previews")
    width: int = Field(description="Pixels")
    height: int = Field(description="Pixels")
    size_bytes: int
    camera_fixed: bool
    partial: bool = Field(description="Other videos of its job were not made")


class CreditsVideo(_Answer):
    """A finished video."""

    id: str
    user_id: str | None = Field(description="Null where nobody said whose it is")
    url: str = Field(description="Whole address of the file; as it is, a link for a while")
    thumbnail_url: None
    prompt: str
    generation_type: GenerationType
    source_image_url: str | None = Field(description="The image as it was ordered; null from words")
    duration_seconds: float = Field(description="Of the file")
    resolution: Resolution = Field(description="As ordered, or else the largest that the file fills")
    aspect_ratio: AspectRatio = Field(description="As ordered, or else the nearest to the file's")
    reference_person: ReferencePerson | None = Field(description="As ordered")
    metadata: CreditsVideoMetadata
    is_favorited: bool
    created_at: datetime
    updated_at: datetime


class CreditsMade(_Answer):
    """How the video was made."""

    model_used: str
    generation_time_ms: int = Field(description="Between order and verdict at the provider")


class CreditsResult(_Success):
    """The job is done."""

    job_id: str
    status: Literal["completed"]
    video: CreditsVideo
    generation_info: CreditsMade
    videos: list[CreditsVideo] | None = Field(
        default=None, description="All of them; only of a job with several, ordered through another API"
    )


class CreditsNotReady(_Success):
    """The job is not over."""

    job_id: str
    status: Literal["processing"]
    message: str


class CreditsFailed(_Answer):
    """The job is over without a result."""

    success: Literal[False]
    job_id: str
    status: Literal["failed", "cancelled"]
    error: str


class CreditsCancelled(_Success):
    """The job is cancelled."""

    job_id: str
    status: Literal["cancelled"]
    message: str = Field(description="Says whether its DUST comes back")


class CreditsActiveJob(_Answer):
    """A job that is not over."""

    job_id: str
    status: Literal["queued", "starting", "processing"]
    generation_type: GenerationType
    created_at: datetime
    estimated_completion_seconds: int = Field(description="From its creation: what such videos usually take")
    estimated_remaining_seconds: Seconds
    progress: Fraction


class CreditsActive(_Success):
    """The user's jobs that are not over, newest first."""

    active_jobs: list[CreditsActiveJob] = Field(max_length=200)
    count: int = Field(description="How many there are, also where more than 200 are not listed")


class CreditsStats(_Answer):
    """Numbers about everybody's jobs."""

    is_running: bool = Field(description="False while the server is stopping")
    jobs_processed: int = Field(description="Jobs that are over, however they ended")
    jobs_queued: int
    jobs_in_progress: int
    last_job_completed_at: datetime | None
    average_processing_time_seconds: float | None = Field(
        description="From creation to end, of the newest that are over"
    )


class CreditsPagination(_Answer):
    """Which part of the list this is."""

    total: int
    limit: int
    offset: int
    has_more: bool


class CreditsVideos(_Answer):
    """One page of the user's videos, newest first."""

    videos: list[CreditsVideo]
    pagination: CreditsPagination


class CreditsOneVideo(_Answer):
    """One video."""

    video: CreditsVideo


class CreditsVideoChanged(_Success):
    """The video as it is now."""

    video: CreditsVideo


class CreditsVideoDeleted(_Success):
    """The video is there for nobody any more."""

    deleted_from_storage: bool


class CreditsBalance(_Answer):
    """What is in an account."""

    available: int = Field(description="Can be spent")
    held: int = Field(description="Belongs to jobs that have not started")


class CreditsBoth(_Answer):
    """Both currencies; one is never changed into the other."""

    tokens: CreditsBalance
    dust: CreditsBalance


class CreditsBalances(_Success):
    """What the user has."""

    balances: CreditsBoth
