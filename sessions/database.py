"""The Store on SQLite, by SQLAlchemy Core in threads (see ``transactions``, ``reads``, ``writes``)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from sessions import ledger_audit, ledger_reads, listings, reads, writes
from sessions.api_keys import ApiKey
from sessions.engines import sqlite_engine, sqlite_path
from sessions.errors import ConfigError
from sessions.idempotency import KeyedRequest
from sessions.ledger import Balance, Charge, Currency, Discrepancy, Purchase
from sessions.lifecycle import Transition
from sessions.lock import ProcessLock
from sessions.migrations import current_revision, migrate, newest_revision
from sessions.model import (
    Event,
    GalleryVideo,
    Generation,
    Job,
    JobFigures,
    JobSnapshot,
    JobState,
    Scene,
    SceneDescription,
    Session,
    Video,
)
from sessions.quota import Quota
from sessions.store import StoreUnavailable
from sessions.transactions import TransactionThreads
from sessions.viewer import EVERYTHING, SERVICE, Viewer

#: how long queued transactions may take when the database is closed, in seconds
_FAREWELL = 2.0

#: how many threads read
_READERS = 3

#: how many reads share a transaction: little enough that a long one holds up few others
_READS = 8

#: how many writes share a commit
_WRITES = 256


class Database:
    """``Store`` on one SQLite file. ``open`` (or ``open_beside``) before use, ``close`` after."""

    def __init__(self, url: str) -> None:
        self.path = sqlite_path(url)
        self._lock = ProcessLock(self.path)
        self._readers = sqlite_engine(self.path, connections=_READERS, begin="BEGIN")
        self._writer = sqlite_engine(self.path, connections=1, begin="BEGIN IMMEDIATE")
        self._reads = TransactionThreads(self._readers, threads=_READERS, most=_READS)
        self._writes = TransactionThreads(self._writer, threads=1, most=_WRITES)

    async def open(self) -> tuple[str | None, str]:
        """Own the file and bring its schema up to date; answers the revisions before and after.

        Raises ``ConfigError`` if the file cannot be used.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            return await asyncio.to_thread(self._migrated)
        except (StoreUnavailable, DBAPIError, CommandError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise ConfigError(f"database {self.path} cannot be used: {reason}") from error

    def _migrated(self) -> tuple[str | None, str]:
        engine = sqlite_engine(self.path, connections=1, begin="BEGIN IMMEDIATE", foreign_keys=False)
        try:
            with engine.begin() as connection:
                return migrate(connection)
        finally:
            engine.dispose()

    async def open_beside(self) -> None:
        """Use the file beside the process that owns it, for single transactions; the schema stays as it is.

        SQLite's own locks let one writer wait for the other. Raises ``ConfigError`` if there is no
        file, or if its schema is not the one that this code works with.
        """
        if not self.path.exists():
            raise ConfigError(f"there is no database {self.path} yet; `scenewright migrate` makes it")
        try:
            revision = await self._reads.run(current_revision)
        except StoreUnavailable as error:
            raise ConfigError(f"database {self.path} cannot be used: {error}") from error
        if revision != (newest := newest_revision()):
            raise ConfigError(
                f"database {self.path} has schema {revision or 'empty'}, and {newest} is needed; "
                "stop what uses it, then run `scenewright migrate`"
            )

    async def close(self) -> None:
        """Take no more; what is queued gets a moment, what has begun gets its end."""
        try:
            await asyncio.gather(self._writes.close(_FAREWELL), self._reads.close(_FAREWELL))
        finally:
            self._lock.release()

    async def ping(self) -> None:
        """Raise ``StoreUnavailable`` unless the database answers and lets itself be written."""
        # A spoiled file may look like an empty database, so something that must be in it is asked for.
        await self._reads.run(lambda it: it.exec_driver_sql("SELECT * FROM alembic_version").scalar())
        await self._writes.run(lambda _: None)  # begins and commits: nobody else keeps the file locked

    # ------------------------------------------------------------------ Store

    async def create_session(self, session: Session, request: KeyedRequest | None = None) -> None:
        await self._writes.run(lambda it: writes.create_session(it, session, request))

    async def session(self, session_id: str, viewer: Viewer = EVERYTHING) -> Session | None:
        return await self._reads.run(lambda it: reads.session(it, session_id, viewer))

    async def sessions(
        self, viewer: Viewer = EVERYTHING, *, limit: int, offset: int
    ) -> tuple[list[Session], int]:
        return await self._reads.run(
            lambda it: reads.page_of_sessions(it, viewer, limit=limit, offset=offset)
        )

    async def save_descriptions(
        self, session_id: str, descriptions: Sequence[SceneDescription], now: datetime
    ) -> None:
        await self._writes.run(lambda it: writes.save_descriptions(it, session_id, descriptions, now))

    async def create_job(
        self,
        job: Job,
        scenes: Sequence[Scene],
        request: KeyedRequest | None = None,
        *,
        purchase: Purchase | None = None,
        quota: Quota | None = None,
    ) -> JobSnapshot:
        return await self._writes.run(
            lambda it: writes.create_job(it, job, scenes, request, purchase=purchase, quota=quota)
        )

    async def check_room(
        self, owner: str | None, terms: str, *, purchase: Purchase | None, quota: Quota | None
    ) -> None:
        await self._reads.run(lambda it: reads.check_room(it, owner, terms, purchase=purchase, quota=quota))

    async def job(self, job_id: str, viewer: Viewer = SERVICE) -> JobSnapshot | None:
        return await self._reads.run(lambda it: reads.snapshot(it, job_id, viewer))

    async def job_of_scene(self, scene_id: str, viewer: Viewer) -> str | None:
        return await self._reads.run(lambda it: reads.job_of_scene(it, scene_id, viewer))

    async def job_of_task(self, task_id: str, viewer: Viewer) -> str | None:
        return await self._reads.run(lambda it: reads.job_of_task(it, task_id, viewer))

    async def delete_job(self, job_id: str, now: datetime) -> None:
        await self._writes.run(lambda it: writes.delete_job(it, job_id, now))

    async def jobs(
        self, viewer: Viewer, states: Collection[JobState], *, limit: int, offset: int
    ) -> tuple[list[JobSnapshot], int]:
        return await self._reads.run(lambda it: listings.jobs(it, viewer, states, limit=limit, offset=offset))

    async def videos(
        self,
        viewer: Viewer,
        *,
        favorites_only: bool = False,
        from_image: bool | None = None,
        limit: int,
        offset: int,
    ) -> tuple[list[Video], int]:
        return await self._reads.run(
            lambda it: listings.videos(
                it, viewer, favorites_only=favorites_only, from_image=from_image, limit=limit, offset=offset
            )
        )

    async def video(self, video_id: str, viewer: Viewer) -> Video | None:
        return await self._reads.run(lambda it: listings.video(it, video_id, viewer))

    async def mark_take(self, take_id: str, now: datetime, *, favorite: bool) -> None:
        await self._writes.run(lambda it: writes.mark_take(it, take_id, now, favorite=favorite))

    async def remove_video(self, scene_id: str, now: datetime) -> None:
        await self._writes.run(lambda it: writes.remove_video(it, scene_id, now))

    async def removed_scenes(self) -> list[Scene]:
        return await self._reads.run(reads.removed_scenes)

    async def images_in_use(self) -> set[str]:
        return await self._reads.run(reads.images_in_use)

    async def forget_file(self, scene_id: str) -> None:
        await self._writes.run(lambda it: writes.forget_file(it, scene_id))

    async def gallery(
        self, viewer: Viewer, *, status: str | None = None, limit: int, offset: int
    ) -> tuple[list[GalleryVideo], int]:
        return await self._reads.run(
            lambda it: listings.gallery(it, viewer, status=status, limit=limit, offset=offset)
        )

    async def figures(self) -> JobFigures:
        return await self._reads.run(listings.figures)

    async def secret(self, name: str, value: bytes) -> bytes:
        return await self._writes.run(lambda it: writes.secret(it, name, value))

    async def shows_file(self, file: str, viewer: Viewer) -> bool:
        return await self._reads.run(lambda it: reads.shows_file(it, file, viewer))

    async def jobs_of(self, session_id: str) -> list[Job]:
        return await self._reads.run(lambda it: reads.jobs_of(it, session_id))

    async def unfinished_jobs(self) -> list[str]:
        return await self._reads.run(reads.unfinished_jobs)

    async def apply(self, transition: Transition) -> Job | None:
        return await self._writes.run(lambda it: writes.apply(it, transition))

    async def cancel(self, job_id: str, scene_ids: Collection[str], now: datetime) -> JobSnapshot | None:
        return await self._writes.run(lambda it: writes.cancel(it, job_id, scene_ids, now))

    async def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        return await self._reads.run(lambda it: reads.events(it, job_id, after))

    async def generations(self, limit: int) -> list[Generation]:
        return await self._reads.run(lambda it: reads.generations(it, limit))

    async def request(self, caller: str, key: str) -> KeyedRequest | None:
        return await self._reads.run(lambda it: reads.request(it, caller, key))

    async def remember_request(self, request: KeyedRequest) -> None:
        await self._writes.run(lambda it: writes.remember_request(it, request))

    async def forget_requests(self, before: datetime) -> int:
        return await self._writes.run(lambda it: writes.forget_requests(it, before))

    async def add_api_key(self, key: ApiKey) -> None:
        await self._writes.run(lambda it: writes.add_api_key(it, key))

    async def api_key(self, key_id: str) -> ApiKey | None:
        return await self._reads.run(lambda it: reads.api_key(it, key_id))

    async def api_keys(self) -> list[ApiKey]:
        return await self._reads.run(reads.api_keys)

    async def revoke_api_key(self, key_id: str, now: datetime) -> ApiKey | None:
        return await self._writes.run(lambda it: writes.revoke_api_key(it, key_id, now))

    # ------------------------------------------------------------------ ledger

    async def grant(
        self,
        owner: str,
        currency: Currency,
        amount: int,
        *,
        note: str,
        now: datetime,
        opening: int = 0,
        request: KeyedRequest | None = None,
    ) -> Balance:
        return await self._writes.run(
            lambda it: writes.grant(
                it, owner, currency, amount, note=note, now=now, opening=opening, request=request
            )
        )

    async def balance(self, owner: str, currency: Currency, *, opening: int = 0) -> Balance:
        return await self._reads.run(lambda it: ledger_reads.balance(it, owner, currency, opening=opening))

    async def charges_of(self, owner: str, currency: Currency, limit: int) -> list[Charge]:
        return await self._reads.run(lambda it: ledger_reads.charges_of(it, owner, currency, limit))

    async def discrepancies(self) -> list[Discrepancy]:
        return await self._reads.run(ledger_audit.discrepancies)
