"""The uploads folder: cleaned images of users, under names that are the hashes of their bytes.

The same image is kept once, however often it comes. Nothing here is served: whoever knows a name
still has to ask somebody who checks whose it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

from sessions.errors import ConfigError, NotFound, ScenewrightError

#: what a kept image is called; all of them are JPEG
UPLOAD_NAME = re.compile(r"[0-9a-f]{64}\.jpg")
_PART = ".part"


class Uploads:
    """Kept images in one folder, which belongs to one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._lock: int | None = None
        #: between the look at a file's age and its removal nobody may keep the same image again
        self._ages = threading.Lock()

    def open(self) -> None:
        """Own the folder and remove what an earlier process left unfinished.

        Raises ``ConfigError`` if the folder cannot be used, or belongs to a process that lives.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConfigError(
                f"another scenewright is using {self.folder}; stop it, or set SCENEWRIGHT_IMAGES__DIR",
                code="uploads_in_use",
            ) from None
        except OSError as error:
            raise ConfigError(f"images.dir {self.folder}: {error.strerror}") from None
        for part in self.folder.glob(f"*{_PART}"):
            part.unlink(missing_ok=True)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def keep(self, jpeg: bytes) -> str:
        """The name under which these bytes can be read from now on, on disk when this returns.

        Raises ``ScenewrightError`` with the code ``storage``, for which a full disk is one reason.
        """
        with _storing("kept"):
            return await asyncio.to_thread(self._keep, jpeg)

    async def read(self, name: str) -> bytes:
        """The image of that name. Raises ``NotFound``, for names that cannot be too."""
        if not UPLOAD_NAME.fullmatch(name):
            raise NotFound("There is no such image")
        with _storing("read"):
            try:
                return await asyncio.to_thread((self.folder / name).read_bytes)
            except FileNotFoundError:
                raise NotFound("There is no such image") from None

    async def sweep(self, wanted: Collection[str], before: datetime) -> int:
        """Remove the images that are not ``wanted`` and were last kept before then; answers how many.

        An image is kept before anybody can refer to it: ``before`` must leave time for that.
        Raises as ``keep`` does.
        """
        with _storing("swept"):
            return await asyncio.to_thread(self._sweep, frozenset(wanted), before.timestamp())

    def _keep(self, jpeg: bytes) -> str:
        name = f"{hashlib.sha256(jpeg).hexdigest()}.jpg"
        if not self._refreshed(name):
            self._write(name, jpeg)
        _sync(self.folder)
        return name

    def _write(self, name: str, jpeg: bytes) -> None:
        part = self.folder / f"{name}.{secrets.token_hex(6)}{_PART}"
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(jpeg)
                stream.flush()
                os.fsync(stream.fileno())
            with self._ages:
                part.rename(self.folder / name)
        finally:
            part.unlink(missing_ok=True)

    def _refreshed(self, name: str) -> bool:
        """Whether the image is there already; it counts as kept just now."""
        with self._ages:
            try:
                os.utime(self.folder / name)
            except FileNotFoundError:
                return False
        return True

    def _sweep(self, wanted: frozenset[str], before: float) -> int:
        swept = 0
        for file in self.folder.iterdir():
            if file.name in wanted or not UPLOAD_NAME.fullmatch(file.name):
                continue
            with self._ages:
                if file.stat().st_mtime < before:
                    file.unlink()
                    swept += 1
        return swept


@contextlib.contextmanager
def _storing(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ScenewrightError(f"The image could not be {verb}: {reason}", code="storage") from error


def _sync(folder: Path) -> None:
    """The folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
