"""The nouns: Session, SceneDescription, Job, Scene, Take, Event.

All are frozen, keyword-only and without I/O. Ids are lower-case UUID strings, times
are aware UTC, durations are seconds, prices are US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Scenario(StrEnum):
    """The part a scene plays in a marketing video, in running order."""

    HOOK = "hook"  #: catches the eye in the first seconds
    PROBLEM = "problem"  #: names what hurts
    SOLUTION = "solution"  #: shows the product doing its work
    CTA = "cta"  #: call to action


class Stage(StrEnum):
    """How far a scene has come. A stage is reached once and never left backwards."""

    WAITING = "waiting"  #: put by ``studio.generate``: nobody works on it yet
    CREATED = "created"  #: put by the runner: the request is being prepared
    SENT = "sent"  #: the provider has acknowledged the task
    GENERATED = "generated"  #: the provider has finished; its result is on record
    DOWNLOADED = "downloaded"  #: the file is ours: complete, checked, on disk under its name
    COMPLETE = "complete"  #: the take is on record and in the session


class SceneState(StrEnum):
    """Whether a scene still moves."""

    QUEUED = "queued"  #: in by ``studio.generate``; out by the runner or a cancel
    RUNNING = "running"  #: in by the runner; out by success, failure, a retry or a cancel
    RECONCILING = "reconciling"  #: in when the provider gave no verdict in time; asked for on a slow schedule
    SUCCEEDED = "succeeded"  #: in by the recipe, together with its take
    FAILED = "failed"  #: in by the runner, with a reason
    CANCELLED = "cancelled"  #: in by a caller


class JobState(StrEnum):
    """The roll-up of a job's scenes (see ``rollup``)."""

    QUEUED = "queued"  #: no scene has started
    RUNNING = "running"  #: at least one scene still moves
    SUCCEEDED = "succeeded"  #: every scene succeeded
    PARTIAL = "partial"  #: some succeeded, some did not, none moves
    FAILED = "failed"  #: none succeeded
    CANCELLED = "cancelled"  #: all were cancelled


#: a scene in one of these never changes its state again
TERMINAL = frozenset({SceneState.SUCCEEDED, SceneState.FAILED, SceneState.CANCELLED})

#: a job in one of these never changes again
CLOSED = frozenset({JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})


class EventKind(StrEnum):
    """What happened; the logs of the contracts are worded from these."""

    QUEUED = "queued"  #: the scene was accepted with its job
    STARTED = "started"  #: a runner took the scene, for the first time or after a restart
    SENT = "sent"  #: acknowledged by the provider
    GENERATED = "generated"
    DOWNLOADED = "downloaded"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRIED = "retried"  #: the task ended without a video; another one, under a new UUID, takes its place
    RECONCILING = "reconciling"  #: no verdict in time; the provider is asked on a slow schedule
    KEPT = "kept"  #: a video came although the scene had been cancelled, and is kept as a take
    GIVEN_UP = "given_up"  #: no video came after a cancel


class Lane(StrEnum):
    """Whose work goes first where slots are scarce."""

    INTERACTIVE = "interactive"  #: somebody is waiting for it
    BATCH = "batch"  #: may take its time


@dataclass(frozen=True, kw_only=True)
class Brief:
    """What the marketing person wants; unset fields are decided by the model's defaults."""

    product: str
    audience: str | None = None
    tone: str | None = None
    offer: str | None = None
    language: str = "en"
    aspect_ratio: str | None = None  #: such as ``16:9``
    seconds_per_scene: float | None = None
    model: str | None = None  #: a key of the catalogue in config.toml
    product_image_url: str | None = None  #: shown to models that take images
    logo_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class SceneDescription:
    """What one scene shall show. ``description`` alone is a complete scene."""

    scenario: Scenario
    description: str = ""
    visual_description: str | None = None
    camera_work: str | None = None
    lighting: str | None = None
    audio_design: str | None = None
    background_music: str | None = None
    sound_effects: str | None = None
    dialog_narration: str | None = None
    duration: float | None = None  #: seconds; overrides the brief's
    approved: bool = False
    version: int = 0  #: counts the writes; 0 is not stored yet

    @property
    def complete(self) -> bool:
        """Whether there is anything to film."""
        return bool(self.description.strip() or (self.visual_description or "").strip())

    def prompt(self, *, with_sound: bool) -> str:
        """The description and its details as one text; a model without sound is not told of any."""
        lead = self.description.strip() or (self.visual_description or "").strip()
        details = {
            "Visuals": self.visual_description,
            "Camera": self.camera_work,
            "Lighting": self.lighting,
        }
        if with_sound:
            details |= {
                "Audio": self.audio_design,
                "Music": self.background_music,
                "Sound effects": self.sound_effects,
                "Narration": self.dialog_narration,
            }
        lines = [f"{name}: {text.strip()}" for name, text in details.items() if text and text.strip()]
        return "\n".join([lead, *(line for line in lines if line != f"Visuals: {lead}")])


@dataclass(frozen=True, kw_only=True)
class Take:
    """One finished file of a scene. Takes are kept; one is chosen as the session's video."""

    id: str
    session_id: str | None  #: whose video it may be; None for a clip on its own
    scene_id: str
    scenario: Scenario | None
    number: int  #: counts the attempts to film this scenario, from 1
    file: str  #: name inside the outputs storage
    prompt: str
    model: str
    provider: str
    seconds: float
    width: int
    height: int
    size: int  #: bytes
    cost_usd: float | None
    created_at: datetime
    late: bool = False  #: came after its scene was cancelled; chosen only where there is no other
    favorite: bool = False  #: marked by its owner
    changed_at: datetime | None = None  #: when its owner marked it last


