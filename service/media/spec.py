"""What the room is asked for: one scene, in numbers that have been checked."""

from __future__ import annotations

from dataclasses import dataclass

from sessions.errors import MediaError

#: shortest and longest scene, seconds
SECONDS = (0.5, 60.0)
#: smallest and largest side of a picture, pixels
SIDE = (128, 3840)
#: x264's names for how hard it tries; slower ones than these are of no use for a preview
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")


@dataclass(frozen=True, kw_only=True)
class SceneSpec:
    """One scene to render. Equal specs give equal bytes; impossible ones cannot be made."""

    #: what the scene shows; may be empty, of any length and in any script
    prompt: str
    #: hook, problem, solution, cta, or any other short word; printed on the badge
    scenario: str
    #: 1 for the first try; another take is another picture
    take: int = 1
    #: length in seconds, rounded to whole frames
    seconds: float = 5.0
    #: pixels, even
    width: int = 1280
    #: pixels, even
    height: int = 720
    #: one of PRESETS
    preset: str = "veryfast"

    def __post_init__(self) -> None:
        if not SECONDS[0] <= self.seconds <= SECONDS[1]:  # also refuses NaN
            _refuse(f"A scene lasts between {SECONDS[0]:g} and {SECONDS[1]:g} seconds, not {self.seconds:g}.")
        for name, side in (("width", self.width), ("height", self.height)):
            if not SIDE[0] <= side <= SIDE[1] or side % 2:
                _refuse(f"The {name} must be an even number between {SIDE[0]} and {SIDE[1]}, not {side}.")
        if self.take < 0:
            _refuse(f"A take has a number from 0, not {self.take}.")
        if self.preset not in PRESETS:
            _refuse(f"There is no preset {self.preset[:40]!r}; choose one of {', '.join(PRESETS)}.")


def _refuse(sentence: str) -> None:
    """The same request would fail again, hence not retryable."""
    raise MediaError(sentence, code="input", retryable=False)
