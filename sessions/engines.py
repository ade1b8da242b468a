"""SQLite engines.

Two engines on one file: readers, and a single writer that begins every transaction
IMMEDIATE, so that writers queue in the pool instead of meeting SQLITE_BUSY.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sessions.errors import ConfigError

#: ``synchronous=FULL``: a task's UUID survives a power cut, or the same scene could be paid for twice
_PRAGMAS: Mapping[str, str] = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "busy_timeout": "5000",
    "foreign_keys": "ON",
}


#: how long a transaction waits for its turn, in seconds; a queue of writers is no fault
_PATIENCE = 600


def sqlite_path(url: str) -> Path:
    """The file behind ``sqlite:///relative/path`` or ``sqlite:////absolute/path``."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url == prefix or ":memory:" in url:
        raise ConfigError(
            "database.url: only SQLite files are supported; give one, such as sqlite:///scenewright.db"
        )
    return Path(url.removeprefix(prefix)).resolve()  # one file, one lock, by whatever name


def sqlite_engine(path: Path, *, connections: int, begin: str) -> AsyncEngine:
    """An engine whose every transaction starts with ``begin``."""
    engine = create_async_engine(
        sa.URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_PATIENCE,
    )

    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for name, value in _PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")

    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    sa.event.listen(engine.sync_engine, "connect", on_connect)
    sa.event.listen(engine.sync_engine, "begin", on_begin)
    return engine
