"""What came of a chaos run."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Figures, and whatever is not as it should be."""

    #: of four scenes
    jobs: int = 0
    #: jobs and clips whose creation was answered before the life they began in was ended
    exposed: int = 0
    #: clips ordered, by the API
    clips: Counter[str] = field(default_factory=Counter)
    #: clips that were ordered again with their key, and were known
    replayed: int = 0
    #: clips that were cancelled or deleted, and with which HTTP status
    endings: Counter[str] = field(default_factory=Counter)
    #: what became of what clips cost
    holds: Counter[str] = field(default_factory=Counter)
    #: video jobs that waited for their turn, at the kill with the fewest
    waiting: int = sys.maxsize
    #: most video jobs of one user at the provider at the same time
    side_by_side: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    #: scenes that were given each fault, those of jobs that never began too
    faults: Counter[str] = field(default_factory=Counter)
    bursts: Counter[str] = field(default_factory=Counter)
    charges: int = 0
    paid_twice: list[str] = field(default_factory=list)
    unpaid: int = 0
    not_completed: list[str] = field(default_factory=list)
    broken_files: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    #: what customers were told, what is on record and what the provider did, where they contradict each other
    contradictions: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def troubles(self) -> list[str]:
        return [
            *(f"paid twice: {it}" for it in self.paid_twice),
            *([f"scenes never paid: {self.unpaid}"] if self.unpaid else []),
            *(f"not completed: {it}" for it in self.not_completed),
            *(f"broken file: {it}" for it in self.broken_files),
            *(f"file nobody knows: {it}" for it in self.leftovers),
            *self.contradictions,
        ]

    def report(self) -> Iterator[str]:
        """For people; the troubles last."""
        yield f"{self.jobs} jobs of four scenes, {self.clips.total()} clips {dict(self.clips)}"
        yield f"{self.charges} charges, {self.kills.total()} kills {dict(self.kills)}, {self.seconds:.0f} s"
        yield f"killed while {dict(self.moments)}, at least {self.waiting} video jobs waiting"
        yield f"{self.exposed} jobs and clips answered before, {self.replayed} ordered again and known"
        yield f"ended {dict(self.endings)}, holds {dict(self.holds)}"
        yield f"at most {self.side_by_side} video jobs of one user side by side"
        yield f"faults {dict(self.faults)}, bursts {dict(self.bursts)}"
        yield f"troubles {len(self.troubles)}"
        yield from (f"  {trouble}" for trouble in self.troubles)
