"""Nouns in the words of the scenes contract."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from service.contracts.videos import VideoAddresses
from service.outlook import Outlook, Range, SceneOutlook
from sessions.model import (
    Job,
    JobSnapshot,
    JobState,
    Scene,
    SceneDescription,
    SceneState,
    Session,
    Stage,
    Take,
)
from sessions.rollup import job_progress

_SCENE_STATUS = {
    SceneState.QUEUED: "generating",
    SceneState.RUNNING: "generating",
    SceneState.RECONCILING: "generating",
    SceneState.SUCCEEDED: "completed",
    SceneState.FAILED: "failed",
    SceneState.CANCELLED: "failed",
}

_JOB_STATUS = {
    JobState.QUEUED: "generating",
    JobState.RUNNING: "generating",
    JobState.SUCCEEDED: "completed",
    JobState.PARTIAL: "partial",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "failed",
}


def status_url(job_id: str) -> str:
    return f"/api/videos/status/{job_id}"


def job_status(
    snapshot: JobSnapshot, notes: Mapping[str, str], outlook: Outlook, addresses: VideoAddresses
) -> bytes:
    """``GET /api/videos/status/{job_id}``: the documented fields, then what helps a frontend further."""
    job = snapshot.job
    body = {
        "job_id": job.id,
        "overall_status": _JOB_STATUS[job.state],
        "scenes": [
            {
                **_scene(scene, notes.get(scene.id), outlook.scenes.get(scene.id, SceneOutlook())),
                "video_url": _video_path(scene, job, addresses),
            }
            for scene in snapshot.scenes
        ],
        "progress": job_progress([scene.progress for scene in snapshot.scenes]),
        "session_id": job.session_id,
        "provider": snapshot.scenes[0].provider,
        "eta": _eta(outlook.eta),
        "poll_after_ms": outlook.poll_after_ms,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _video_path(scene: Scene, job: Job, addresses: VideoAddresses) -> str | None:
    if scene.state is not SceneState.SUCCEEDED or scene.file is None or scene.removed_at:
        return None
    return addresses.path(scene.file, job.owner)


def _scene(scene: Scene, note: str | None, outlook: SceneOutlook) -> dict[str, Any]:
    return {
        "scenario": scene.name,
        "status": _SCENE_STATUS[scene.state],
        "progress": scene.progress,
        "video_url": None,
        **scene_problem(scene),
        "stage": "reconciling" if scene.state is SceneState.RECONCILING else scene.stage.value,
        "note": note or _NOTES.get(scene.state) or _afterwards(scene),
        "queue_position": outlook.queue_position,
        "eta": _eta(outlook.eta),
        "tries": scene.tries,
        "take": scene.take,
        "model": scene.model,
        "cost_usd": scene.cost_usd,
    }


_NOTES = {
    SceneState.RECONCILING: (
        "The provider has given no verdict in time. It is still asked, ever more rarely, for up to a day, "
        "and a late video is kept; cancel the scene to stop waiting"
    ),
}
_OWED = (
    "Cancelled after it had been sent: the provider goes on with it and bills it; its video is kept as a "
    "take if it comes"
)
_REMOVED = "The video has been deleted by its owner"
_KEPT = "Cancelled after it had been sent; its video came, and is kept as a take of the session"


def _afterwards(scene: Scene) -> str | None:
    """What became of a scene that was cancelled too late, or of a video that was deleted."""
    if scene.removed_at:
        return _REMOVED
    if scene.owed:
        return _OWED
    return _KEPT if scene.state is SceneState.CANCELLED and scene.stage is Stage.COMPLETE else None


def _eta(found: Range | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {
        "earliest": found.earliest.isoformat(timespec="seconds"),
        "latest": found.latest.isoformat(timespec="seconds"),
    }


def cancelled(snapshot: JobSnapshot) -> dict[str, Any]:
    """The answer to a cancel: what has ended, and what the provider goes on with."""
    owed = [scene.name for scene in snapshot.scenes if scene.owed]
    free = [scene.name for scene in snapshot.scenes if scene.state is SceneState.CANCELLED and not scene.owed]
    return {
        "message": f"{_OWED}: {', '.join(owed)}" if owed else "Cancelled; nothing had been sent",
        "job_id": snapshot.job.id,
        "overall_status": _JOB_STATUS[snapshot.job.state],
        "cancelled": [*free, *owed],
        "still_billed": owed,
        "status_url": status_url(snapshot.job.id),
    }


def scene_problem(scene: Scene) -> dict[str, Any]:
    """Why the scene failed; all null otherwise."""
    if scene.state is SceneState.CANCELLED:
        again = scene.stage is not Stage.COMPLETE  # else its video came after all, and is a take
        return {"error": "cancelled", "error_code": "cancelled", "provider_code": None, "retryable": again}
    if scene.failure is None:
        return {"error": None, "error_code": None, "provider_code": None, "retryable": None}
    return {
        "error": scene.failure.message,
        "error_code": scene.failure.code,
        "provider_code": scene.failure.provider_code,
        "retryable": scene.failure.retryable,
    }


def session(found: Session, jobs: Sequence[Job], provider: str, addresses: VideoAddresses) -> dict[str, Any]:
    """A whole session."""
    return {
        "session_id": found.id,
        "created_at": found.created_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
        "provider": provider,
        "brief": asdict(found.brief),
        "scene_descriptions": [description(item) for item in found.descriptions.values()],
        "scene_videos": [_take(item, found.owner, addresses) for item in found.videos],
        "takes": [_take(item, found.owner, addresses) for item in found.takes],
        "jobs": [
            {
                "job_id": job.id,
                "overall_status": _JOB_STATUS[job.state],
                "created_at": job.created_at.isoformat(),
                "status_url": status_url(job.id),
            }
            for job in jobs
        ],
    }


def session_line(found: Session, addresses: VideoAddresses) -> dict[str, Any]:
    """A session in a list."""
    return {
        "session_id": found.id,
        "created_at": found.created_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
        "product": found.brief.product,
        "approved": [item.scenario.value for item in found.descriptions.values() if item.approved],
        "scene_videos": [_take(item, found.owner, addresses) for item in found.videos],
    }


def description(item: SceneDescription) -> dict[str, Any]:
    return {**asdict(item), "scenario": item.scenario.value}


def _take(take: Take, owner: str | None, addresses: VideoAddresses) -> dict[str, Any]:
    return {
        "scenario": take.scenario.value if take.scenario else None,
        "video_url": addresses.path(take.file, owner),
        "take": take.number,
        "duration": take.seconds,
        "width": take.width,
        "height": take.height,
        "size": take.size,
        "prompt": take.prompt,
        "model": take.model,
        "provider": take.provider,
        "cost_usd": take.cost_usd,
        "late": take.late,
        "created_at": take.created_at.isoformat(),
    }
