"""The moving background: four drifting clouds of colour."""

from __future__ import annotations

import colorsys

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from service.media.planes import Bytes, Floats, halve, to_yuv

#: two hues (0..1) of each scenario
_HUES = {"hook": (0.95, 0.86), "problem": (0.64, 0.73), "solution": (0.44, 0.55), "cta": (0.03, 0.92)}
#: HSV value of the four clouds
_VALUES = (0.74, 0.48, 0.62, 0.32)
#: most luma of a cloud, 0..255: white letters keep a contrast of 5 : 1, also on green
_LUMA = 95
#: longer side of the picture that is really computed, pixels
_LONG = 64


class Gradient:
    """Computed very small in 10 bit; libav's scaler enlarges it, and dithers it to 8 bit on the way.

    That takes a seventh of a millisecond for a 720p frame and shows no bands.
    """

    def __init__(self, width: int, height: int, scenario: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._size = (width, height)
        longer = max(width, height)
        self._small = (max(8, _LONG * width // longer // 4 * 4), max(8, _LONG * height // longer // 4 * 4))
        hues = _HUES.get(scenario.lower()) or (float(rng.random()), float(rng.random()))
        self._colours = [_cloud(hues[i % 2] + rng.uniform(-0.04, 0.04), rng, _VALUES[i]) for i in range(4)]
        self._phase = rng.uniform(0, 2 * np.pi, (4, 2))
        self._speed = rng.uniform(0.5, 1.2, (4, 2)) * rng.choice([-1, 1], (4, 2))  # radians a second
        rows, columns = np.mgrid[0 : self._small[1], 0 : self._small[0]].astype(np.float32)
        self._x, self._y = columns / self._small[0], rows / self._small[1]
        corner = (self._x - 0.5) ** 2 + (self._y - 0.5) ** 2
        self._vignette = (1 - 0.9 * corner)[..., None]
        self._scaler = VideoReformatter()

    def frame(self, time: float) -> Bytes:
        """The background at a time in seconds, packed; the caller may draw on it."""
        width, height = self._small
        y, u, v = to_yuv(self._clouds(time))
        samples = np.concatenate([plane.reshape(-1) for plane in (y, halve(u), halve(v))])
        ten_bit = (samples * 4).astype(np.uint16).reshape(height * 3 // 2, width)
        small = av.VideoFrame.from_ndarray(ten_bit, format="yuv420p10le")
        large = self._scaler.reformat(
            small,
            width=self._size[0],
            height=self._size[1],
            format="yuv420p",
            interpolation="BICUBIC",
            threads=1,
        )
        return np.asarray(large.to_ndarray(), np.uint8)

    def _clouds(self, time: float) -> Floats:
        """RGB in 0..255, (height, width, 3): at each place the mean of the clouds, near ones first."""
        angle = self._phase + self._speed * time
        total = np.zeros((*self._x.shape, 3), np.float32)
        weights = np.full((*self._x.shape, 1), 1e-4, np.float32)
        for colour, (x, y) in zip(self._colours, angle, strict=True):
            distance = (self._x - 0.5 - 0.45 * np.sin(x)) ** 2 + (self._y - 0.5 - 0.45 * np.cos(y)) ** 2
            near = np.exp(-7 * distance)[..., None].astype(np.float32)
            total += near * colour
            weights += near
        clouds: Floats = total / weights * self._vignette
        return clouds


def _cloud(hue: float, rng: np.random.Generator, value: float) -> NDArray[np.float32]:
    rgb = np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.7, 0.9), value), np.float32) * 255
    luma = float(rgb @ (0.2126, 0.7152, 0.0722))
    return rgb * np.float32(min(1.0, _LUMA / luma))
