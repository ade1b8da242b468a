"""Is this file a complete video? Two answers: at once and nearly sure, or thorough.

``quick`` reads the file's structure, in well under a millisecond. ``demux`` lets libav
read every packet as well; it belongs into the worker process.
"""

from __future__ import annotations

from pathlib import Path

from service.media.boxes import Box, Reader, damaged
from service.media.ebml import EBML, claimed_end
from service.media.facts import Structure, VideoFacts
from service.media.index import farthest_sample

__all__ = ["Structure", "VideoFacts", "demux", "quick"]

_GZIP = b"\x1f\x8b"
#: what an MP4 may begin with, after four bytes of size
_FIRST = frozenset((b"ftyp", b"styp", b"moov", b"wide", b"mdat", b"free", b"skip"))


def demux(path: Path) -> VideoFacts:
    """The facts of a complete video, every packet of it read; MediaError "corrupt" for any other file."""
    structure = quick(path)
    from service.media.packets import read_all  # noqa: PLC0415 - loads libav, which the service must not

    return read_all(path, structure)


def quick(path: Path) -> Structure:
    """The structure of a file that looks complete; MediaError "corrupt" for any other."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(512)
        if not head:
            raise damaged("The file is empty.")
        if head.startswith(EBML):
            return _webm(head, size)
        if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{", b"["):
            raise damaged("The file is text, perhaps an error page, and not a video.")
        if head.startswith(_GZIP):
            raise damaged("The file is compressed with gzip and not a video.")
        if head[4:8] not in _FIRST:
            raise damaged("The file is neither MP4 nor WebM.")
        return _mp4(Reader(file, size))


def _webm(head: bytes, size: int) -> Structure:
    end = claimed_end(head)
    if end is not None and end > size:
        raise damaged(f"The file is cut short: the pictures reach byte {end} of {size}.")
    return Structure(container="webm", size=size)


def _mp4(reader: Reader) -> Structure:
    top = _top(reader)
    kinds = [box.kind for box in top]
    moov = next((box for box in top if box.kind == b"moov"), None)
    if moov is None:
        raise damaged("The file has no index: it was cut short or never finished.")
    if b"mdat" not in kinds:
        raise damaged("The file has an index but no pictures: it was cut short.")
    faststart, fragmented = kinds.index(b"moov") < kinds.index(b"mdat"), b"moof" in kinds
    end, samples = farthest_sample(reader, moov)
    if end > reader.size:
        raise damaged(f"The file is cut short: the samples reach byte {end} of {reader.size}.")
    if not samples and not fragmented:
        raise damaged("The file's index lists no pictures.")
    return Structure(
        container="mp4", size=reader.size, faststart=faststart, fragmented=fragmented, samples=samples
    )


def _top(reader: Reader) -> list[Box]:
    """The boxes at the top. Rubbish after a whole video is left out; players ignore it too."""
    top: list[Box] = []
    for box in reader.boxes(0, reader.size):
        if not box.known and {b"moov", b"mdat"} <= {earlier.kind for earlier in top}:
            break
        if box.end > reader.size:
            what = "samples reach" if box.kind == b"mdat" else "last part reaches"
            raise damaged(f"The file is cut short: the {what} byte {box.end} of {reader.size}.")
        top.append(box)
    return top
