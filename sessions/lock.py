"""One process per database file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sessions.errors import ConfigError


class ProcessLock:
    """Held for as long as this process owns the database; freed by the kernel however it ends.

    Two embedded servers on one file would both run the same unfinished jobs.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise ConfigError(
                f"another scenewright (process {owner}) is using {self._path.with_suffix('')}; "
                "stop it, or point SCENEWRIGHT_DATABASE__URL at another file",
                code="database_in_use",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
