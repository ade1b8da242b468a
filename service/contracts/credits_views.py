"""Nouns in the words of the credit-jobs contract (document 004).

Functions of what is known and of the time, so that any job can be read in these words, whichever
contract it was ordered by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from service.contracts.credits_bodies import GenerationType
from service.contracts.credits_videos import generation_type, video_body
from service.contracts.videos import has_video
from service.outlook import Outlook
from sessions.ledger import Balance, Currency
from sessions.model import (
    CLOSED,
    Job,
    JobFigures,
    JobSnapshot,
    JobState,
    Scene,
    SceneState,
    Stage,
    Video,
)
from sessions.progress import reached
from sessions.rollup import job_progress

#: how long a video takes where experience says nothing, in seconds (document 004, S4-D2)
EXPECTED_SECONDS: Mapping[GenerationType, int] = MappingProxyType(
    {"text_to_video": 240, "image_to_video": 180}
)

#: the remaining time is told in steps, so that an unchanged status stays the same byte for byte, in seconds
REMAINING_STEP = 5

STARTED = "Video generation started. Use the job_id to check status."
_IN_PROGRESS = "Video generation still in progress"
_CANCELLED = "Cancelled by user"
_CANCELLED_BUT_KEPT = "Cancelled by user; its video had been sent for already and is kept among the videos"

_STATUS = {
    JobState.QUEUED: "queued",
    JobState.RUNNING: "processing",
    JobState.SUCCEEDED: "completed",
    JobState.PARTIAL: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}

#: what is being done, by the stage of the scene that is furthest behind
_STEPS = {
    Stage.WAITING: "Waiting in the queue",
    Stage.CREATED: "Starting video generation",
    Stage.SENT: "Generating video",
    Stage.GENERATED: "Downloading video",
    Stage.DOWNLOADED: "Storing video",
    Stage.COMPLETE: "Completed",
}
_ENDS = {
    JobState.SUCCEEDED: "Completed",
    JobState.PARTIAL: "Completed in part",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}


def status_word(snapshot: JobSnapshot) -> str:
    """``starting`` is a job whose task is on its way to the provider, and nothing more of it."""
    state = snapshot.job.state
    if state is JobState.RUNNING and not any(reached(scene, Stage.SENT) for scene in snapshot.scenes):
        return "starting"
    return _STATUS[state]


def remaining_seconds(snapshot: JobSnapshot, outlook: Outlook, now: datetime) -> float:
    """Until the job is done: by experience, or else by what videos usually take; never below 0."""
    if snapshot.job.closed:
        return 0.0
    if outlook.eta is not None:
        end = outlook.eta.latest
    else:
        expected = EXPECTED_SECONDS[generation_type(snapshot.scenes[0])]
        end = snapshot.job.created_at + timedelta(seconds=expected)
    return max(0.0, (end - now).total_seconds())


def status_body(
    snapshot: JobSnapshot,
    outlook: Outlook,
    now: datetime,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """``GET /videos/jobs/{job_id}/status``: the documented fields, then what helps a frontend further."""
    job, scenes = snapshot.job, snapshot.scenes
    # Clients of this contract do not know of parts: what is completed is at its end.
    done = job.state is JobState.PARTIAL
    percent = 100 if done else job_progress([scene.progress for scene in scenes])
    return {
        "success": True,
        "job_id": job.id,
        "status": status_word(snapshot),
        "progress": percent / 100,
        "generation_info": {
            "current_step": _step(snapshot, notes),
            "estimated_remaining_seconds": _stepped(remaining_seconds(snapshot, outlook, now)),
        },
        "created_at": job.created_at.isoformat(),
        "updated_at": max(scene.updated_at for scene in scenes).isoformat(),
        "progress_percent": percent,
        "generation_type": generation_type(scenes[0]),
        "metadata": {"partial": job.state is JobState.PARTIAL},
        "error": _error(snapshot) if job.state in (JobState.FAILED, JobState.CANCELLED) else None,
        "poll_after_ms": outlook.poll_after_ms,
    }


def status_good_for(snapshot: JobSnapshot, outlook: Outlook, now: datetime) -> float:
    """Seconds for which the status stays as it is, if nothing happens."""
    remaining = remaining_seconds(snapshot, outlook, now)
    if not remaining:
        return outlook.good_for
    return min(outlook.good_for, remaining - (_stepped(remaining) - REMAINING_STEP))


def is_gone(snapshot: JobSnapshot, now: datetime, result_hours: float | None) -> bool:
    """Whether the job is not to be had here any more: it ended too long ago, or its videos were deleted."""
    end = snapshot.job.finished_at
    if end is not None and result_hours is not None and now >= end + timedelta(hours=result_hours):
        return True
    removed = any(scene.removed_at for scene in snapshot.scenes)
    return removed and not any(has_video(scene) for scene in snapshot.scenes)


def result_body(snapshot: JobSnapshot, videos: Sequence[Video], url_of: Mapping[str, str]) -> dict[str, Any]:
    """``GET /videos/jobs/{job_id}/result``: ``videos`` are the job's that are there, in running order.

    A job that has completed has at least one. ``url_of`` has the address of each one's file by the id
    of its take.
    """
    job = snapshot.job
    if not job.closed:
        status = "processing"  # whatever it is, it is no result; the status says more
        return {"success": True, "job_id": job.id, "status": status, "message": _IN_PROGRESS}
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        return {
            "success": False,
            "job_id": job.id,
            "status": _STATUS[job.state],
            "error": _error(snapshot),
        }
    first = videos[0]
    found = {
        "success": True,
        "job_id": job.id,
        "status": _STATUS[job.state],
        "video": video_body(first, url_of[first.take.id]),
        "generation_info": {
            "model_used": first.take.model,
            "generation_time_ms": _took_ms(first.scene, job),
        },
    }
    if len(snapshot.scenes) > 1:
        found["videos"] = [video_body(it, url_of[it.take.id]) for it in videos]
    return found


def active_line(snapshot: JobSnapshot, outlook: Outlook, now: datetime) -> dict[str, Any]:
    """A job in the list of those that are not over."""
    kind = generation_type(snapshot.scenes[0])
    return {
        "job_id": snapshot.job.id,
        "status": status_word(snapshot),
        "generation_type": kind,
        "created_at": snapshot.job.created_at.isoformat(),
        "estimated_completion_seconds": EXPECTED_SECONDS[kind],
        "estimated_remaining_seconds": _stepped(remaining_seconds(snapshot, outlook, now)),
        "progress": job_progress([scene.progress for scene in snapshot.scenes]) / 100,
    }


def stats_body(figures: JobFigures, *, running: bool) -> dict[str, Any]:
    """``GET /videos/stats``; whether the service is ``running`` is not on record."""
    last = figures.last_finished_at
    return {
        "is_running": running,
        "jobs_processed": sum(figures.by_state.get(state, 0) for state in CLOSED),
        "jobs_queued": figures.by_state.get(JobState.QUEUED, 0),
        "jobs_in_progress": figures.by_state.get(JobState.RUNNING, 0),
        "last_job_completed_at": last and last.isoformat(),
        "average_processing_time_seconds": figures.average_seconds and round(figures.average_seconds, 1),
    }


def cancelled_body(snapshot: JobSnapshot, currency: str | None) -> dict[str, Any]:
    """The answer to a cancel: whether the price, which was paid in ``currency``, comes back."""
    price = f"its price in {money(currency)}" if currency else ""
    if any(scene.owed for scene in snapshot.scenes):
        said = "Job cancelled. The provider has it already: a video that comes is billed, and kept"
        back = f", {price} comes back only if none does"
    else:
        said = "Job cancelled. Nothing had been sent to the provider"
        back = f": {price} is back on your account"
    message = said + (back if price else "")
    return {"success": True, "job_id": snapshot.job.id, "status": "cancelled", "message": message}


def money(currency: str) -> str:
    """What people call it."""
    return "DUST" if currency == Currency.DUST else currency


def balances_body(balances: Mapping[Currency, Balance]) -> dict[str, Any]:
    return {
        currency.value: {"available": balance.available, "held": balance.held}
        for currency, balance in balances.items()
    }


def _step(snapshot: JobSnapshot, notes: Mapping[str, str]) -> str:
    if snapshot.job.closed:
        return _ENDS[snapshot.job.state]
    behind = min((scene for scene in snapshot.scenes if not scene.terminal), key=lambda scene: scene.progress)
    if behind.state is SceneState.RECONCILING:
        return "Waiting for the provider's verdict, which is late"
    return notes.get(behind.id) or _STEPS[behind.stage]


def _stepped(seconds: float) -> int:
    return math.ceil(seconds / REMAINING_STEP) * REMAINING_STEP


def _error(snapshot: JobSnapshot) -> str:
    """Why there is no video: the first failure, else the cancel."""
    failures = [scene.failure.message for scene in snapshot.scenes if scene.failure]
    if failures:
        return failures[0]
    kept = any(scene.stage is Stage.COMPLETE and not scene.removed_at for scene in snapshot.scenes)
    return _CANCELLED_BUT_KEPT if kept else _CANCELLED


def _took_ms(scene: Scene, job: Job) -> int:
    """From the order at the provider to its verdict; what was only fetched took as long as its job."""
    start, end = scene.submitted_at or job.created_at, scene.generated_at or job.finished_at
    return round((end - start).total_seconds() * 1000) if end else 0
