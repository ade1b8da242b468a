"""The mirror port: a second home for finished files, close to the browsers that ask for them.

The file in the outputs folder stays the one that counts: a mirror that is away costs speed,
never a video.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class MirrorFailed(Exception):
    """The mirror has not done it; the message says why, in words for people."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        #: whether it can work later with nothing changed
        self.retryable = retryable


class Mirror(Protocol):
    """Keeps copies of finished files."""

    async def upload(self, file: Path, name: str) -> str:
        """Put a copy there under ``name`` (letters, digits, ``_``, ``-``); answers its public URL.

        May be repeated: the later copy takes the place of the earlier one. Raises ``MirrorFailed``.
        """

    async def remove(self, name: str) -> None:
        """Take the copy away, and out of caches as far as possible; one that is not there is gone.

        Raises ``MirrorFailed``.
        """
