"""Every packet of a file, read by libav and compared with what its headers say. Worker process only."""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from service.media.boxes import damaged
from service.media.facts import Structure, VideoFacts

#: how far length and headers may differ: seconds, and part of the whole
_SLACK_SECONDS, _SLACK_PART = 0.3, 0.05
_WEB_PIXELS = frozenset(("yuv420p", "yuvj420p"))
_WEB_SOUND = frozenset((None, "aac", "mp3"))

av.logging.set_level(None)  # libav must not call back into Python for its log


def read_all(path: Path, structure: Structure) -> VideoFacts:
    """The facts of the file; MediaError "corrupt" if anything of it is missing."""
    try:
        # Demuxer and protocol are given, so that no file can pass as a playlist that names other files.
        with av.open(
            f"file:{path}",
            format="mov" if structure.container == "mp4" else "matroska",
            options={"protocol_whitelist": "file"},
            metadata_errors="ignore",
        ) as container:
            return _facts(container, structure)
    except av.FFmpegError as exc:
        if isinstance(exc, MemoryError):
            raise
        raise damaged(f"The file cannot be read as a video: {exc.strerror or 'unknown fault'}.") from exc


def _facts(container: InputContainer, structure: Structure) -> VideoFacts:
    stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
    if stream is None:
        raise damaged("The file has no video stream.")
    if not (stream.width and stream.height):
        raise damaged("The file does not say how large its pictures are.")
    frames, end = _count(container, stream)
    length = _length(container, stream)
    if length and abs(end - length) > max(_SLACK_SECONDS, _SLACK_PART * length):
        raise damaged(f"The pictures end after {end:.2f} seconds of {length:.2f}.")
    sound = next(iter(container.streams.audio), None)
    seconds = length or end
    audio = sound.codec_context.name if sound else None
    return VideoFacts(
        container=structure.container,
        width=stream.width,
        height=stream.height,
        seconds=round(seconds, 3),
        frames=frames,
        fps=round(float(stream.average_rate or 0) or frames / max(seconds, 1e-3), 3),
        video_codec=stream.codec_context.name,
        audio_codec=audio,
        faststart=structure.faststart,
        web_problems=_web_problems(structure, stream, audio),
    )


def _count(container: InputContainer, stream: VideoStream) -> tuple[int, float]:
    """Pictures, and seconds from the first to the end of the last."""
    frames, first, last = 0, float("inf"), 0.0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise damaged("Data is missing inside the file.")
        if not frames and not packet.is_keyframe:
            raise damaged("The file does not begin with a whole picture.")
        frames += 1
        if packet.pts is not None and packet.time_base is not None:
            first = min(first, float(packet.pts * packet.time_base))
            last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    if not frames:
        raise damaged("The file holds no pictures.")
    if frames < stream.frames:
        raise damaged(f"The file is cut short: {frames} of {stream.frames} pictures can be read.")
    return frames, max(0.0, last - first)


def _length(container: InputContainer, stream: VideoStream) -> float:
    """What the headers say, seconds; 0 if they say nothing (a live recording, for example)."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _web_problems(structure: Structure, stream: VideoStream, audio: str | None) -> tuple[str, ...]:
    codec, pixels = stream.codec_context.name, stream.codec_context.pix_fmt
    checks = (
        (structure.container == "mp4", "The container is not MP4."),
        (codec == "h264", f"The video codec is {codec}, not H.264."),
        (pixels in _WEB_PIXELS, f"The pixel format is {pixels}, not yuv420p."),
        (structure.faststart is not False, "The index stands at the end of the file."),
        (audio in _WEB_SOUND, f"The audio codec is {audio}."),
    )
    return tuple(sentence for fine, sentence in checks if not fine)
