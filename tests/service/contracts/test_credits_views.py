"""Jobs and videos in the words of document 004: pure, so every state can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.contracts import credits_replies as replies
from service.contracts.credits_videos import video_body
from service.contracts.credits_views import (
    active_line,
    is_gone,
    remaining_seconds,
    result_body,
    status_body,
    status_good_for,
)
from service.outlook import Outlook, Range
from sessions.model import (
    Frames,
    Job,
    JobSnapshot,
    JobState,
    Scene,
    SceneFailure,
    SceneState,
    Stage,
    Take,
    Video,
)
from sessions.rollup import job_state

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=100)
QUEUED = Scene(
    id="job",
    job_id="job",
    session_id=None,
    scenario=None,
    take=1,
    prompt="A lamp",
    model="lamp",
    provider="local",
    seconds=5.0,
    width=1280,
    height=720,
    task_id="task",
    created_at=NOW,
    updated_at=NOW,
)
STARTING = replace(QUEUED, state=SceneState.RUNNING, stage=Stage.CREATED, progress=10, submitted_at=NOW)
SENT = replace(STARTING, stage=Stage.SENT, progress=45)
MADE = replace(SENT, stage=Stage.GENERATED, progress=70, generated_at=LATER)
FETCHED = replace(MADE, stage=Stage.DOWNLOADED, progress=80)
DONE = replace(MADE, state=SceneState.SUCCEEDED, stage=Stage.COMPLETE, progress=100, file="x.mp4")
LATE = replace(SENT, state=SceneState.RECONCILING)
FAILED = replace(
    SENT, state=SceneState.FAILED, failure=SceneFailure(code="provider", message="It broke", retryable=True)
)
CANCELLED = replace(QUEUED, state=SceneState.CANCELLED)
KEPT = replace(CANCELLED, stage=Stage.COMPLETE)
REMOVED = replace(DONE, removed_at=LATER)
TAKE = Take(
    id="take",
    session_id=None,
    scene_id="job",
    scenario=None,
    number=1,
    file="x.mp4",
    prompt="A lamp",
    model="lamp",
    provider="local",
    seconds=5.041666,
    width=1280,
    height=720,
    size=1000,
    cost_usd=None,
    created_at=LATER,
)


def job_of(*scenes: Scene, **changes: Any) -> JobSnapshot:
    state = job_state([scene.state for scene in scenes])
    over = all(scene.terminal for scene in scenes)
    values: dict[str, Any] = {"finished_at": LATER if over else None, **changes}
    return JobSnapshot(
        job=Job(id="job", session_id=None, created_at=NOW, state=state, **values), scenes=scenes
    )


@pytest.mark.parametrize(
    ("scenes", "word", "progress", "step", "error"),
    [
        ([QUEUED], "queued", 0.0, "Waiting in the queue", None),
        (
            [replace(SENT, state=SceneState.QUEUED, stage=Stage.WAITING)],
            "queued",
            0.45,
            "Waiting in the queue",
            None,
        ),
        ([STARTING], "starting", 0.1, "Starting video generation", None),
        ([SENT], "processing", 0.45, "Generating video", None),
        ([LATE], "processing", 0.45, "Waiting for the provider's verdict, which is late", None),
        ([MADE], "processing", 0.7, "Downloading video", None),
        ([FETCHED], "processing", 0.8, "Storing video", None),
        ([DONE], "completed", 1.0, "Completed", None),
        ([FAILED], "failed", 0.45, "Failed", "It broke"),
        ([CANCELLED], "cancelled", 0.0, "Cancelled", "Cancelled by user"),
        ([CANCELLED, FAILED], "failed", 0.22, "Failed", "It broke"),
        ([QUEUED, STARTING], "starting", 0.05, "Waiting in the queue", None),
        ([STARTING, SENT], "processing", 0.27, "Starting video generation", None),
        ([DONE, SENT], "processing", 0.72, "Generating video", None),
        ([DONE, FAILED, CANCELLED], "completed", 1.0, "Completed in part", None),
    ],
)
def test_a_status_for_every_state(
    scenes: Sequence[Scene], word: str, progress: float, step: str, error: str | None
) -> None:
    body = status_body(job_of(*scenes), Outlook(poll_after_ms=3000), LATER)
    replies.CreditsStatus.model_validate(body, strict=False)
    assert (body["status"], body["progress"], body["error"]) == (word, progress, error)
    assert body["generation_info"]["current_step"] == step
    assert body["metadata"] == {"partial": len(scenes) == 3}


def test_a_status_in_full() -> None:
    moved = replace(SENT, updated_at=LATER)
    assert status_body(job_of(moved), Outlook(poll_after_ms=3000), LATER) == {
        "success": True,
        "job_id": "job",
        "status": "processing",
        "progress": 0.45,
        "generation_info": {"current_step": "Generating video", "estimated_remaining_seconds": 140},
        "created_at": "2026-03-01T00:00:00+00:00",
        "updated_at": "2026-03-01T00:01:40+00:00",
        "progress_percent": 45,
        "generation_type": "text_to_video",
        "metadata": {"partial": False},
        "error": None,
        "poll_after_ms": 3000,
    }


def test_what_a_scene_waits_for_is_said() -> None:
    body = status_body(job_of(SENT), Outlook(), NOW, {"job": "The provider asks for a pause"})
    assert body["generation_info"]["current_step"] == "The provider asks for a pause"
    done = status_body(job_of(DONE), Outlook(), NOW, {"job": "The provider asks for a pause"})
    assert done["generation_info"]["current_step"] == "Completed"


@pytest.mark.parametrize(
    ("scene", "eta", "now", "remaining"),
    [
        (QUEUED, None, 0, 240.0),
        (SENT, None, 239, 1.0),
        (SENT, None, 1000, 0.0),
        (replace(SENT, frames=Frames(first="x")), None, 60, 120.0),
        (SENT, 50, 10, 40.0),
        (SENT, 50, 60, 0.0),
        (DONE, None, 10, 0.0),
        (FAILED, None, 10, 0.0),
    ],
)
def test_remaining_time_is_from_experience_or_from_the_document(
    scene: Scene, eta: int | None, now: int, remaining: float
) -> None:
    def at(seconds: int) -> datetime:
        return NOW + timedelta(seconds=seconds)

    outlook = Outlook(eta=None if eta is None else Range(earliest=at(0), latest=at(eta)))
    assert remaining_seconds(job_of(scene), outlook, at(now)) == remaining


@pytest.mark.parametrize(("seconds", "good_for"), [(0, 5.0), (1, 4.0), (4, 1.0), (5, 5.0), (7.5, 2.5)])
def test_a_status_is_good_until_its_time_has_another_step(seconds: float, good_for: float) -> None:
    now = NOW + timedelta(seconds=seconds)
    assert status_good_for(job_of(SENT), Outlook(), now) == good_for
    assert status_good_for(job_of(SENT), Outlook(good_for=0.5), now) == 0.5
    before = status_body(job_of(SENT), Outlook(), now + timedelta(seconds=good_for - 0.01))
    after = status_body(job_of(SENT), Outlook(), now + timedelta(seconds=good_for))
    told = [it["generation_info"]["estimated_remaining_seconds"] for it in (before, after)]
    assert told[0] - told[1] == 5


def test_an_overdue_status_is_good_until_something_happens() -> None:
    assert status_good_for(job_of(SENT), Outlook(), NOW + timedelta(hours=1)) == float("inf")


@pytest.mark.parametrize(
    ("scenes", "hours", "after", "gone"),
    [
        ([DONE], 24, timedelta(hours=23, minutes=59), False),
        ([DONE], 24, timedelta(hours=24), True),
        ([FAILED], 24, timedelta(hours=24), True),
        ([CANCELLED], 24, timedelta(hours=24), True),
        ([DONE], None, timedelta(days=400), False),
        ([SENT], 24, timedelta(days=400), False),
        ([REMOVED], None, timedelta(0), True),
        ([REMOVED, DONE], None, timedelta(0), False),
        ([REMOVED, FAILED], None, timedelta(0), True),
        ([KEPT], None, timedelta(0), False),
        ([replace(KEPT, removed_at=LATER)], None, timedelta(0), True),
    ],
)
def test_what_is_gone(scenes: Sequence[Scene], hours: float | None, after: timedelta, gone: bool) -> None:
    assert is_gone(job_of(*scenes), LATER + after, hours) is gone


@pytest.mark.parametrize("scene", [QUEUED, STARTING, SENT, LATE, MADE])
def test_a_result_that_is_not_ready(scene: Scene) -> None:
    body = result_body(job_of(scene), [], {})
    replies.CreditsNotReady.model_validate(body)
    assert (body["success"], body["status"]) == (True, "processing")


@pytest.mark.parametrize(
    ("scene", "status", "error"),
    [
        (FAILED, "failed", "It broke"),
        (CANCELLED, "cancelled", "Cancelled by user"),
        (
            KEPT,
            "cancelled",
            "Cancelled by user; its video had been sent for already and is kept among the videos",
        ),
    ],
)
def test_a_result_without_a_video(scene: Scene, status: str, error: str) -> None:
    body = result_body(job_of(scene), [], {})
    replies.CreditsFailed.model_validate(body)
    assert body == {"success": False, "job_id": "job", "status": status, "error": error}


def test_a_result() -> None:
    asked = {
        "prompt": "A lamp",
        "duration": "short",
        "resolution": "hd_1080p",
        "aspect_ratio": "1:1",
        "camera_fixed": True,
        "reference_person": {"person_id": "p", "relationship": None},
    }
    snapshot = job_of(DONE, owner="ann", terms="credits", asked=asked)
    video = Video(take=TAKE, scene=DONE, job=snapshot.job)
    body = result_body(snapshot, [video], {"take": "https://x.example/x.mp4"})
    replies.CreditsResult.model_validate(body, strict=False)
    assert body == {
        "success": True,
        "job_id": "job",
        "status": "completed",
        "video": {
            "id": "take",
            "user_id": "ann",
            "url": "https://x.example/x.mp4",
            "thumbnail_url": None,
            "prompt": "A lamp",
            "generation_type": "text_to_video",
            "source_image_url": None,
            "duration_seconds": 5.04,
            "resolution": "hd_1080p",
            "aspect_ratio": "1:1",
            "reference_person": {"person_id": "p", "relationship": None},
            "metadata": {
                "job_id": "job",
                "model": "lamp",
                "provider": "local",
                "width": 1280,
                "height": 720,
                "size_bytes": 1000,
                "camera_fixed": True,
                "partial": False,
            },
            "is_favorited": False,
            "created_at": "2026-03-01T00:01:40+00:00",
            "updated_at": "2026-03-01T00:01:40+00:00",
        },
        "generation_info": {"model_used": "lamp", "generation_time_ms": 100_000},
    }


@pytest.mark.parametrize(
    ("width", "height", "resolution", "ratio"),
    [
        (1280, 720, "hd_720p", "16:9"),
        (720, 1280, "hd_720p", "9:16"),
        (960, 960, "hd_720p", "1:1"),
        (1366, 768, "hd_720p", "16:9"),
        (640, 480, "sd_480p", "4:3"),
        (3840, 2160, "4k_2160p", "16:9"),
        (1080, 1440, "hd_1080p", "3:4"),
        (256, 144, "sd_480p", "16:9"),
    ],
)
def test_what_was_not_asked_for_follows_from_the_file(
    width: int, height: int, resolution: str, ratio: str
) -> None:
    job = job_of(DONE).job
    body = video_body(Video(take=replace(TAKE, width=width, height=height), scene=DONE, job=job), "u")
    assert (body["resolution"], body["aspect_ratio"]) == (resolution, ratio)


def test_words_of_another_contract_are_not_taken_for_ours() -> None:
    asked = {"prompt": "Other", "resolution": "1080p", "aspect_ratio": "21:9", "image_url": 5}
    scene = replace(DONE, frames=Frames(first="https://x.example/lamp.png"))
    body = video_body(
        Video(take=TAKE, scene=scene, job=job_of(scene, terms="video_jobs", asked=asked).job), "u"
    )
    assert (body["prompt"], body["resolution"], body["aspect_ratio"]) == ("A lamp", "hd_720p", "16:9")
    assert (body["generation_type"], body["source_image_url"]) == (
        "image_to_video",
        "https://x.example/lamp.png",
    )
    ours = replace(scene, frames=Frames(first="a-name-of-ours.png"))
    assert video_body(Video(take=TAKE, scene=ours, job=job_of(ours).job), "u")["source_image_url"] is None


def test_a_line_of_an_active_job() -> None:
    body = active_line(job_of(replace(SENT, frames=Frames(first="x"))), Outlook(), LATER)
    replies.CreditsActiveJob.model_validate(body, strict=False)
    assert body == {
        "job_id": "job",
        "status": "processing",
        "generation_type": "image_to_video",
        "created_at": "2026-03-01T00:00:00+00:00",
        "estimated_completion_seconds": 180,
        "estimated_remaining_seconds": 80,
        "progress": 0.45,
    }


def test_every_state_of_a_job_has_a_word() -> None:
    words = {
        status_body(replace(job_of(SENT), job=replace(job_of(SENT).job, state=state)), Outlook(), NOW)[
            "status"
        ]
        for state in JobState
    }
    assert words == {"queued", "processing", "completed", "failed", "cancelled"}
