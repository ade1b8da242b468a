"""Golden answers of ``GET /api/video/generate``: what has happened to a job, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.sessions.making import FAILURE

BASE = "https://video.example.com"

_ON = ("start", "sent")
_MADE = (*_ON, "generated", "downloaded", "succeed")
_LOST = (*_ON, "fail")
_LATE = (*_ON, "cancel", "generated", "downloaded", "succeed")

_WHY = FAILURE.message


@dataclass(frozen=True, kw_only=True)
class Golden:
    """One state."""

    #: the verbs that each scene has been through; one scene is a clip, four are a session's
    verbs: tuple[tuple[str, ...], ...]
    removed: frozenset[int] = frozenset()  #: scenes whose videos their owner has removed
    body: dict[str, Any] | None  #: None: 404


def video(scene: int = 0) -> str:
    """The address of a scene's video."""
    return f"{BASE}/outputs/{scene_id(scene)}.mp4"


def scene_id(number: int) -> str:
    return f"00000000-0000-4000-8000-00000000000{number}"


def _processing(progress: int) -> dict[str, Any]:
    return {
        "success": True,
        "status": "PROCESSING",
        "videoUrl": None,
        "progress": progress,
        "errorMessage": None,
    }


def _succeeded(url: str, error: str | None = None) -> dict[str, Any]:
    return {
        "success": True,
        "status": "SUCCEEDED",
        "videoUrl": url,
        "progress": 100,
        "errorMessage": error,
    }


def _failed(progress: int, error: str, url: str | None = None) -> dict[str, Any]:
    return {
        "success": True,
        "status": "FAILED",
        "videoUrl": url,
        "progress": progress,
        "errorMessage": error,
    }


_BY_USER = "Cancelled by user"

GOLDEN: Mapping[str, Golden] = {
    "queued": Golden(verbs=((),), body=_processing(0)),
    "starting": Golden(verbs=(("start",),), body=_processing(10)),
    "running": Golden(verbs=(_ON,), body=_processing(30)),
    "half way": Golden(verbs=((*_ON, "tick"),), body=_processing(40)),
    "reconciling": Golden(verbs=((*_ON, "reconcile"),), body=_processing(30)),
    "generated": Golden(verbs=((*_ON, "generated"),), body=_processing(70)),
    "downloaded": Golden(verbs=((*_ON, "generated", "downloaded"),), body=_processing(80)),
    "put back into the queue": Golden(verbs=(("start", "put back"),), body=_processing(10)),
    "ordered anew": Golden(verbs=((*_ON, "tick", "retry"),), body=_processing(40)),
    "succeeded": Golden(verbs=(_MADE,), body=_succeeded(video())),
    "expired": Golden(verbs=(_MADE,), removed=frozenset({0}), body=None),
    "failed": Golden(verbs=(_LOST,), body=_failed(30, _WHY)),
    "failed half way": Golden(verbs=((*_ON, "tick", "fail"),), body=_failed(40, _WHY)),
    "cancelled": Golden(verbs=(("cancel",),), body=_failed(0, _BY_USER)),
    "cancelled, still owed": Golden(verbs=((*_ON, "cancel"),), body=_failed(30, _BY_USER)),
    "cancelled, given up": Golden(verbs=((*_ON, "cancel", "fail"),), body=_failed(30, _BY_USER)),
    "cancelled, video kept": Golden(verbs=(_LATE,), body=_failed(30, _BY_USER, video())),
    "cancelled, video removed": Golden(verbs=(_LATE,), removed=frozenset({0}), body=None),
    "four queued": Golden(verbs=((), (), (), ()), body=_processing(0)),
    "four running": Golden(verbs=(_ON, _ON, _ON, ("start",)), body=_processing(25)),
    "four, one made": Golden(verbs=(_MADE, _ON, _ON, ("start",)), body=_processing(42)),
    "four, one failed": Golden(verbs=(_LOST, _ON, (), ()), body=_processing(15)),
    "four made": Golden(verbs=(_MADE,) * 4, body=_succeeded(video())),
    "four made, first removed": Golden(verbs=(_MADE,) * 4, removed=frozenset({0}), body=_succeeded(video(1))),
    "four made, all removed": Golden(verbs=(_MADE,) * 4, removed=frozenset(range(4)), body=None),
    "partial": Golden(
        verbs=(_LOST, _MADE, _MADE, ("cancel",)),
        body=_succeeded(video(1), f"hook: {_WHY}; cta: {_BY_USER}"),
    ),
    "partial, video removed": Golden(
        verbs=(_LOST, _MADE, ("cancel",), ("cancel",)), removed=frozenset({1}), body=None
    ),
    "four failed": Golden(
        verbs=(_LOST,) * 4,
        body=_failed(30, f"hook: {_WHY}; problem: {_WHY}; solution: {_WHY}; cta: {_WHY}"),
    ),
    "four failed or cancelled": Golden(
        verbs=(_LOST, _LOST, ("cancel",), ("cancel",)),
        body=_failed(15, f"hook: {_WHY}; problem: {_WHY}; solution: {_BY_USER}; cta: {_BY_USER}"),
    ),
    "four cancelled": Golden(verbs=(("cancel",),) * 4, body=_failed(0, _BY_USER)),
}
