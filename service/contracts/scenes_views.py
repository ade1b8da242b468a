"""Nouns in the words of the scenes contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sessions.model import (
    Job,
    JobSnapshot,
    JobState,
    Scene,
    SceneDescription,
    SceneState,
    Session,
    Take,
)
from sessions.rollup import job_progress

_SCENE_STATUS = {
    SceneState.QUEUED: "generating",
    SceneState.RUNNING: "generating",
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


def video_url(file: str | None) -> str | None:
    return None if file is None else f"/outputs/{file}"


def job_status(snapshot: JobSnapshot) -> bytes:
    """``GET /api/videos/status/{job_id}``: the documented fields, then what helps a frontend further."""
    job = snapshot.job
    body = {
        "job_id": job.id,
        "overall_status": _JOB_STATUS[job.state],
        "scenes": [_scene(scene) for scene in snapshot.scenes],
        "progress": job_progress([scene.progress for scene in snapshot.scenes]),
        "session_id": job.session_id,
        "provider": snapshot.scenes[0].provider,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _scene(scene: Scene) -> dict[str, Any]:
    done = scene.state is SceneState.SUCCEEDED
    return {
        "scenario": scene.scenario.value,
        "status": _SCENE_STATUS[scene.state],
        "progress": scene.progress,
        "video_url": video_url(scene.file) if done else None,
        **scene_problem(scene),
        "stage": scene.stage.value,
        "take": scene.take,
        "model": scene.model,
        "cost_usd": scene.cost_usd,
    }


def scene_problem(scene: Scene) -> dict[str, Any]:
    """Why the scene failed; all null otherwise."""
    if scene.state is SceneState.CANCELLED:
        return {"error": "cancelled", "error_code": "cancelled", "provider_code": None, "retryable": True}
    if scene.failure is None:
        return {"error": None, "error_code": None, "provider_code": None, "retryable": None}
    return {
        "error": scene.failure.message,
        "error_code": scene.failure.code,
        "provider_code": scene.failure.provider_code,
        "retryable": scene.failure.retryable,
    }


def session(found: Session, jobs: Sequence[Job], provider: str) -> dict[str, Any]:
    """A whole session."""
    return {
        "session_id": found.id,
        "created_at": found.created_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
        "provider": provider,
        "brief": asdict(found.brief),
        "scene_descriptions": [description(item) for item in found.descriptions.values()],
        "scene_videos": [_take(item) for item in found.videos],
        "takes": [_take(item) for item in found.takes],
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


def session_line(found: Session) -> dict[str, Any]:
    """A session in a list."""
    return {
        "session_id": found.id,
        "created_at": found.created_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
        "product": found.brief.product,
        "approved": [item.scenario.value for item in found.descriptions.values() if item.approved],
        "scene_videos": [_take(item) for item in found.videos],
    }


def description(item: SceneDescription) -> dict[str, Any]:
    return {**asdict(item), "scenario": item.scenario.value}


def _take(take: Take) -> dict[str, Any]:
    return {
        "scenario": take.scenario.value,
        "video_url": video_url(take.file),
        "take": take.number,
        "duration": take.seconds,
        "width": take.width,
        "height": take.height,
        "size": take.size,
        "prompt": take.prompt,
        "model": take.model,
        "provider": take.provider,
        "cost_usd": take.cost_usd,
        "created_at": take.created_at.isoformat(),
    }
