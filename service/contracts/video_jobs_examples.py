"""Example bodies of the video jobs contract: those of document 001, and what is said besides."""

from __future__ import annotations

from typing import Any

ID = "550e8400-e29b-41d4-a716-446655440000"
ORDER = {
    "prompt": "A cinematic shot of a sunset over mountains",
    "model": "veo-3.1-fast-generate-preview",
    "resolution": "1080p",
    "aspectRatio": "16:9",
    "durationSeconds": 8,
}
_CREATED_AT = "2026-11-21T10:30:00Z"
QUEUED: dict[str, Any] = {
    "id": ID,
    "userId": "user-123",
    **ORDER,
    "generateAudio": False,
    "mockMode": False,
    "status": "PENDING",
    "statusMessage": "Job queued for processing",
    "progressPercentage": 0,
    "logs": [{"timestamp": _CREATED_AT, "level": "info", "message": "📝 Job created"}],
    "tokensConsumed": 50,
    "createdAt": _CREATED_AT,
    "updatedAt": _CREATED_AT,
}
LOGS = [
    *QUEUED["logs"],
    {"timestamp": _CREATED_AT, "level": "info", "message": "🚀 Starting video generation"},
    {"timestamp": "2026-11-21T10:30:15Z", "level": "info", "message": "☁️  Calling Google Veo API..."},
]
WAITING = {**QUEUED, "queuePosition": 2, "note": "Waiting for one of the 3 jobs that run already"}
RUNNING = {
    **QUEUED,
    "status": "RUNNING",
    "statusMessage": "Video generation in progress...",
    "progressPercentage": 45,
    "logs": LOGS,
    "estimatedCompletionAt": "2026-11-21T10:35:00Z",
}
SUCCEEDED = {
    **RUNNING,
    "status": "SUCCEEDED",
    "statusMessage": "Video generation completed successfully!",
    "progressPercentage": 100,
    "completedAt": "2026-11-21T10:35:00Z",
    "cloudinaryUrl": (f"https://res.cloudinary.com/your-cloud/video/upload/v123/ai_studio/videos/{ID}.mp4"),
}
CANCELLED = {
    **QUEUED,
    "status": "CANCELLED",
    "statusMessage": "Cancelled by user",
    "tokensConsumed": 0,
    "completedAt": "2026-11-21T10:31:00Z",
}
POOR = {
    "detail": {
        "message": "Insufficient tokens. Operation 'video_generation' costs 50 tokens but you have 20.",
        "cost": 50,
        "availableTokens": 20,
    }
}
FULL = {"detail": "Maximum 3 concurrent video jobs allowed. Please wait for existing jobs to complete."}
FEED = {
    "jobs": [
        {
            "id": ID[:8],
            "prompt": "A cinematic shot of a sunset over mounta…",
            "model": "veo-3.1-fast-generate-preview",
            "resolution": "1080p",
            "aspectRatio": "16:9",
            "durationSeconds": 8,
            "status": "RUNNING",
            "statusMessage": "Video generation in progress...",
            "progressPercentage": 45,
            "logs": LOGS,
            "createdAt": _CREATED_AT,
        }
    ],
    "counts": {"PENDING": 0, "RUNNING": 1, "SUCCEEDED": 12, "FAILED": 0, "CANCELLED": 1},
    "queueLength": 0,
    "averageSeconds": 212.4,
    "generatedAt": "2026-11-21T10:31:07Z",
}
