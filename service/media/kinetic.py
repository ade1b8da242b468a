"""Words that rise into the picture one after another; each phrase makes room for the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from service.media.layout import Phrase
from service.media.planes import Planes
from service.media.sprites import Colour, Sprite, margin, word_sprite

_PLAIN: Colour = (255, 255, 255)
#: long words and numbers carry the message
_HOT: Colour = (255, 224, 102)
_HOT_LETTERS = 8
#: seconds: a word rises, a word or a phrase fades, the next word follows
_RISE, _FADE, _NEXT = 0.28, 0.15, 0.12
#: how far a word rises, in heights of its letters
_LIFT = 0.6


class Kinetic:
    """Draws phrases. Sprites of one phrase at a time are kept: those of a minute in 4K fill a gigabyte."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self._phrases = list(phrases)
        self._shown: Phrase | None = None
        self._sprites: list[Sprite] = []

    def draw(self, frame: Planes, time: float) -> None:
        """Draw what stands in the picture at a time in seconds."""
        phrase = next((p for p in self._phrases if p.start <= time < p.end), None)
        if phrase is None:
            return
        if phrase is not self._shown:
            self._shown, self._sprites = phrase, [_sprite(p.word, phrase.px) for p in phrase.words]
        leaving = min(1.0, (phrase.end - time) / _FADE)
        after = min(_NEXT, (phrase.end - phrase.start) * 0.4 / len(phrase.words))
        pad = margin(phrase.px)
        for i, (placed, sprite) in enumerate(zip(phrase.words, self._sprites, strict=True)):
            age = time - phrase.start - i * after
            if age < 0:
                break
            lift = round((1 - min(1.0, age / _RISE)) ** 3 * _LIFT * phrase.px)
            sprite.blend(frame, placed.x - pad, placed.y - pad + lift, min(1.0, age / _FADE) * leaving)


def _sprite(word: tuple[str, Path], px: int) -> Sprite:
    text, path = word
    hot = len(text) >= _HOT_LETTERS or any(c.isdigit() for c in text)
    return word_sprite(text, path, px, _HOT if hot else _PLAIN)
