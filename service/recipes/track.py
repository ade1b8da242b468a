"""A scene on its way, as recipes see it."""

from __future__ import annotations

from typing import Protocol

from sessions.lifecycle import Transition
from sessions.model import Lane, Scene


class Track(Protocol):
    """A scene on its way. ``write`` puts a transition on disk and only then shows it."""

    scene: Scene
    lane: Lane
    party: str  #: with whom it takes turns for slots: its session, or its user

    async def write(self, transition: Transition) -> None:
        """Apply; afterwards ``scene`` is the scene as stored. Raises ``Superseded``."""

    def say(self, text: str) -> None:
        """Show what the scene waits for, until the next transition."""
