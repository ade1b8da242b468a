"""What is known of a video file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What the outside of a file tells."""

    #: "mp4" (also mov) or "webm" (also mkv)
    container: str
    #: bytes
    size: int
    #: index before the pictures; None where the container has no such thing
    faststart: bool | None = None
    #: made of pieces that each have an index, so that none covers the whole
    fragmented: bool = False
    #: samples of all tracks in the index
    samples: int = 0


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a complete video is."""

    #: "mp4" or "webm"
    container: str
    #: pixels
    width: int
    height: int
    #: length of the pictures
    seconds: float
    #: pictures in the file
    frames: int
    #: pictures a second
    fps: float
    #: libav's short names: h264, hevc, vp9, av1 ...; aac, mp3, opus ...
    video_codec: str
    #: None without sound
    audio_codec: str | None
    #: index before the pictures, so that playing starts at once; None for webm
    faststart: bool | None
    #: why a browser may refuse it or start late, in short sentences; empty is best
    web_problems: tuple[str, ...]

    @property
    def web_ready(self) -> bool:
        """Whether every current browser plays it at once."""
        return not self.web_problems

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The facts as a worker writes them."""
        return cls(**{**record, "web_problems": tuple(record["web_problems"])})
