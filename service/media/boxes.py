"""The box structure of an MP4 file, read without trusting it.

Sizes and counts in the file are claims: each is compared with what is really there
before anything is allocated or repeated for it.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from sessions.errors import MediaError

#: boxes read in one file; an ad has some dozens, an hour in fragments some thousands
_MOST_BOXES = 100_000
#: bytes of one table; four million samples are 37 hours of pictures
_LARGEST_TABLE = 16 << 20
#: boxes that may stand at the top of a file; others there are rubbish after the end
_TOP = frozenset(
    b"ftyp styp moov mdat moof mfra free skip wide uuid udta meta sidx ssix emsg pdin prft".split()
)
#: bytes of a header, and of one with a long size
_HEADER, _LONG_HEADER = 8, 16
_TO_THE_END, _LONG_SIZE = 0, 1


@dataclass(frozen=True, kw_only=True)
class Box:
    """A named stretch of the file, in bytes from its start."""

    kind: bytes
    #: where its content begins and ends; the end may lie beyond the file
    start: int
    end: int

    @property
    def known(self) -> bool:
        """Whether it may stand at the top of a file."""
        return self.kind in _TOP


@dataclass
class Reader:
    """A file and how much of it has been looked at."""

    file: BinaryIO
    #: bytes
    size: int
    _seen: int = field(default=0, init=False)

    def boxes(self, start: int, end: int) -> Iterator[Box]:
        """The boxes that follow one another from start to end (bytes)."""
        while start + _HEADER <= end:
            self._seen += 1
            if self._seen > _MOST_BOXES:
                raise damaged("The file has more parts than any video.")
            self.file.seek(start)
            head = self.file.read(_LONG_HEADER)
            if len(head) < _HEADER:
                raise damaged(f"The file is cut short: it ends inside the header at byte {start}.")
            size, kind = struct.unpack_from(">I4s", head)
            content = _HEADER
            if size == _LONG_SIZE and len(head) == _LONG_HEADER:
                (size,), content = struct.unpack_from(">Q", head, _HEADER), _LONG_HEADER
            elif size == _TO_THE_END:
                size = end - start
            if size < content:
                raise damaged(f"The part at byte {start} claims an impossible size of {size} bytes.")
            yield Box(kind=kind, start=start + content, end=start + size)
            start += size

    def inside(self, parent: Box, *path: bytes) -> Iterator[Box]:
        """The boxes at a path of names below the parent; none may reach out of its parent."""
        for box in self.boxes(parent.start, parent.end):
            if box.end > parent.end:
                raise damaged("The file's index is damaged: a part of it is larger than the whole.")
            if box.kind != path[0]:
                continue
            if len(path) == 1:
                yield box
            else:
                yield from self.inside(box, *path[1:])

    def table(self, box: Box, code: str, *, header: int, columns: int = 1) -> array[int]:
        """The numbers of a table: after ``header`` bytes a count, then ``columns`` a row, big-endian.

        The code is "I" for 4 and "Q" for 8 bytes a number.
        """
        (count,) = self.numbers(box, header, 1)
        numbers = array(code)
        wanted = count * columns * numbers.itemsize
        if wanted > box.end - box.start - header - 4 or wanted > _LARGEST_TABLE:
            raise damaged(f"The file's index is damaged: it claims a table of {count} rows.")
        numbers.frombytes(self.file.read(wanted))
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers

    def numbers(self, box: Box, offset: int, count: int) -> tuple[int, ...]:
        """Some 4-byte numbers at an offset of a box; leaves the file right after them."""
        self.file.seek(box.start + offset)
        raw = self.file.read(4 * count)
        if len(raw) < 4 * count or box.start + offset + 4 * count > box.end:
            raise damaged("The file's index is damaged: a table ends early.")
        return struct.unpack(f">{count}I", raw)


def damaged(sentence: str) -> MediaError:
    """The error for a file that is no complete video."""
    return MediaError(sentence, code="corrupt")
