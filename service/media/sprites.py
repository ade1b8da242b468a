"""Words as small pictures in the frame's own planes, made once and blended into many frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from service.media.planes import Floats, Planes, halve, to_yuv
from service.media.typefaces import face

Colour = tuple[int, int, int]
Shorts = NDArray[np.int16]

_OPAQUE = 128  # 7-bit alpha: 255 * 128 still fits int16, so blending needs no wider numbers


class Sprite:
    """A picture with transparency, ready to be blended into yuv420p frames."""

    __slots__ = ("_alpha", "_colour", "height", "width")

    def __init__(self, picture: Image.Image) -> None:
        #: pixels; even, because colour planes have half the size
        self.width, self.height = picture.width + picture.width % 2, picture.height + picture.height % 2
        even = Image.new("RGBA", (self.width, self.height))
        even.paste(picture, (0, 0))
        pixels = np.asarray(even, np.float32)
        alpha: Floats = np.asarray(pixels[..., 3] / 255, np.float32)
        y, u, v = to_yuv(pixels[..., :3])
        small = halve(alpha)
        weight = np.maximum(
            small, np.float32(1e-3)
        )  # colour of the visible pixels only, or edges get dark fringes
        self._colour = tuple(
            _shorts(plane) for plane in (y, halve(u * alpha) / weight, halve(v * alpha) / weight)
        )
        self._alpha = tuple(_shorts(plane * _OPAQUE) for plane in (alpha, small, small))

    def blend(self, frame: Planes, x: int, y: int, opacity: float = 1.0) -> None:
        """Draw into the frame at an even position, cut off at its edges. Opacity is 0..1."""
        strength = round(opacity * _OPAQUE)
        x, y = x // 2 * 2, y // 2 * 2
        height, width = frame.y.shape
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + self.width, width), min(y + self.height, height)
        if strength <= 0 or left >= right or top >= bottom:
            return
        for plane, colour, alpha, scale in zip(frame, self._colour, self._alpha, (1, 2, 2), strict=True):
            part = (
                slice((top - y) // scale, (bottom - y) // scale),
                slice((left - x) // scale, (right - x) // scale),
            )
            target = plane[top // scale : bottom // scale, left // scale : right // scale]
            cover = alpha[part] if strength >= _OPAQUE else (alpha[part] * strength) >> 7
            mixed = target.astype(np.int16)
            mixed += ((colour[part] - mixed) * cover + 64) >> 7  # + 64 rounds; without it all gets darker
            target[...] = mixed


def _shorts(plane: NDArray[np.floating]) -> Shorts:
    result: Shorts = np.clip(plane, 0, 255).round().astype(np.int16)
    return result


def margin(px: int) -> int:
    """Empty pixels around the text of a sprite, for the shadow and for letters that lean out."""
    return max(4, px // 3)


def word_sprite(text: str, path: Path, px: int, colour: Colour) -> Sprite:
    """A word with a soft shadow, ``margin(px)`` pixels inside its picture."""
    font, pad = face(path, px), margin(px)
    ascent, descent = font.getmetrics()  # not the ink's box: words of one line must share a baseline
    left, top, right, bottom = font.getbbox(text)
    width = int(max(right, font.getlength(text)) - min(left, 0)) + 2 * pad
    height = int(max(bottom, ascent + descent) - min(top, 0)) + 2 * pad
    at = (pad - min(left, 0), pad - min(top, 0))
    shade = Image.new("L", (width, height))
    ImageDraw.Draw(shade).text((at[0], at[1] + px * 0.05), text, font=font, fill=210)
    shade = shade.filter(ImageFilter.GaussianBlur(px / 12))
    picture = Image.new("RGBA", (width, height))
    picture.putalpha(shade)
    letters = Image.new("L", (width, height))
    ImageDraw.Draw(letters).text(at, text, font=font, fill=255)
    picture.alpha_composite(_coloured(letters, colour))
    return Sprite(picture)


def badge_sprite(text: str, path: Path, px: int) -> Sprite:
    """Small white letters on a dark pill; the picture is exactly the pill."""
    font = face(path, px)
    ascent, descent = font.getmetrics()
    side, above = round(px * 0.8), round(px * 0.4)
    width, height = int(font.getlength(text)) + 2 * side, ascent + descent + 2 * above
    pill = Image.new("L", (width * 4, height * 4))  # four times too large, for smooth ends
    ImageDraw.Draw(pill).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), radius=height * 2, fill=150)
    picture = Image.new("RGBA", (width, height))
    picture.putalpha(pill.resize((width, height), Image.Resampling.BOX))
    letters = Image.new("L", (width, height))
    ImageDraw.Draw(letters).text((side, above), text, font=font, fill=255)
    picture.alpha_composite(_coloured(letters, (255, 255, 255)))
    return Sprite(picture)


def _coloured(letters: Image.Image, colour: Colour) -> Image.Image:
    picture = Image.new("RGBA", letters.size, (*colour, 255))
    picture.putalpha(letters)
    return picture
