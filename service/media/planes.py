"""Pictures as separate brightness and colour planes (yuv420p, BT.709, limited range).

No RGB frame is ever made: a full-size RGB picture and its conversion would cost
more than everything but the encoder.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: 8-bit samples of a frame
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

#: limited range: black and white of the Y plane, and "no colour" of U and V
BLACK, WHITE, GREY = 16, 235, 128


class Planes(NamedTuple):
    """Views into one packed frame: Y in full size, U and V in half."""

    y: Bytes
    u: Bytes
    v: Bytes


def planes(packed: Bytes) -> Planes:
    """The three planes of a packed (height * 3 / 2, width) frame; writing to them writes to it."""
    width = packed.shape[1]
    height = packed.shape[0] * 2 // 3
    flat, luma = packed.reshape(-1), width * height
    half = (height // 2, width // 2)
    return Planes(
        flat[:luma].reshape(height, width),
        flat[luma : luma + luma // 4].reshape(half),
        flat[luma + luma // 4 :].reshape(half),
    )


def to_yuv(rgb: Floats) -> tuple[Floats, Floats, Floats]:
    """BT.709 limited range from (..., 3) RGB in 0..255; all three results in full size."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    y = 16 + (46.559 * r + 156.629 * g + 15.812 * b) / 255
    u = 128 + (-25.664 * r - 86.336 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 101.730 * g - 10.270 * b) / 255
    return y, u, v


def halve(plane: Floats) -> Floats:
    """Means of 2 x 2 squares; both sides must be even."""
    height, width = plane.shape
    squares: Floats = plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3), dtype=np.float32)
    return squares


def fill(frame: Planes, box: tuple[int, int, int, int], luma: int) -> None:
    """Paint a colourless box (left, top, right, bottom; even pixels) straight into the frame."""
    left, top, right, bottom = box
    frame.y[top:bottom, left:right] = luma
    for plane in (frame.u, frame.v):
        plane[top // 2 : bottom // 2, left // 2 : right // 2] = GREY
