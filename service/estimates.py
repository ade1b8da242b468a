"""How long clips take, learned from those that were made.

Kept in the store with the scenes themselves; here are the newest of each kind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from sessions.model import Generation, Scene

#: generations remembered of each kind of clip
_REMEMBERED = 100

#: fewer than these tell nothing
_ENOUGH = 3

#: without experience: seconds of waiting for each second of video; moves the progress, makes no promise
_GUESS = 15.0

#: what is learned to be shorter counts as this long, in seconds: the clocks behind it may have been set
_SHORTEST = 0.001

#: the part of the way that is reached when a clip of the longest learned duration should be done
_AT_HIGH = 0.9


#: model, length and size of a clip
_Kind = tuple[str, float, int, int]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """From submission to the end, in seconds: eight of ten clips took between ``low`` and ``high``."""

    low: float  #: one of ten was faster
    typical: float  #: the median
    high: float  #: one of ten was slower


class Estimates:
    """Learned durations by model, length and size."""

    def __init__(self, known: Iterable[Generation] = ()) -> None:
        self._took: dict[_Kind, deque[float]] = {}
        self._estimates: dict[_Kind, Estimate] = {}
        for generation in known:
            self.learn(generation)

    def learn(self, made: Generation) -> None:
        kind = (made.model, made.seconds, made.width, made.height)
        took = self._took.setdefault(kind, deque(maxlen=_REMEMBERED))
        took.append(max(made.took, _SHORTEST))
        if len(took) >= _ENOUGH:
            ordered = sorted(took)
            self._estimates[kind] = Estimate(
                low=_quantile(ordered, 0.1), typical=_quantile(ordered, 0.5), high=_quantile(ordered, 0.9)
            )

    def of(self, scene: Scene) -> Estimate | None:
        """What clips like this one took; None without enough experience."""
        return self._estimates.get((scene.model, scene.seconds, scene.width, scene.height))

    def fraction(self, scene: Scene, elapsed: float) -> float:
        """The part of the provider's work that is probably done after ``elapsed`` seconds; never 1.

        Even up to the time by which nine of ten are done, then ever slower.
        """
        estimate = self.of(scene)
        high = estimate.high if estimate else _GUESS * scene.seconds
        way = max(0.0, elapsed / high)
        return _AT_HIGH * way if way <= 1 else 1 - (1 - _AT_HIGH) / way


def generation_of(scene: Scene) -> Generation | None:
    """What a scene that the provider has finished teaches."""
    if scene.submitted_at is None or scene.generated_at is None:
        return None
    return Generation(
        model=scene.model,
        seconds=scene.seconds,
        width=scene.width,
        height=scene.height,
        took=(scene.generated_at - scene.submitted_at).total_seconds(),
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
