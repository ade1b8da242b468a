"""The house format, and the muxer that writes it.

H.264 High yuv420p BT.709 limited range, 30 frames a second without exception,
square pixels, closed GOPs with headers that allow joining by copy; AAC-LC 48 kHz
stereo at 128 kbit/s; index at the front. Whatever this service renders looks like
this, so that scenes can be joined without being encoded again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.codec.context import ThreadType
from numpy.typing import NDArray

from service.media.planes import Bytes

#: frames a second
FPS = 30
#: audio samples a second
RATE = 48_000
#: audio samples that go with one picture
SAMPLES_PER_FRAME = RATE // FPS
#: x264's constant quality: 18 looks perfect, 28 looks poor
CRF = 23
#: length of an overlap when scenes are joined, in frames; it starts and ends with a key frame
XFADE = FPS // 2

_GOP = "keyint=60:min-keyint=1:scenecut=40:open-gop=0:stitchable=1"
_LIMITED, _BT709, _KEY = 1, 1, 1  # libav's numbers: AVCOL_RANGE_MPEG, AVCOL_*_BT709, AV_PICTURE_TYPE_I


class Writer:
    """Writes one file in the house format; a context manager that leaves a whole file or none.

    The path should be a temporary name beside the final one: the index moves to the
    front only at the very end, so a reader must never find the file before.
    """

    def __init__(
        self, path: Path, width: int, height: int, *, preset: str, keyframes: Iterable[int] = ()
    ) -> None:
        self._path = path
        self._keyframes = frozenset(keyframes)
        self._frames = 0
        self._samples = 0
        # No encoder versions and no dates in the file: the same scene must give the same bytes.
        self._container = av.open(
            str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
        )
        self._video = self._container.add_stream(
            "libx264",
            rate=FPS,
            options={
                "preset": preset,
                "crf": str(CRF),
                "profile": "high",
                "forced-idr": "1",
                "x264-params": _GOP,
                "flags": "+bitexact",
            },
        )
        picture = self._video.codec_context
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        picture.sample_aspect_ratio = Fraction(1, 1)
        # One thread: results repeat, and the machine is filled by several scenes at a time instead.
        # FRAME, because PyAV's default of SLICE makes x264 cut pictures up, which costs size.
        picture.thread_count, picture.thread_type = 1, ThreadType.FRAME
        picture.color_range = _LIMITED
        picture.colorspace = picture.color_primaries = picture.color_trc = _BT709
        self._audio = self._container.add_stream(
            "aac", rate=RATE, options={"b": "128k", "flags": "+bitexact"}, layout="stereo"
        )

    def picture(self, packed: Bytes) -> None:
        """The next frame, packed (height * 3 / 2, width). It is copied."""
        frame = av.VideoFrame.from_ndarray(packed, format="yuv420p")
        frame.pts, frame.time_base = self._frames, Fraction(1, FPS)
        frame.pict_type = _KEY if self._frames in self._keyframes else 0
        frame.color_range, frame.colorspace = _LIMITED, _BT709
        self._frames += 1
        self._container.mux(self._video.encode(frame))

    def sound(self, pcm: NDArray[np.float32]) -> None:
        """The next stretch of sound: (samples, 2), -1..1. Feed it along with the pictures.

        The muxer holds pictures back until the sound of the same time has come.
        """
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm.T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, Fraction(1, RATE)
        self._samples += frame.samples
        self._container.mux(self._audio.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def _finish(self) -> None:
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()
        # On the disk before anyone renames it: a power cut must not leave a whole name on half a file.
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def _discard(self) -> None:
        with suppress(av.FFmpegError):
            self._container.close()
        self._path.unlink(missing_ok=True)
