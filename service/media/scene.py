"""One scene: a moving background, the prompt word by word, a badge that says what this is, music."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from service.media.gradient import Gradient
from service.media.house import FPS, SAMPLES_PER_FRAME, XFADE, Writer
from service.media.kinetic import Kinetic
from service.media.layout import phrases
from service.media.planes import WHITE, Bytes, Planes, fill, planes
from service.media.soundtrack import Soundtrack
from service.media.spec import SceneSpec
from service.media.sprites import Sprite, badge_sprite
from service.media.typefaces import MEDIUM, dress, face

#: letters of a prompt that are laid out at all; even a minute shows fewer
_READ = 4000
#: letters of a scenario on the badge
_NAME = 16
#: smallest letters on the badge, pixels
_TINY = 6
#: pictures between two stretches of sound
_SOUND_EVERY = 15
#: scenes longer than this keep text out of the stretches where a neighbour may be faded in, seconds
_ROOMY = 3.0


def render_scene(spec: SceneSpec, out: Path, progress: Callable[[float], None] = lambda _: None) -> None:
    """Write the scene to ``out``: a whole file, or after any failure none.

    ``progress`` is called with the part that is done, 0..1, after every picture.
    """
    frames = round(spec.seconds * FPS)
    picture = _Picture(spec, frames)
    sound = Soundtrack(_seed(spec), frames / FPS, dark=spec.scenario.lower() == "problem")
    # Key frames where a crossfade ends or begins: joining scenes later copies all that is between.
    keyframes = {0, XFADE, frames - XFADE}
    with Writer(out, spec.width, spec.height, preset=spec.preset, keyframes=keyframes) as writer:
        heard = 0
        for i in range(frames):
            writer.picture(picture.draw(i))
            if (i + 1) % _SOUND_EVERY == 0 or i + 1 == frames:
                until = (i + 1) * SAMPLES_PER_FRAME
                writer.sound(sound.stretch(heard, until))
                heard = until
            progress((i + 1) / frames)


def _seed(spec: SceneSpec) -> int:
    """The same for the same words and take; the size of the picture does not matter."""
    digest = hashlib.sha256(f"{spec.scenario}|{spec.take}|{spec.prompt}".encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "big")


class _Picture:
    """Everything seen in the scene, drawn one frame after another."""

    def __init__(self, spec: SceneSpec, frames: int) -> None:
        self._frames = frames
        self._short = min(spec.width, spec.height)
        self._background = Gradient(spec.width, spec.height, spec.scenario, _seed(spec))
        self._inset = self._short // 24
        self._badge = _badge(spec, self._short, spec.width - 2 * self._inset)
        seconds = frames / FPS
        edge = 0.35 if seconds > _ROOMY else 0.1
        words = dress(spec.prompt[:_READ].split()) or dress([spec.scenario.upper()])
        self._words = Kinetic(phrases(words, spec.width, spec.height, edge, seconds - edge / 2))

    def draw(self, number: int) -> Bytes:
        """The frame of that number, packed."""
        packed = self._background.frame(number / FPS)
        frame = planes(packed)
        self._words.draw(frame, number / FPS)
        self._badge.blend(frame, self._inset, self._inset)
        self._bar(frame, (number + 1) / self._frames)
        return packed

    def _bar(self, frame: Planes, part: float) -> None:
        """The progress bar at the bottom; full in the last frame."""
        height, width = frame.y.shape
        thick = max(4, self._short // 90) // 2 * 2
        fill(frame, (0, height - thick, int(width * part) // 2 * 2, height), WHITE)


def _badge(spec: SceneSpec, short: int, room: int) -> Sprite:
    """Which scene, which take, and that this is no provider's work; small enough for the room, in pixels."""
    words = dress(
        [*spec.scenario.upper()[:_NAME].split(), "·", "take", str(spec.take), "·", "local", "preview"], MEDIUM
    )
    text = " ".join(word for word, _ in words)
    px = max(12, short // 32)
    while px > _TINY and face(MEDIUM, px).getlength(text) + 2 * px > room:
        px -= 1
    return badge_sprite(text, MEDIUM, px)
