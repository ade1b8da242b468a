"""The Store on SQLite, by SQLAlchemy Core: connections and transactions (see ``reads``, ``writes``)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from sessions import reads, tables, writes
from sessions.engines import sqlite_engine, sqlite_path
from sessions.errors import ConfigError
from sessions.lifecycle import Transition
from sessions.lock import ProcessLock
from sessions.migrations import migrate
from sessions.model import Event, Job, JobSnapshot, Scene, SceneDescription, Session
from sessions.store import StoreUnavailable

_T = TypeVar("_T")
Work = Callable[[AsyncConnection], Awaitable[_T]]

#: how long queued transactions may take when the database is closed, in seconds
_FAREWELL = 2.0

#: faults of the program; waiting would not mend them
_OURS = (IntegrityError, ProgrammingError, DataError)


class Database:
    """``Store`` on one SQLite file. ``open`` before use, ``close`` after."""

    def __init__(self, url: str) -> None:
        self.path = sqlite_path(url)
        self._lock = ProcessLock(self.path)
        self._readers = sqlite_engine(self.path, connections=3, begin="BEGIN")
        self._writer = sqlite_engine(self.path, connections=1, begin="BEGIN IMMEDIATE")
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._too_late = False

    async def open(self) -> tuple[str | None, str]:
        """Own the file and bring its schema up to date; answers the revisions before and after.

        Raises ``ConfigError`` if the file cannot be used.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            return await migrate(self._writer)
        except (DBAPIError, CommandError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise ConfigError(f"database {self.path} cannot be used: {reason}") from error

    async def close(self) -> None:
        """Take no more; what is queued gets a moment, what has begun gets its end."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_FAREWELL)
        self._too_late = True
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._readers.dispose()
        await self._writer.dispose()
        self._lock.release()

    async def ping(self) -> None:
        """Raise ``StoreUnavailable`` unless the database answers."""
        await self._read(lambda connection: connection.execute(sa.text("SELECT count(*) FROM sqlite_master")))

    # ------------------------------------------------------------------ Store

    async def create_session(self, session: Session) -> None:
        await self._write(lambda connection: writes.create_session(connection, session))

    async def session(self, session_id: str) -> Session | None:
        query = sa.select(tables.sessions).where(tables.sessions.c.id == session_id)
        found = await self._read(lambda connection: reads.sessions(connection, query))
        return found[0] if found else None

    async def sessions(self, *, limit: int, offset: int) -> tuple[list[Session], int]:
        return await self._read(lambda it: reads.page_of_sessions(it, limit=limit, offset=offset))

    async def save_descriptions(
        self, session_id: str, descriptions: Sequence[SceneDescription], now: datetime
    ) -> None:
        await self._write(lambda it: writes.save_descriptions(it, session_id, descriptions, now))

    async def create_job(self, job: Job, scenes: Sequence[Scene]) -> JobSnapshot:
        return await self._write(lambda connection: writes.create_job(connection, job, scenes))

    async def job(self, job_id: str) -> JobSnapshot | None:
        return await self._read(lambda connection: reads.snapshot(connection, job_id))

    async def jobs_of(self, session_id: str) -> list[Job]:
        return await self._read(lambda connection: reads.jobs_of(connection, session_id))

    async def unfinished_jobs(self) -> list[str]:
        return await self._read(reads.unfinished_jobs)

    async def apply(self, transition: Transition) -> Job:
        return await self._write(lambda connection: writes.apply(connection, transition))

    async def events(self, job_id: str) -> list[Event]:
        return await self._read(lambda connection: reads.events(connection, job_id))

    # ------------------------------------------------------------------ transactions

    async def _read(self, work: Work[_T]) -> _T:
        async def transaction() -> _T:
            async with self._readers.connect() as connection:
                return await work(connection)

        return await self._whole(transaction())

    async def _write(self, work: Work[_T]) -> _T:
        async def transaction() -> _T:
            async with self._writer.connect() as connection:
                if self._too_late:
                    raise StoreUnavailable("the database is closed")
                async with connection.begin():
                    return await work(connection)

        return await self._whole(transaction())

    async def _whole(self, transaction: Coroutine[Any, Any, _T]) -> _T:
        """Run to its end even if the caller is cancelled: it ends in the background, before ``close``."""
        if self._closed:
            transaction.close()
            raise StoreUnavailable("the database is closed")
        task = asyncio.create_task(transaction, name="store transaction")
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        with _unavailable():
            return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if the caller is gone


@contextmanager
def _unavailable() -> Iterator[None]:
    """A database that cannot be used is ``StoreUnavailable``, be it locked, full or gone."""
    try:
        yield
    except _OURS:
        raise
    except (DBAPIError, PoolTimeout) as error:
        raise StoreUnavailable(str(getattr(error, "orig", None) or error)) from error
