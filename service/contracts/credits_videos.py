"""A video in the words of the credit-jobs contract (document 004)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.contracts.credits_bodies import RESOLUTIONS, AspectRatio, GenerationType, Resolution
from sessions.model import JobState, Scene, Video

#: the terms of jobs that were ordered here: only what those asked is in this contract's words
TERMS = "credits"

_RATIOS: Mapping[AspectRatio, float] = MappingProxyType(
    {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0, "4:3": 4 / 3, "3:4": 3 / 4}
)


def generation_type(scene: Scene) -> GenerationType:
    return "image_to_video" if scene.frames.first else "text_to_video"


def video_body(video: Video, url: str) -> dict[str, Any]:
    """A video, as lists and results show it."""
    take, scene, job = video.take, video.scene, video.job
    asked: Mapping[str, Any] = job.asked if job.terms == TERMS else {}
    return {
        "id": take.id,
        "user_id": job.owner,
        "url": url,
        "thumbnail_url": None,
        "prompt": asked.get("prompt", take.prompt),
        "generation_type": generation_type(scene),
        "source_image_url": asked.get("image_url") or _address(scene.frames.first),
        "duration_seconds": round(take.seconds, 2),
        "resolution": asked.get("resolution") or _resolution(take.width, take.height),
        "aspect_ratio": asked.get("aspect_ratio") or _aspect_ratio(take.width, take.height),
        "reference_person": asked.get("reference_person"),
        "metadata": {
            "job_id": job.id,
            "model": take.model,
            "provider": take.provider,
            "width": take.width,
            "height": take.height,
            "size_bytes": take.size,
            "camera_fixed": bool(asked.get("camera_fixed")),
            "partial": job.state is JobState.PARTIAL,
        },
        "is_favorited": take.favorite,
        "created_at": take.created_at.isoformat(),
        "updated_at": (take.changed_at or take.created_at).isoformat(),
    }


def _address(image: str | None) -> str | None:
    """The image, if it is an address and no name of ours."""
    return image if image and "://" in image else None


def _resolution(width: int, height: int) -> Resolution:
    """The largest that the video fills; at least the smallest."""
    lines = min(width, height)
    filled: list[Resolution] = [name for name, its in RESOLUTIONS.items() if int(its.rstrip("p")) <= lines]
    return filled[-1] if filled else next(iter(RESOLUTIONS))


def _aspect_ratio(width: int, height: int) -> AspectRatio:
    """The nearest one."""
    return min(_RATIOS, key=lambda name: abs(math.log(width / height / _RATIOS[name])))