@dataclass(frozen=True, kw_only=True)
class Session:
    """A brief, its scene descriptions and the takes made from them (oldest first)."""

    id: str
    brief: Brief
    created_at: datetime
    updated_at: datetime
    owner: str | None = None  #: the user whose it is; None: whoever knows its id may use it
    descriptions: Mapping[Scenario, SceneDescription] = field(default_factory=dict)
    takes: tuple[Take, ...] = ()

    @property
    def videos(self) -> tuple[Take, ...]:
        """The chosen take of each scenario, in running order: the newest that nobody had cancelled."""
        chosen: dict[Scenario, Take] = {}
        for take in sorted(self.takes, key=lambda take: (not take.late, take.number)):
            if take.scenario:
                chosen[take.scenario] = take
        return tuple(chosen[scenario] for scenario in Scenario if scenario in chosen)


@dataclass(frozen=True, kw_only=True)
class SceneFailure:
    """Why a scene failed, for people and for programs."""

    code: str
    message: str
    retryable: bool
    provider_code: str | None = None  #: the provider's own word, where it has one


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Images that a video is made from: public addresses, or names in the uploads storage."""

    first: str | None = None  #: what the video begins with
    last: str | None = None  #: what it ends with
    references: tuple[str, ...] = ()  #: who and what is to be seen in it

    def __bool__(self) -> bool:
        return bool(self.first or self.last or self.references)


NO_FRAMES = Frames()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One shot of a job: what to make, how far it has come, what came of it."""

    id: str
    job_id: str
    session_id: str | None  #: None for a clip on its own
    scenario: Scenario | None  #: None for a clip on its own
    take: int  #: the number its take will carry
    prompt: str
    model: str
    provider: str
    seconds: float
    width: int
    height: int
    frames: Frames = NO_FRAMES
    sound: bool = True  #: whether the video shall have any, if its model can make it
    task_id: str  #: the provider task's UUID, on record long before anything is sent
    created_at: datetime
    updated_at: datetime
    state: SceneState = SceneState.QUEUED
    stage: Stage = Stage.WAITING
    progress: int = 0  #: percent, never falls
    attempt: int = 0  #: how many times the scene changed hands (runners, a cancel); a fence for writes
    tries: int = 1  #: tasks ordered so far; a retry orders another one
    submitted_at: datetime | None = None  #: when the task may have left; None: it surely has not
    generated_at: datetime | None = None  #: when the provider was known to be done
    result: str | None = None  #: where the provider put its result (URL or path)
    cost_usd: float | None = None  #: as reported by the provider
    file: str | None = None  #: name inside the outputs storage; reserved from "generated" on
    mirror_url: str | None = None  #: where a delivery network has a copy of the file
    removed_at: datetime | None = None  #: when its owner deleted the video, file and all
    failure: SceneFailure | None = None
    owed: bool = False  #: cancelled, but the provider may still deliver what it bills

    @property
    def name(self) -> str:
        """What people call it."""
        return self.scenario.value if self.scenario else "clip"

    @property
    def terminal(self) -> bool:
        """Whether the state is final."""
        return self.state in TERMINAL

    @property
    def settled(self) -> bool:
        """Whether there is nothing more to do: final, and no video is owed."""
        return self.terminal and not self.owed


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request, for scenes of a session or a clip on its own; its state is the roll-up of its scenes."""

    id: str
    session_id: str | None  #: None for a clip on its own
    created_at: datetime
    owner: str | None = None  #: the user whose it is; None: whoever knows its id may use it
    terms: str = "scenes"  #: under which of config.toml's [terms] it was ordered
    asked: Mapping[str, Any] = field(default_factory=dict)  #: the request's own words, to be echoed
    state: JobState = JobState.QUEUED
    lane: Lane = Lane.INTERACTIVE
    finished_at: datetime | None = None
    deleted_at: datetime | None = None  #: by its owner: there for nobody any more, except the ledger

    @property
    def closed(self) -> bool:
        return self.state in CLOSED


@dataclass(frozen=True, kw_only=True)
class JobSnapshot:
    """A job with its scenes, in running order, as they were at one moment."""

    job: Job
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, kw_only=True)
class Video:
    """A take with the scene and the job that it comes from."""

    take: Take
    scene: Scene
    job: Job


@dataclass(frozen=True, kw_only=True)
class GalleryVideo:
    """A row of the gallery: of ``generated_videos`` or of ``created_videos`` (document 000)."""

    id: str  #: of the scene
    from_image: bool  #: a row of ``generated_videos``
    owner: str | None
    task_id: str | None  #: the provider task's UUID; of generated videos only
    prompt: str
    status: str  #: generating, completed or failed
    video_url: str | None
    metadata: Mapping[str, Any]  #: of generated videos only
    seconds: int | None  #: of created videos only
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class JobFigures:
    """How many jobs there are, and how long they take."""

    by_state: Mapping[JobState, int]
    last_finished_at: datetime | None
    average_seconds: float | None  #: from creation to the end, of the newest finished ones


@dataclass(frozen=True, kw_only=True)
class Event:
    """A kept transition of a scene."""

    job_id: str
    scene_id: str
    kind: EventKind
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0  #: its place in the order of all events; 0 until it is stored


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How long the provider took for one clip; what estimates are learned from."""

    model: str
    seconds: float  #: length of the clip
    width: int
    height: int
    took: float  #: from submission to the known end, in seconds
