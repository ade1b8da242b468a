"""Example bodies of the scenes contract: one lamp, filmed four times."""

from __future__ import annotations

from typing import Any

SESSION_ID = "0f9c1f0e-7d0b-4d5f-9a43-1a8a3e6f2b10"
JOB_ID = "5b1d2a34-93c6-4c2f-8f2e-6f0f8f6f1c22"
CREATED, UPDATED = "2026-11-21T09:00:00+00:00", "2026-11-21T09:04:10+00:00"
STATUS_URL = f"/api/videos/status/{JOB_ID}"
VIDEO_URL = f"/outputs/{SESSION_ID}_hook_3fa1c9.mp4"

_TEXTS = {
    "hook": "A desk lamp wakes up in a dark room and looks around",
    "problem": "Somebody squints at a book in weak light",
    "solution": "The lamp leans over and the page glows",
    "cta": "The lamp on a clean table, a price tag swings into view",
}


def described(scenario: str, *, approved: bool = True, version: int = 2) -> dict[str, Any]:
    """A description as it is answered."""
    return {
        "scenario": scenario,
        "description": _TEXTS[scenario],
        "visual_description": None,
        "camera_work": "Slow push in" if scenario == "hook" else None,
        "lighting": None,
        "audio_design": None,
        "background_music": None,
        "sound_effects": None,
        "dialog_narration": None,
        "duration": None,
        "approved": approved,
        "version": version,
    }


TAKE = {
    "scenario": "hook",
    "video_url": VIDEO_URL,
    "take": 1,
    "duration": 5.0,
    "width": 1280,
    "height": 720,
    "size": 2183000,
    "prompt": f"{_TEXTS['hook']}\nCamera: Slow push in",
    "model": "klingai:kling-video@3-standard",
    "provider": "runware",
    "cost_usd": 0.42,
    "late": False,
    "created_at": UPDATED,
}

JOB_LINE = {
    "job_id": JOB_ID,
    "overall_status": "completed",
    "created_at": CREATED,
    "status_url": STATUS_URL,
}

#: what a brief may say; the shortest is its first field
BRIEF = {
    "product": "Lumo, a desk lamp that follows your book",
    "audience": "students",
    "tone": "warm and funny",
    "offer": "20 % off until Sunday",
    "aspect_ratio": "9:16",
}


def session(*, done: bool = False, described_yet: bool = True, **extra: Any) -> dict[str, Any]:
    """A whole session as it is answered; ``done``: its hook has been filmed."""
    unsaid = ("seconds_per_scene", "model", "product_image_url", "logo_url")
    return {
        "success": True,
        **extra,
        "session_id": SESSION_ID,
        "created_at": CREATED,
        "updated_at": UPDATED,
        "provider": "runware",
        "brief": {**BRIEF, "language": "en", **dict.fromkeys(unsaid)},
        "scene_descriptions": [described(name, approved=done) for name in _TEXTS] if described_yet else [],
        "scene_videos": [TAKE] if done else [],
        "takes": [TAKE] if done else [],
        "jobs": [JOB_LINE] if done else [],
    }


SESSION_LIST = {
    "success": True,
    "sessions": [
        {
            "session_id": SESSION_ID,
            "created_at": CREATED,
            "updated_at": UPDATED,
            "product": BRIEF["product"],
            "approved": ["hook", "problem", "solution", "cta"],
            "scene_videos": [TAKE],
        }
    ],
    "total": 1,
    "limit": 50,
    "offset": 0,
}


def _scene(scenario: str, status: str, progress: int, stage: str, **news: Any) -> dict[str, Any]:
    unknown = ("video_url", "error", "error_code", "provider_code", "retryable", "note", "queue_position")
    return {
        "scenario": scenario,
        "status": status,
        "progress": progress,
        **dict.fromkeys(unknown),
        "stage": stage,
        "eta": None,
        "tries": 1,
        "take": 1,
        "model": "klingai:kling-video@3-standard",
        "cost_usd": None,
        **news,
    }


def _job(overall_status: str, progress: int, scenes: list[dict[str, Any]], **news: Any) -> dict[str, Any]:
    return {
        "job_id": JOB_ID,
        "overall_status": overall_status,
        "scenes": scenes,
        "progress": progress,
        "session_id": SESSION_ID,
        "provider": "runware",
        "eta": None,
        "poll_after_ms": None,
        "created_at": CREATED,
        "finished_at": None,
        **news,
    }


_ETA = {"earliest": "2026-11-21T09:01:10+00:00", "latest": "2026-11-21T09:02:40+00:00"}
_MADE = {"video_url": VIDEO_URL, "cost_usd": 0.42}
_REFUSED = {
    "error": "The provider refused the prompt",
    "error_code": "provider",
    "provider_code": "contentPolicy",
    "retryable": False,
}

UNDER_WAY = _job(
    "generating",
    58,
    [
        _scene("hook", "completed", 100, "complete", **_MADE),
        _scene("problem", "generating", 62, "sent", eta=_ETA),
        _scene("solution", "generating", 70, "generated"),
        _scene("cta", "generating", 0, "waiting", queue_position=1, eta=_ETA),
    ],
    eta=_ETA,
    poll_after_ms=3000,
)

PARTIAL = _job(
    "partial",
    87,
    [
        *(_scene(name, "completed", 100, "complete", **_MADE) for name in ("hook", "problem", "solution")),
        _scene("cta", "failed", 50, "sent", **_REFUSED),
    ],
    finished_at=UPDATED,
)

STARTED = {
    "success": True,
    "message": "Video generation started for 4 scenes",
    "job_id": JOB_ID,
    "session_id": SESSION_ID,
    "status_url": STATUS_URL,
    "joined": False,
    "provider": "runware",
}

#: the beginning of a status's event stream
EVENTS = (
    "retry: 2000\n\n"
    'id: 17\nevent: scene\ndata: {"kind": "sent", "scenario": "hook", "at": "2026-11-21T09:00:02+00:00"}\n\n'
    'event: status\ndata: {"job_id": "5b1d2a34-...", "overall_status": "generating", ...}\n\n'
    "event: end\ndata: {}\n\n"
)
