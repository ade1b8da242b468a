"""Example bodies of the credit-jobs contract: one lighthouse."""

from __future__ import annotations

from typing import Any

JOB_ID = "6a7d5d3e-2f43-4f0b-8c57-1d6f3f0a9b21"
VIDEO_ID = "c0f1d6a2-55b0-4e1c-9a37-7f1f6f0f2d10"
USER_ID = "2b0f7d52-7f0e-4c6e-9d1b-6f5f4f3f2f1f"
CREATED, UPDATED = "2026-11-21T09:00:00+00:00", "2026-11-21T09:02:05+00:00"
PROMPT = "A lighthouse in a storm, waves breaking against the rocks"

GENERATE = {
    "user_id": USER_ID,
    "prompt": PROMPT,
    "duration": "short",
    "resolution": "hd_720p",
    "aspect_ratio": "16:9",
    "reference_person": {"person_id": "p-17", "relationship": "daughter"},
    "camera_fixed": True,
}
ANIMATE = {"image_url": "https://images.example.com/lighthouse.jpg", "prompt": "The light begins to turn"}

STARTED = {
    "success": True,
    "job_id": JOB_ID,
    "status": "queued",
    "estimated_completion_seconds": 240,
    "message": "Video generation started. Use the job_id to check status.",
}
ANIMATING = {**STARTED, "estimated_completion_seconds": 180}


def status(word: str, percent: int, step: str, remaining: int, error: str | None = None) -> dict[str, Any]:
    """A status as it is answered."""
    return {
        "success": True,
        "job_id": JOB_ID,
        "status": word,
        "progress": percent / 100,
        "generation_info": {"current_step": step, "estimated_remaining_seconds": remaining},
        "created_at": CREATED,
        "updated_at": UPDATED,
        "progress_percent": percent,
        "generation_type": "text_to_video",
        "metadata": {"partial": False},
        "error": error,
        "poll_after_ms": None if remaining == 0 else 3000,
    }


VIDEO = {
    "id": VIDEO_ID,
    "user_id": USER_ID,
    "url": f"https://video.example.com/outputs/{JOB_ID}_clip_3fa1c9.mp4",
    "thumbnail_url": None,
    "prompt": PROMPT,
    "generation_type": "text_to_video",
    "source_image_url": None,
    "duration_seconds": 5.04,
    "resolution": "hd_720p",
    "aspect_ratio": "16:9",
    "reference_person": {"person_id": "p-17", "relationship": "daughter"},
    "metadata": {
        "job_id": JOB_ID,
        "model": "klingai:kling-video@3-standard",
        "provider": "runware",
        "width": 1280,
        "height": 720,
        "size_bytes": 2183000,
        "camera_fixed": True,
        "partial": False,
    },
    "is_favorited": False,
    "created_at": UPDATED,
    "updated_at": UPDATED,
}
RESULT = {
    "success": True,
    "job_id": JOB_ID,
    "status": "completed",
    "video": VIDEO,
    "generation_info": {"model_used": "klingai:kling-video@3-standard", "generation_time_ms": 118400},
}
NOT_READY = {
    "success": True,
    "job_id": JOB_ID,
    "status": "processing",
    "message": "Video generation still in progress",
}
REFUSED, BY_USER = "The provider refused the prompt", "Cancelled by user"
FAILED = {"success": False, "job_id": JOB_ID, "status": "failed", "error": REFUSED}
CANCELLED = {**FAILED, "status": "cancelled", "error": BY_USER}
POOR = {
    "success": False,
    "error": "Insufficient DUST. This video costs 10 DUST but you have 3.",
    "code": "insufficient_credit",
    "currency": "dust",
    "required": 10,
    "available": 3,
}
INVALID = {
    "success": False,
    "error": "The request is not valid: duration: Input should be 'short', 'medium' or 'long'",
    "code": "invalid",
    "fields": [{"field": "duration", "problem": "Input should be 'short', 'medium' or 'long'"}],
}
UNSUPPORTED = {
    "success": False,
    "error": "The model does not make videos of this resolution; it makes hd_720p",
    "code": "unsupported",
    "field": "resolution",
    "model": "klingai:kling-video@3-standard",
    "allowed": ["hd_720p"],
}
ACTIVE = {
    "success": True,
    "active_jobs": [
        {
            "job_id": JOB_ID,
            "status": "processing",
            "generation_type": "text_to_video",
            "created_at": CREATED,
            "estimated_completion_seconds": 240,
            "estimated_remaining_seconds": 85,
            "progress": 0.45,
        }
    ],
    "count": 1,
}
STATS = {
    "is_running": True,
    "jobs_processed": 214,
    "jobs_queued": 0,
    "jobs_in_progress": 3,
    "last_job_completed_at": UPDATED,
    "average_processing_time_seconds": 121.4,
}
BALANCES = {"tokens": {"available": 0, "held": 0}, "dust": {"available": 90, "held": 10}}
