"""The outermost structure of WebM and Matroska: how long the file claims to be."""

from __future__ import annotations

from service.media.boxes import damaged

#: what every such file begins with
EBML = b"\x1aE\xdf\xa3"
_SEGMENT = b"\x18S\x80g"
_LONGEST = 8  # bytes of a size


def claimed_end(head: bytes) -> int | None:
    """The byte where the file should end, from its first few hundred bytes; None if it does not say.

    Live recordings do not say.
    """
    body, header = _size(head, len(EBML))
    if header is None or head[body + header :][:4] != _SEGMENT:
        raise damaged("The file's header is damaged: no video follows it.")
    content, length = _size(head, body + header + len(_SEGMENT))
    return None if length is None else content + length


def _size(head: bytes, at: int) -> tuple[int, int | None]:
    """Where the content after a size begins, and that size; None for "unknown"."""
    first = head[at] if at < len(head) else 0
    length = 9 - first.bit_length()  # the highest bit tells how many bytes the size has
    if length > _LONGEST or at + length > len(head):
        raise damaged("The file is cut short: it ends inside its header.")
    bits = 7 * length
    number = int.from_bytes(head[at : at + length]) & ((1 << bits) - 1)
    return at + length, None if number == (1 << bits) - 1 else number
