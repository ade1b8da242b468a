"""Answers of the gallery contract as models: what ``gallery_views`` makes, for the documentation.

Nothing is made from them; tests hold real answers against them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

VideoUrl = Annotated[str, Field(description="Whole address of the file; as it is, a link for a while")]
Status = Literal["PROCESSING", "SUCCEEDED", "FAILED"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class GalleryProblem(_Answer):
    """Every error of this contract."""

    success: Literal[False]
    error: str = Field(description="One sentence, for people")
    status: int = Field(description="The HTTP status once more")


class VideoStarted(_Answer):
    """The video is on record and is made, whoever watches."""

    success: Literal[True]
    video_id: str = Field(description="UUID of the record")
    task_id: str = Field(description="UUID of the task at the provider")
    message: str


class VideoStatus(_Answer):
    """How far one video is."""

    success: Literal[True]
    status: Status = Field(description="A cancelled video is `FAILED`, *Cancelled by user*")
    video_url: VideoUrl | None = Field(description="Null until it is over")
    progress: int = Field(ge=0, le=100, description="Percent; never falls")
    error_message: str | None = Field(
        description="One sentence; null unless something failed. A job of several scenes of which some "
        "were made is `SUCCEEDED`, and says here what is missing"
    )


class ListedStatus(VideoStatus):
    """The status of one of many."""

    video_id: str
    task_id: str


class ListedProblem(GalleryProblem):
    """Why the status of one of many cannot be told."""

    video_id: str | None
    task_id: str | None


class VideoStatuses(_Answer):
    """One answer for each video that was asked for, in that order."""

    success: Literal[True]
    videos: list[ListedStatus | ListedProblem]


class GalleryVideoView(_Answer):
    """A row of one of the two record stores."""

    id: str = Field(description="What `videoId` takes")
    source: Literal["generated_videos", "created_videos"] = Field(
        description="`generated_videos` were made from an image, `created_videos` from text alone"
    )
    user_id: str | None
    task_id: str | None = Field(description="Of generated videos")
    prompt: str
    status: Literal["generating", "completed", "failed"]
    video_url: VideoUrl | None
    duration_seconds: int | None = Field(description="Of created videos")
    metadata: dict[str, Any] = Field(description="Of generated videos")
    created_at: datetime
    updated_at: datetime


class GalleryList(_Answer):
    """One page of the gallery, newest first."""

    success: Literal[True]
    videos: list[GalleryVideoView]
    total: int
    limit: int
    offset: int
