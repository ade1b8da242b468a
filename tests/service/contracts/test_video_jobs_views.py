"""Every state in the words of document 001: the pure function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.contracts.video_jobs_logs import WORDS
from service.contracts.video_jobs_replies import VideoJob
from service.contracts.video_jobs_views import job_body
from service.contracts.videos import VideoAddresses
from service.links import Links
from service.outlook import Outlook, Range, SceneOutlook
from sessions import lifecycle
from sessions.lifecycle import Transition
from sessions.model import (
    CLOSED,
    Event,
    EventKind,
    Job,
    JobSnapshot,
    JobState,
    Scene,
    SceneFailure,
    SceneState,
)
from sessions.rollup import job_state
from tests.sessions.making import a_take

BASE = "https://video.example.com"
PLAIN = VideoAddresses(None, BASE)
ID = "00000000-0000-4000-8000-000000000000"
START = datetime(2026, 3, 1, 10, 30, 0, 500_000, tzinfo=UTC)
LOST = SceneFailure(code="safety", message="The prompt was refused", retryable=False)
ASKED = {
    "prompt": "A sunset",
    "model": "veo-3.1-fast-generate-preview",
    "resolution": "1080p",
    "aspectRatio": "16:9",
    "durationSeconds": 8,
    "generateAudio": False,
    "mockMode": False,
    "charged": 50,
}

VERBS: dict[str, Callable[[Scene, datetime], Transition]] = {
    "start": lifecycle.start,
    "sent": lifecycle.sent,
    "tick": lambda scene, now: lifecycle.tick(scene, 45, now),
    "generated": lambda scene, now: lifecycle.generated(scene, "https://x/y.mp4", 0.2, f"{ID}.mp4", now),
    "downloaded": lifecycle.downloaded,
    "succeed": lambda scene, now: lifecycle.succeed(scene, a_take(scene), now),
    "fail": lambda scene, now: lifecycle.fail(scene, LOST, now),
    "retry": lambda scene, now: lifecycle.retry(scene, LOST, ID, now),
    "reconcile": lifecycle.reconcile,
    "cancel": lifecycle.cancel,
    "put back": lifecycle.put_back,
}

ON = ("start", "sent")
MADE = (*ON, "generated", "downloaded", "succeed")


def history(*verbs: str, owner: str | None = "ann", **changes: Any) -> tuple[JobSnapshot, list[Event]]:
    """A clip to which this has happened, a second after another."""
    now = START
    values: dict[str, Any] = {
        "terms": "video_jobs",
        "asked": ASKED,
        **{name: changes.pop(name) for name in ("terms", "asked") if name in changes},
    }
    job = Job(id=ID, session_id=None, owner=owner, created_at=START, **values)
    scene = Scene(
        **{
            "id": ID,
            "job_id": ID,
            "session_id": None,
            "scenario": None,
            "take": 1,
            "prompt": "A sunset",
            "model": "google:3@3",
            "provider": "runware",
            "seconds": 8.0,
            "width": 1920,
            "height": 1080,
            "task_id": ID,
            "created_at": START,
            "updated_at": START,
            **changes,
        }
    )
    events = [Event(job_id=ID, scene_id=ID, kind=EventKind.QUEUED, at=START, seq=1)]
    for verb in verbs:
        now += timedelta(seconds=1)
        change = VERBS[verb](scene, now)
        scene = change.after
        if change.event:
            events.append(replace(change.event, seq=len(events) + 1))
    state = job_state([scene.state])
    job = replace(job, state=state, finished_at=now if state in CLOSED else None)
    return JobSnapshot(job=job, scenes=(scene,)), events


def said(
    snapshot: JobSnapshot, events: Sequence[Event] = (), outlook: Outlook | None = None, **how: Any
) -> dict[str, Any]:
    values: dict[str, Any] = {"base": BASE, "addresses": PLAIN, "now": START, **how}
    body = job_body(snapshot, events, outlook or Outlook(), **values)
    VideoJob.model_validate(body)
    return body


#: what has happened: status, percent, tokens, what is there besides
GOLDEN: dict[tuple[str, ...], tuple[str, int, int, set[str]]] = {
    (): ("PENDING", 0, 50, set()),
    ("start",): ("RUNNING", 10, 50, set()),
    ON: ("RUNNING", 30, 50, set()),
    (*ON, "tick"): ("RUNNING", 45, 50, set()),
    (*ON, "reconcile"): ("RUNNING", 30, 50, set()),
    (*ON, "generated"): ("RUNNING", 70, 50, set()),
    (*ON, "generated", "downloaded"): ("RUNNING", 80, 50, set()),
    ("start", "put back"): ("PENDING", 10, 50, set()),
    (*ON, "tick", "retry"): ("PENDING", 45, 50, set()),
    MADE: ("SUCCEEDED", 100, 50, {"completedAt", "cloudinaryUrl"}),
    (*ON, "fail"): ("FAILED", 30, 0, {"completedAt", "errorMessage", "errorCode", "retryable"}),
    ("cancel",): ("CANCELLED", 0, 0, {"completedAt"}),
    (*ON, "cancel"): ("CANCELLED", 30, 50, {"completedAt"}),
    (*ON, "cancel", "fail"): ("CANCELLED", 30, 0, {"completedAt"}),
    (*ON, "cancel", *MADE[2:]): ("CANCELLED", 30, 50, {"completedAt", "cloudinaryUrl"}),
}

ALWAYS = [
    "id",
    "userId",
    "prompt",
    "model",
    "resolution",
    "aspectRatio",
    "durationSeconds",
    "generateAudio",
    "mockMode",
    "status",
    "statusMessage",
    "progressPercentage",
    "logs",
    "tokensConsumed",
    "createdAt",
    "updatedAt",
]


@pytest.mark.parametrize("verbs", GOLDEN, ids=lambda verbs: " ".join(verbs) or "new")
def test_each_state_has_its_body(verbs: tuple[str, ...]) -> None:
    status, percent, tokens, besides = GOLDEN[verbs]
    body = said(*history(*verbs))
    assert list(body)[: len(ALWAYS)] == ALWAYS
    assert set(body) - set(ALWAYS) == besides
    assert (body["status"], body["progressPercentage"], body["tokensConsumed"]) == (status, percent, tokens)
    assert body["createdAt"] == "2026-03-01T10:30:00Z"
    if "cloudinaryUrl" in besides:
        assert body["cloudinaryUrl"] == f"{BASE}/outputs/{ID}.mp4"
    if "errorMessage" in besides:
        assert body["errorMessage"] == LOST.message


def test_no_state_is_forgotten() -> None:
    snapshots = [history(*verbs)[0] for verbs in GOLDEN]
    assert {scene.state for it in snapshots for scene in it.scenes} == set(SceneState)
    assert {it.job.state for it in snapshots} == set(JobState) - {JobState.PARTIAL}
    assert set(WORDS) == set(EventKind)


def test_the_logs_of_a_video() -> None:
    body = said(*history(*MADE))
    assert [(line["level"], line["message"]) for line in body["logs"]] == [
        ("info", "📝 Job created"),
        ("info", "🚀 Starting video generation"),
        ("info", "☁️  Calling Google Veo API..."),
        ("info", "🎬 Video generated, downloading it"),
        ("info", "💾 Video saved"),
        ("success", "✅ Video generation completed successfully!"),
    ]
    assert [line["timestamp"][-3:] for line in body["logs"]] == ["00Z", "01Z", "02Z", "03Z", "04Z", "05Z"]


def test_the_logs_of_one_that_is_ordered_again() -> None:
    body = said(*history(*ON, "retry", "start", "fail"))
    assert [(line["level"], line["message"]) for line in body["logs"]][3:] == [
        ("warning", "🔁 No video came, it is ordered again: The prompt was refused"),
        ("info", "🔄 Video generation taken up again"),
        ("error", "❌ Video generation failed: The prompt was refused"),
    ]


def test_nothing_is_told_before_it_is_shown() -> None:
    """The events may have been read later than the snapshot was made."""
    snapshot, _ = history(*ON)
    _, events = history(*MADE)
    assert len(said(snapshot, events)["logs"]) == 3


def test_a_removed_video_has_no_address() -> None:
    snapshot, events = history(*MADE)
    removed = replace(snapshot, scenes=(replace(snapshot.scenes[0], removed_at=START),))
    body = said(removed, events)
    assert (body["status"], "cloudinaryUrl" in body) == ("SUCCEEDED", False)


def test_a_copy_at_the_delivery_network_goes_before_ours() -> None:
    url = f"https://res.cloudinary.com/demo/video/upload/v123/ai_studio/videos/{ID}.mp4"
    snapshot, events = history(*MADE)
    copied = replace(snapshot, scenes=(replace(snapshot.scenes[0], mirror_url=url),))
    assert said(copied, events)["cloudinaryUrl"] == url


def test_a_known_users_video_has_a_signed_address() -> None:
    links = Links(bytes(32), hours=24, now=lambda: START)
    url = said(*history(*MADE), addresses=VideoAddresses(links, BASE))["cloudinaryUrl"]
    path, _, query = url.removeprefix(BASE).partition("?")
    assert path == f"/outputs/{ID}.mp4"
    assert links.valid(f"{ID}.mp4", query)


@pytest.mark.parametrize(
    ("width", "height", "resolution", "ratio"),
    [
        (1280, 720, "720p", "16:9"),
        (720, 1280, "720p", "9:16"),
        (960, 960, "960p", "1:1"),
        (1366, 768, "768p", "16:9"),
        (854, 480, "480p", "16:9"),
        (960, 720, "720p", "4:3"),
        (1080, 1440, "1080p", "3:4"),
    ],
)
@pytest.mark.parametrize("terms", ["scenes", "gallery", "credits", "no more"])
def test_a_job_that_was_ordered_in_other_words(
    terms: str, width: int, height: int, resolution: str, ratio: str
) -> None:
    foreign = {"prompt": {"what": "ever"}, "model": 7, "resolution": "hd_720p", "charged": 9}
    snapshot, events = history(*MADE, terms=terms, asked=foreign, width=width, height=height, seconds=5.5)
    body = said(snapshot, events)
    assert (body["resolution"], body["aspectRatio"], body["durationSeconds"]) == (resolution, ratio, 5.5)
    assert (body["prompt"], body["model"], body["generateAudio"]) == ("A sunset", "google:3@3", True)
    assert body["tokensConsumed"] == 0


def test_what_lies_ahead() -> None:
    later = Range(earliest=START + timedelta(seconds=60), latest=START + timedelta(seconds=90.2))
    queued, events = history()
    outlook = Outlook(scenes={ID: SceneOutlook(queue_position=2, eta=later)}, eta=later)
    body = said(queued, events, outlook, notes={ID: "Waiting for others"})
    assert body["queuePosition"] == 2
    assert body["estimatedWaitSeconds"] == 91
    assert body["note"] == "Waiting for others"
    assert "estimatedCompletionAt" not in body
    running, events = history(*ON)
    body = said(running, events, Outlook(scenes={ID: SceneOutlook(eta=later)}, eta=later))
    assert body["estimatedCompletionAt"] == "2026-03-01T10:31:30Z"
    assert not {"queuePosition", "estimatedWaitSeconds", "note"} & set(body)


def test_a_preview_says_that_it_is_one() -> None:
    lines = [line["message"] for line in said(*history(*ON, provider="local"))["logs"]]
    assert lines[-2:] == [
        "☁️  Calling Google Veo API...",
        "🧪 Mock mode: a local preview stands in for the video",
    ]


def test_who_is_nobody_has_a_name() -> None:
    assert said(*history(owner=None))["userId"] == "anonymous"
