"""Answers of the scenes contract as models: what ``scenes_views`` makes, for the documentation.

Nothing is made from them; tests hold real answers against them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sessions.model import Scenario, Stage

SceneStatus = Literal["generating", "completed", "failed"]
JobStatus = Literal["generating", "completed", "partial", "failed"]

Percent = Annotated[int, Field(ge=0, le=100)]
Usd = Annotated[float | None, Field(description="As billed by the provider, in US dollars; null if unknown")]
VideoUrl = Annotated[str, Field(description="Path of the file on this server; as it is, a link for a while")]
StatusUrl = Annotated[str, Field(description="Where to ask how far the job is")]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Success(_Answer):
    success: Literal[True]


class ScenesProblem(_Answer):
    """Every error of this contract."""

    success: Literal[False]
    error: str = Field(description="One sentence, for people")
    detail: dict[str, Any] | None = Field(description="For programs: `code`, and what belongs to it")


class ScenesEta(_Answer):
    """Most probably in between, if nothing goes wrong."""

    earliest: datetime
    latest: datetime


class DescribedScene(_Answer):
    """What one scene shall show; `description` alone is a complete scene."""

    scenario: Scenario
    description: str
    visual_description: str | None
    camera_work: str | None
    lighting: str | None
    audio_design: str | None
    background_music: str | None
    sound_effects: str | None
    dialog_narration: str | None
    duration: float | None = Field(description="Seconds; null: the brief decides")
    approved: bool = Field(description="Only approved descriptions are filmed")
    version: int = Field(description="Counts the changes, from 1")


class SessionBrief(_Answer):
    """What the marketing person wants; what is null is decided by the model's defaults."""

    product: str
    audience: str | None
    tone: str | None
    offer: str | None
    language: str
    aspect_ratio: str | None
    seconds_per_scene: float | None
    model: str | None
    product_image_url: str | None
    logo_url: str | None


class SceneTake(_Answer):
    """One finished file. Takes are kept; the newest of a scenario is the session's video."""

    scenario: Scenario
    video_url: VideoUrl
    take: int = Field(description="Counts the attempts to film this scenario, from 1")
    duration: float = Field(description="Seconds")
    width: int = Field(description="Pixels")
    height: int = Field(description="Pixels")
    size: int = Field(description="Bytes")
    prompt: str
    model: str
    provider: str
    cost_usd: Usd
    late: bool = Field(description="Came after its scene had been cancelled")
    created_at: datetime


class SessionJob(_Answer):
    """A job of a session."""

    job_id: str
    overall_status: JobStatus
    created_at: datetime
    status_url: StatusUrl


class SessionView(_Success):
    """A whole session."""

    message: str | None = Field(default=None, description="What was done; not there on a plain read")
    session_id: str
    created_at: datetime
    updated_at: datetime
    provider: str = Field(description="Who films: `local` makes free previews")
    brief: SessionBrief
    scene_descriptions: list[DescribedScene]
    scene_videos: list[SceneTake] = Field(description="The chosen take of each scenario, in running order")
    takes: list[SceneTake] = Field(description="Every take, oldest first")
    jobs: list[SessionJob]


class SessionLine(_Answer):
    """A session in the list."""

    session_id: str
    created_at: datetime
    updated_at: datetime
    product: str
    approved: list[Scenario]
    scene_videos: list[SceneTake]


class SessionList(_Success):
    """One page of sessions, newest first."""

    sessions: list[SessionLine]
    total: int
    limit: int
    offset: int


class SceneChanged(_Success):
    """One description as it is now."""

    session_id: str
    scene: DescribedScene


class ScenesStarted(_Success):
    """The job is on record and runs on, whoever watches."""

    message: str
    job_id: str
    session_id: str
    status_url: StatusUrl
    joined: bool = Field(description="This press joined a job that was under way; nothing new was ordered")
    provider: str
    resumed_job_id: str | None = Field(default=None, description="The job whose missing scenes these are")


#: jobs of the other contracts are read in this one's words too: their one scene is of no scenario
SceneName = Scenario | Literal["clip"]


class SceneProgress(_Answer):
    """How far one scene is, and what came of it."""

    scenario: SceneName = Field(description="`clip`: the video of a job without a session")
    status: SceneStatus = Field(description="A cancelled scene is `failed` with the error `cancelled`")
    progress: Percent = Field(description="10 created, 30 sent, 70 generated, 80 downloaded, 100 complete")
    video_url: VideoUrl | None
    error: str | None = Field(description="One sentence; null unless failed")
    error_code: str | None
    provider_code: str | None = Field(description="The provider's own word for it")
    retryable: bool | None = Field(description="Whether pressing regenerate unchanged has a chance")
    stage: Stage | Literal["reconciling"]
    note: str | None = Field(description="What the scene waits for")
    queue_position: int | None = Field(description="From 1, while it waits for a slot")
    eta: ScenesEta | None = Field(description="Null without enough experience")
    tries: int = Field(description="Tasks ordered at the provider so far")
    take: int
    model: str
    cost_usd: Usd


class ScenesJob(_Answer):
    """How far a job is."""

    job_id: str
    overall_status: JobStatus = Field(description="`partial`: some scenes were made, some not, none moves")
    scenes: list[SceneProgress] = Field(description="In running order: hook, problem, solution, cta")
    progress: Percent
    session_id: str | None = Field(description="Null: a job of another API, which has no session")
    provider: str
    eta: ScenesEta | None
    poll_after_ms: int | None = Field(description="When to ask again; null once it is over")
    created_at: datetime
    finished_at: datetime | None


class ScenesCancelled(_Success):
    """What has ended, and what the provider goes on with."""

    message: str
    job_id: str
    overall_status: JobStatus
    cancelled: list[SceneName]
    still_billed: list[SceneName] = Field(description="Sent already: the provider finishes and bills them")
    status_url: StatusUrl


class SceneRegenerated(_Success):
    """The new take."""

    message: str
    video_url: VideoUrl
    scenario: Scenario
    session_id: str
    job_id: str
    take: int
    provider: str


class SceneRegenerationStarted(_Success):
    """The new take is under way."""

    message: str
    job_id: str
    scenario: Scenario
    session_id: str
    status_url: StatusUrl
