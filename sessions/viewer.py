"""Who looks: decides which sessions, and what belongs to them, are there at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Sees what is their own, and what is nobody's; somebody else's is not there."""

    owner: str | None = None  #: the user; None for somebody unknown
    everything: bool = False  #: the service itself, or whoever may use it when identity is off
    deleted: bool = False  #: the service itself: what its owner has deleted may still be under way

    def sees(self, owner: str | None) -> bool:
        return self.everything or owner is None or owner == self.owner


#: sees all that is there
EVERYTHING = Viewer(everything=True)

#: the service itself
SERVICE = Viewer(everything=True, deleted=True)
