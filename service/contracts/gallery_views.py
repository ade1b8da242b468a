"""Nouns in the words of the gallery contract (document 000). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from service.contracts.videos import VideoAddresses
from sessions.model import GalleryVideo, JobSnapshot, JobState, Scene, SceneState
from sessions.rollup import job_progress, job_state

_STATUS = {
    JobState.QUEUED: "PROCESSING",
    JobState.RUNNING: "PROCESSING",
    JobState.SUCCEEDED: "SUCCEEDED",
    JobState.PARTIAL: "SUCCEEDED",
    JobState.FAILED: "FAILED",
    JobState.CANCELLED: "FAILED",
}

_CANCELLED = "Cancelled by user"

#: what the views of the database put before the names of files
_OUTPUTS = "/outputs/"


def started(snapshot: JobSnapshot) -> dict[str, Any]:
    """The answer to an order."""
    return {
        "success": True,
        "videoId": snapshot.job.id,
        "taskId": snapshot.scenes[0].task_id,
        "message": "Video generation started",
    }


def only(snapshot: JobSnapshot, scene_id: str | None) -> JobSnapshot:
    """The job as if it had been for that scene alone; without ``scene_id`` as it is."""
    if scene_id is None:
        return snapshot
    scene = next(it for it in snapshot.scenes if it.id == scene_id)
    return JobSnapshot(job=replace(snapshot.job, state=job_state([scene.state])), scenes=(scene,))


def status_body(snapshot: JobSnapshot, base: str, addresses: VideoAddresses) -> dict[str, Any] | None:
    """``GET /api/video/generate``; None if the owner has removed the video, or all of them.

    ``base`` is what ``addresses.base_of`` answers. One that was cancelled too late has its video
    all the same.
    """
    job, status = snapshot.job, _STATUS[snapshot.job.state]
    scenes = [scene for scene in snapshot.scenes if scene.removed_at is None]
    url = next(filter(None, (addresses.of(scene, job.owner, base) for scene in scenes)), None)
    if not scenes or (status == "SUCCEEDED" and url is None):
        return None
    over = status != "PROCESSING"
    return {
        "success": True,
        "status": status,
        "videoUrl": url if over else None,
        "progress": 100 if status == "SUCCEEDED" else job_progress([it.progress for it in snapshot.scenes]),
        "errorMessage": _problem(snapshot.scenes) if over else None,
    }


def refusal(message: str, status: int) -> dict[str, Any]:
    """Every error: ``status`` repeats the HTTP status."""
    return {"success": False, "error": message, "status": status}


def gallery_video(video: GalleryVideo, base: str, addresses: VideoAddresses) -> dict[str, Any]:
    """One row of the merged record stores."""
    return {
        "id": video.id,
        "source": "generated_videos" if video.from_image else "created_videos",
        "userId": video.owner,
        "taskId": video.task_id,
        "prompt": video.prompt,
        "status": video.status,
        "videoUrl": _url(video, base, addresses),
        "durationSeconds": video.seconds,
        "metadata": dict(video.metadata),
        "createdAt": video.created_at.isoformat(timespec="milliseconds"),
        "updatedAt": video.updated_at.isoformat(timespec="milliseconds"),
    }


def _problem(scenes: Sequence[Scene]) -> str | None:
    """What went wrong; of several scenes each says its own."""
    if all(scene.state is SceneState.CANCELLED for scene in scenes):
        return _CANCELLED
    problems = [(scene.name, problem) for scene in scenes if (problem := _scene_problem(scene))]
    if len(scenes) == 1:
        return next((problem for _, problem in problems), None)
    return "; ".join(f"{name}: {problem}" for name, problem in problems) or None


def _scene_problem(scene: Scene) -> str | None:
    if scene.state is SceneState.CANCELLED:
        return _CANCELLED
    return scene.failure.message if scene.failure else None


def _url(video: GalleryVideo, base: str, addresses: VideoAddresses) -> str | None:
    """The whole address; a copy at a delivery network has one of its own."""
    if video.video_url is None or not video.video_url.startswith(_OUTPUTS):
        return video.video_url
    return base + addresses.path(video.video_url.removeprefix(_OUTPUTS), video.owner)
