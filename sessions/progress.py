"""Stages and their percent, one table per recipe."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sessions.model import Scene, Stage

#: percent at which a clip has reached a stage (document 002, "Progress Tracking")
CLIP: Mapping[Stage, int] = MappingProxyType(
    {
        Stage.WAITING: 0,
        Stage.CREATED: 10,
        Stage.SENT: 30,
        Stage.GENERATED: 70,
        Stage.DOWNLOADED: 80,
        Stage.COMPLETE: 100,
    }
)

#: stages in the order in which they are reached
ORDER: tuple[Stage, ...] = tuple(CLIP)

#: progress between two marks moves in steps of this many percent, so that each step can be stored
STEP = 5


def while_generating(fraction: float) -> int:
    """Percent for a provider that is done with ``fraction`` (0 to 1) of its work.

    Stays inside the marks "sent" and "generated": only the provider's verdict reaches the upper one.
    """
    low, high = CLIP[Stage.SENT], CLIP[Stage.GENERATED]
    percent = low + (high - low) * min(1.0, max(0.0, fraction))
    return min(high - STEP, int(percent) // STEP * STEP)


def reached(scene: Scene, stage: Stage) -> bool:
    """Whether the scene has come as far as ``stage``."""
    return ORDER.index(scene.stage) >= ORDER.index(stage)
