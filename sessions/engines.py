"""SQLite engines.

Two engines on one file: readers, and a single writer that begins every transaction
IMMEDIATE, so that it waits for a foreign writer instead of meeting SQLITE_BUSY half-way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from sessions.errors import ConfigError

#: ``synchronous=FULL``: a task's UUID survives a power cut, or the same scene could be paid for twice
_PRAGMAS: Mapping[str, str] = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "busy_timeout": "5000",
    "foreign_keys": "ON",
}


def sqlite_path(url: str) -> Path:
    """The file behind ``sqlite:///relative/path`` or ``sqlite:////absolute/path``."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url == prefix or ":memory:" in url:
        raise ConfigError(
            "database.url: only SQLite files are supported; give one, such as sqlite:///scenewright.db"
        )
    return Path(url.removeprefix(prefix)).resolve()  # one file, one lock, by whatever name


def sqlite_engine(path: Path, *, connections: int, begin: str, foreign_keys: bool = True) -> sa.Engine:
    """An engine whose every transaction starts with ``begin``.

    ``foreign_keys`` is for migrations: SQLite changes a column by putting a new table in the old one's
    place, and there is no moment in a transaction at which its references could be let go.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), pool_size=connections, max_overflow=0
    )

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for name, value in _PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
        if not foreign_keys:
            connection.execute("PRAGMA foreign_keys=OFF")

    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    sa.event.listen(engine, "connect", on_connect)
    sa.event.listen(engine, "begin", on_begin)
    return engine
