"""``multipart/form-data`` (RFC 7578), part by part as it arrives.

aiohttp's own reader is not bounded, follows encodings that no client has sent for decades, and takes
much for a form that is none. This one knows what browsers and libraries send, and refuses the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.contracts.problems import BadRequest
from service.contracts.reading import Arriving, bad_body

#: the headers of one part, and what may stand before the first one, in bytes
_HEAD_LIMIT = 4 << 10

_PARTS_LIMIT = 100

#: RFC 2046, 5.1.1
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_PARAMETER = re.compile(r'[ \t]*;[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s";]+)')

#: encodings that change nothing
_PLAIN = frozenset({"7bit", "8bit", "binary"})


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a part says of itself. Names and types of the client's files are not believed."""

    name: str
    is_file: bool


class Parts:
    """The parts of one form. Raises ``BadRequest`` for what is none, besides what ``arriving`` raises."""

    def __init__(self, content_type: str, arriving: Arriving) -> None:
        self._arriving = arriving
        self._mark = b"\r\n--" + _boundary(content_type)
        # The first boundary begins the body; for all others its line does.
        self._held = bytearray(b"\r\n")
        self._left = _PARTS_LIMIT
        self._begun = False

    async def next(self) -> Head | None:
        """The next part, whose data has to be asked for; None after the last one."""
        if not self._begun and await self._until(self._mark, _HEAD_LIMIT) is None:
            raise _malformed()
        self._begun = True
        after = await self._two()
        if after == b"--":
            while await self._arriving.piece():
                pass  # what stands behind the last boundary means nothing
            return None
        self._left -= 1
        if self._left < 0:
            raise bad_body(f"The form has more than {_PARTS_LIMIT} fields")
        head = await self._until(b"\r\n\r\n", _HEAD_LIMIT) if after == b"\r\n" else None
        if head is None:
            raise _malformed()
        return _head(head)

    async def data(self, limit: int) -> bytes | None:
        """The part's data; None if there are more than ``limit`` bytes."""
        return await self._until(self._mark, limit)

    async def _until(self, mark: bytes, limit: int) -> bytes | None:
        """What stands before the mark, which is passed over; None if that is too long."""
        searched = 0
        while (at := self._held.find(mark, searched)) < 0:
            if len(self._held) >= limit + len(mark):
                return None
            searched = max(0, len(self._held) - len(mark) + 1)
            await self._more()
        if at > limit:
            return None
        found = bytes(self._held[:at])
        del self._held[: at + len(mark)]
        return found

    async def _two(self) -> bytes:
        while len(self._held) < len(b"--"):
            await self._more()
        found = bytes(self._held[:2])
        del self._held[:2]
        return found

    async def _more(self) -> None:
        piece = await self._arriving.piece()
        if not piece:
            raise bad_body("The form ends before its last boundary")
        self._held += piece


def _boundary(content_type: str) -> bytes:
    given = [text for name, text in _parameters(content_type) if name == "boundary"]
    if len(given) != 1 or not _BOUNDARY.fullmatch(given[0]):
        raise bad_body("The Content-Type of a form names its boundary: multipart/form-data; boundary=...")
    return given[0].encode()


def _head(block: bytes) -> Head:
    try:
        lines = block.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        raise _malformed() from None
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None or header[1].lower() in headers:
            raise _malformed()
        headers[header[1].lower()] = header[2].strip()
    if headers.get("content-transfer-encoding", "binary").lower() not in _PLAIN:
        raise bad_body("The fields of a form are sent as they are, without a Content-Transfer-Encoding")
    if headers.get("content-type", "").lower().startswith("multipart/"):
        raise bad_body("A form inside a form is not read; send each file as a field of its own")
    disposition = headers.get("content-disposition", "")
    if disposition.partition(";")[0].strip().lower() != "form-data":
        raise _malformed()
    parameters = _parameters(disposition)
    names = [text for name, text in parameters if name == "name"]
    if len(names) != 1:
        raise _malformed()
    return Head(name=names[0], is_file=any(name.startswith("filename") for name, _ in parameters))


def _parameters(header: str) -> Sequence[tuple[str, str]]:
    """What follows the first word, such as ``; name="prompt"``, unquoted; names in lower case."""
    found, at = [], len(header.partition(";")[0])
    while match := _PARAMETER.match(header, at):
        text = match[2]
        found.append((match[1].lower(), text[1:-1] if text.startswith('"') else text))
        at = match.end()
    if header[at:].strip(" \t;"):
        raise _malformed()
    return found


def _malformed() -> BadRequest:
    return bad_body("The form cannot be read: it is not well-formed multipart/form-data")
