"""The one front door: a method is a verb of the contracts.

Everything is checked before anything is written, and written before anything is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from service.drafts import Drafts
from service.execution.base import Executor
from service.live import Live, LiveJob
from service.outlook import Outlook, Outlooks
from service.providers.catalogue import Catalogue
from sessions.clock import Clock
from sessions.errors import Conflict, NotFound
from sessions.idempotency import KeyedRequest
from sessions.ledger import Purchase
from sessions.model import (
    Event,
    Job,
    JobSnapshot,
    JobState,
    Lane,
    Scenario,
    Scene,
    SceneState,
    Session,
)
from sessions.quota import Quota
from sessions.readiness import check_ready
from sessions.store import RequestKnown, SceneUnderWay, Store, StoreUnavailable
from sessions.viewer import EVERYTHING, Viewer

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """The job that a request led to."""

    job_id: str
    scenes: int  #: how many scenes it makes
    joined: bool  #: it was under way already; nothing new was started


class Studio:
    """Jobs; and ``drafts``, from which those of sessions are made."""

    def __init__(
        self,
        *,
        store: Store,
        live: Live,
        outlooks: Outlooks,
        executor: Executor,
        catalogue: Catalogue,
        drafts: Drafts,
        now: Clock,
    ) -> None:
        self._store = store
        self._live = live
        self._outlooks = outlooks
        self._executor = executor
        self._catalogue = catalogue
        self.drafts = drafts
        self._now = now
        self._viewer = EVERYTHING

    def seen_by(self, viewer: Viewer) -> Studio:
        """The same studio, in which what ``viewer`` must not see is not there."""
        if viewer is self._viewer:
            return self
        theirs = copy.copy(self)
        theirs._viewer = viewer  # noqa: SLF001 - a copy of this very object
        theirs.drafts = self.drafts.seen_by(viewer)
        return theirs

    @property
    def provider(self) -> str:
        """Who makes the videos: ``local`` previews are not the real thing, and answers say so."""
        return self._catalogue.provider

    # ------------------------------------------------------------------ generation

    async def jobs_of(self, session_id: str) -> list[Job]:
        """The session's jobs, newest first."""
        return await self._store.jobs_of(session_id)

    async def generate(
        self, session_id: str, *, lane: Lane = Lane.INTERACTIVE, request: KeyedRequest | None = None
    ) -> Ticket:
        """Generate all four scenes from their approved descriptions.

        Joins the job of an earlier press that makes the same scenes. Raises ``NotReady``,
        ``UnsupportedByModel``, or ``Conflict`` if other content is being filmed.
        """
        session = await self.drafts.session(session_id)
        return await self.film(session, tuple(Scenario), lane=lane, request=request)

    async def regenerate(
        self, session_id: str, scenario: Scenario, request: KeyedRequest | None = None
    ) -> Ticket:
        """Generate one scene again. Joins a run of the same content that is under way."""
        return await self.film(await self.drafts.session(session_id), (scenario,), request=request)

    async def cancel(self, job_id: str, scenarios: Collection[Scenario] | None = None) -> JobSnapshot:
        """End those of the job's scenes that are under way; without ``scenarios`` all of them.

        What has not been sent costs nothing. What has, the provider goes on with and bills: its
        video is kept if it comes. Raises ``NotFound``, or ``Conflict`` if there is nothing to cancel.
        """
        before = (await self.job(job_id)).snapshot
        ending = {
            scene.id
            for scene in before.scenes
            if not scene.terminal and (scenarios is None or scene.scenario in scenarios)
        }
        if not ending:
            raise Conflict("There is nothing to cancel: it is over already", details={"job_id": job_id})
        after = await self._store.cancel(job_id, ending, self._now())
        assert after is not None, "jobs are never deleted while they run"
        for scene in after.scenes:
            if scene.id in ending:
                self._live.show(scene, after.job)
        self._executor.reconsider(ending)
        if not any(scene.id in ending and scene.state is SceneState.CANCELLED for scene in after.scenes):
            raise Conflict("There is nothing to cancel: it has just ended", details={"job_id": job_id})
        _log.info("job.cancelled", job=job_id, scenes=len(ending))
        return after

    async def resume(self, job_id: str, request: KeyedRequest | None = None) -> Ticket:
        """Make what a partial, failed or cancelled job is missing, as a new job.

        A video that was made but could not be fetched is fetched again, not made again; one that
        the provider still owes is waited for. Raises ``Conflict`` if nothing else is missing; answers
        the job itself while it is under way.
        """
        if request and request.subject:
            return await self._repeated(request)
        snapshot = (await self.job(job_id)).snapshot
        if not snapshot.job.closed:
            return Ticket(job_id=job_id, scenes=len(snapshot.scenes), joined=True)
        if snapshot.job.session_id is None:
            message = "A video without a session cannot be resumed; order it again"
            raise Conflict(message, details={"job_id": job_id})
        session = await self.drafts.session(snapshot.job.session_id)
        made = {(take.scenario, take.number) for take in session.takes}
        missing = [
            scene
            for scene in snapshot.scenes
            if scene.removed_at is None  # its owner did not want it
            and not any(scenario is scene.scenario and number >= scene.take for scenario, number in made)
        ]
        if not missing:
            raise Conflict("Nothing is missing from this job", details={"job_id": job_id})
        wanted = [scene for scene in missing if not scene.owed]
        if not wanted:
            names = [scene.name for scene in missing]
            raise Conflict(
                f"Cancelled, but on its way and billed: {', '.join(names)}; wait until its video comes or is "
                "given up, or regenerate the scene, which orders and bills another one",
                details={"job_id": job_id, "scenarios": names},
            )
        return await self.film(
            session,
            [scene.scenario for scene in wanted if scene.scenario],
            lane=snapshot.job.lane,
            request=request,
            undelivered=[scene for scene in wanted if _is_at_provider(scene)],
        )

    async def shows_file(self, file: str) -> bool:
        """Whether a finished file is there for this viewer."""
        return self._viewer.everything or await self._store.shows_file(file, self._viewer)

    def live_job(self, job_id: str) -> LiveJob | None:
        """The job, if it is in memory, which every job is that moves."""
        known = self._live.get(job_id)
        if known is None or known.snapshot.job.deleted_at is not None:
            return None
        return known if self._viewer.sees(known.snapshot.job.owner) else None

    async def job(self, job_id: str) -> LiveJob:
        """The job as it is now. Raises ``NotFound``."""
        known = self.live_job(job_id)
        if known is None:
            snapshot = await self._store.job(job_id, self._viewer)
            if snapshot is None:
                raise _no_such_job(job_id)
            known = self._live.add(snapshot)
            if known.snapshot.job.deleted_at is not None:  # while it was read
                raise _no_such_job(job_id)
        return known

    async def job_with(self, *, scene_id: str | None = None, task_id: str | None = None) -> LiveJob:
        """The job that a scene, or a provider task, belongs to. Raises ``NotFound``."""
        job_id = None
        if scene_id is not None:
            job_id = await self._store.job_of_scene(scene_id, self._viewer)
        elif task_id is not None:
            job_id = await self._store.job_of_task(task_id, self._viewer)
        if job_id is None:
            raise _no_such_job(scene_id or task_id or "")
        return await self.job(job_id)

    async def jobs(
        self, states: Collection[JobState] = frozenset(JobState), *, limit: int, offset: int
    ) -> tuple[list[LiveJob], int]:
        """A page of one's own jobs in these states, newest first, and how many there are in all."""
        found, total = await self._store.jobs(self._viewer, states, limit=limit, offset=offset)
        return [self._live.get(it.job.id) or LiveJob(it) for it in found], total

    async def delete(self, job_id: str) -> None:
        """Let a job be there for nobody any more; one that is under way is cancelled first.

        Its videos stay. Raises ``NotFound``.
        """
        job = await self.job(job_id)
        if not job.snapshot.job.closed:
            with contextlib.suppress(Conflict):  # it has just ended
                await self.cancel(job_id)
        now = self._now()
        await self._store.delete_job(job_id, now)
        self._live.delete(job_id, now)
        _log.info("job.deleted", job=job_id)

    async def newer(self, job: LiveJob, seconds: float) -> LiveJob:
        """What comes after ``job``, or ``job`` itself if it is over or nothing comes within ``seconds``.

        Raises ``NotFound`` if it has been deleted.
        """
        if not all(scene.settled for scene in job.snapshot.scenes):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await job.changed.wait()
        newer = self._live.get(job.snapshot.job.id) or job
        if newer.snapshot.job.deleted_at is not None:
            raise _no_such_job(newer.snapshot.job.id)
        return newer

    @property
    def stopping(self) -> bool:
        """Whether the server is about to stop, so that nobody should begin to wait."""
        return self._live.stopping

    def outlook(self, job: LiveJob) -> Outlook:
        """What lies ahead of the job."""
        return self._outlooks.of(job)

    async def events(self, job_id: str, after: int) -> list[Event]:
        """The job's kept transitions behind the one numbered ``after``."""
        return await self._store.events(job_id, after=after)

    async def finished_scene(self, job_id: str, scenario: Scenario) -> Scene:
        """Wait for the end of one scene of a job, or for the provider to be overdue with it.

        Raises ``Stopping`` when the server does.
        """

        def over(snapshot: JobSnapshot) -> bool:
            scene = _scene(snapshot, scenario)
            return scene.terminal or scene.state is SceneState.RECONCILING

        await self.job(job_id)
        return _scene(await self._live.until(job_id, over), scenario)

    async def film(
        self,
        session: Session,
        scenarios: Sequence[Scenario],
        *,
        lane: Lane = Lane.INTERACTIVE,
        request: KeyedRequest | None = None,
        undelivered: Collection[Scene] = (),
    ) -> Ticket:
        """Start a job for ``scenarios`` from the descriptions that ``session`` holds, or join one.

        ``request`` is put on record with it; one that is on record already leads to the same job.
        ``undelivered`` scenes were made and paid for: if their content is still wanted, they are
        only fetched.
        """
        if request and request.subject:
            return await self._repeated(request)
        check_ready(session, scenarios)
        now, job_id = self._now(), str(uuid.uuid4())
        job = Job(id=job_id, session_id=session.id, owner=session.owner, created_at=now, lane=lane)
        scenes = [self._scene(session, scenario, job_id, now) for scenario in scenarios]
        paid = {_content(scene): scene for scene in undelivered}
        scenes = [_made_before(scene, paid.get(_content(scene))) for scene in scenes]
        try:
            return await self.begin(job, scenes, request)
        except SceneUnderWay as busy:
            ticket = await self._join(busy.live, scenes)
            if request:
                await self._store.remember_request(replace(request, subject=ticket.job_id, joined=True))
            return ticket

    async def begin(
        self,
        job: Job,
        scenes: Sequence[Scene],
        request: KeyedRequest | None = None,
        *,
        purchase: Purchase | None = None,
        quota: Quota | None = None,
    ) -> Ticket:
        """Put a job on record with all that belongs to it, and run it.

        Raises ``SceneUnderWay``, ``QuotaReached`` or ``InsufficientCredit``; then nothing is on record.
        """
        order = request and replace(request, subject=job.id)
        try:
            snapshot = await self._created(job, scenes, order, purchase, quota)
        except RequestKnown as repeated:
            return await self._repeated(repeated.known)
        self._live.add(snapshot)
        self._executor.submit(job.id)
        _log.info("job.created", job=job.id, session=job.session_id, terms=job.terms, scenes=len(scenes))
        return Ticket(job_id=job.id, scenes=len(scenes), joined=False)

    async def check_room(
        self, owner: str | None, terms: str, *, purchase: Purchase | None, quota: Quota | None
    ) -> None:
        """Raise ``QuotaReached`` or ``InsufficientCredit`` if ``begin`` would now, for one scene."""
        await self._store.check_room(owner, terms, purchase=purchase, quota=quota)

    async def repeated(self, request: KeyedRequest | None) -> Ticket | None:
        """The job that the same request led to before, if it did."""
        return await self._repeated(request) if request and request.subject else None

    async def _repeated(self, request: KeyedRequest) -> Ticket:
        """The job that the request led to when it came first."""
        job = await self.job(request.led_to)
        self._executor.submit(job.snapshot.job.id)  # it runs already, unless its caller never heard of it
        return Ticket(job_id=job.snapshot.job.id, scenes=len(job.snapshot.scenes), joined=request.joined)

    async def _created(
        self,
        job: Job,
        scenes: Sequence[Scene],
        request: KeyedRequest | None,
        purchase: Purchase | None,
        quota: Quota | None,
    ) -> JobSnapshot:
        try:
            return await self._store.create_job(job, scenes, request, purchase=purchase, quota=quota)
        except StoreUnavailable:
            # It may be on disk all the same; then it must run.
            found = await self._store.job(job.id)
            if found is None:
                raise
            return found

    async def _join(self, busy: Sequence[Scene], wanted: Sequence[Scene]) -> Ticket:
        """The one job that makes exactly what is wanted; otherwise ``Conflict``."""
        jobs = sorted({scene.job_id for scene in busy})
        for job_id in jobs:
            await self.job(job_id)
            self._executor.submit(job_id)  # it runs already, unless its caller never heard of it
        asked = {scene.scenario: _content(scene) for scene in wanted}
        if len(jobs) == 1:
            scenes = (await self.job(jobs[0])).snapshot.scenes
            making = {it.scenario: _content(it) for it in scenes if it.state is not SceneState.CANCELLED}
            if asked.items() <= making.items():
                return Ticket(job_id=jobs[0], scenes=len(wanted), joined=True)
        others = [scene for scene in busy if _content(scene) != asked[scene.scenario]]
        how = "from other content" if others else "by a job that does not make all that is asked for"
        names = [scene.name for scene in others or busy]
        raise Conflict(
            f"Being made at the moment, {how}: {', '.join(names)}; wait for it, then ask again",
            details={"scenarios": names, "job_ids": jobs},
        )

    def _scene(self, session: Session, scenario: Scenario, job_id: str, now: datetime) -> Scene:
        shot = self._catalogue.shot(session.brief, session.descriptions[scenario])
        return Scene(
            id=str(uuid.uuid4()),
            job_id=job_id,
            session_id=session.id,
            scenario=scenario,
            take=0,  # the store numbers it
            prompt=shot.prompt,
            model=shot.model,
            provider=shot.provider,
            seconds=shot.seconds,
            width=shot.width,
            height=shot.height,
            frames=shot.frames,
            sound=shot.sound,
            task_id=str(uuid.uuid4()),
            created_at=now,
            updated_at=now,
        )


def _no_such_job(job_id: str) -> NotFound:
    return NotFound("There is no such job", details={"job_id": job_id[:64]})


def _is_at_provider(scene: Scene) -> bool:
    """Whether the scene's video was made and can be had still; local ones are not kept for later."""
    return scene.result is not None and scene.result.startswith(("http://", "https://"))


def _made_before(scene: Scene, paid: Scene | None) -> Scene:
    """The scene, with the result of one that the provider has made already."""
    return scene if paid is None else replace(scene, result=paid.result, cost_usd=paid.cost_usd)


def _content(scene: Scene) -> tuple[object, ...]:
    """What decides whether two scenes would be the same order."""
    return (scene.prompt, scene.model, scene.seconds, scene.width, scene.height, scene.frames, scene.sound)


def _scene(snapshot: JobSnapshot, scenario: Scenario) -> Scene:
    return next(scene for scene in snapshot.scenes if scene.scenario is scenario)
