"""The outputs folder: finished files under their final names, unfinished ones as ``.part``.

A final name appears by one rename, after the bytes are on disk: whoever sees the name
sees the whole file. Names come from ids and random letters, never from a user's text.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path

from sessions.errors import ConfigError, DownloadError

#: what a finished file may be called: nothing hidden, nothing unfinished, no path
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}\.mp4")
_PART = ".part"


class Outputs:
    """Finished files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lock: int | None = None

    def open(self, *, keep: Collection[Path] = ()) -> int:
        """Own the folder and sweep what an earlier process left unfinished, but not ``keep``.

        Answers how many files went. Raises ``ConfigError`` if the folder cannot be used, or
        belongs to a process that lives: sweeping would take the files it is working on.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConfigError(
                f"another scenewright is using {self.folder}; stop it, or set SCENEWRIGHT_OUTPUTS__DIR",
                code="outputs_in_use",
            ) from None
        except OSError as error:
            raise ConfigError(f"outputs.dir {self.folder}: {error.strerror}") from None
        leftovers = [part for part in self.folder.glob(f"*{_PART}") if part not in keep]
        for part in leftovers:
            part.unlink(missing_ok=True)
        return len(leftovers)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def new_name(self, origin: str, part: str) -> str:
        """``{session_id}_{scenario}_{random}.mp4`` (document 002, "Video Storage")."""
        return f"{origin}_{part}_{secrets.token_hex(6)}.mp4"

    def part(self, name: str) -> Path:
        """Where the file ``name`` is gathered before it is whole."""
        return self.folder / f"{name}{_PART}"

    def restore(self) -> None:
        """Bring the folder back if it has vanished and nothing is in its way."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)

    def discard(self, name: str) -> None:
        """Remove what was gathered for ``name``."""
        with contextlib.suppress(OSError):
            (self.folder / f"{name}{_PART}").unlink()

    def remove(self, name: str) -> bool:
        """Delete a finished file; answers whether it is gone now."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def has(self, name: str) -> bool:
        """Whether the file is there under its final name."""
        return (self.folder / name).is_file()

    async def publish(self, name: str) -> None:
        """Bytes to disk, then the final name, then the folder's entry to disk.

        Raises ``DownloadError``, for which a full disk is one reason.
        """
        with _storing():
            await asyncio.to_thread(_durable_rename, self.part(name), self.folder / name)

    def path(self, name: str) -> Path | None:
        """The finished file called ``name``, or None for any other name."""
        return self.folder / name if FILE_NAME.fullmatch(name) else None

    def writable(self) -> bool:
        """Whether files can be put here."""
        return os.access(self.folder, os.W_OK | os.X_OK)


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DownloadError(f"The video could not be stored: {reason}", code="storage") from error


def _durable_rename(part: Path, final: Path) -> None:
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.rename(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
