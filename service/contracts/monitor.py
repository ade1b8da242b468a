"""The feed of the public monitor (document 001, "Video Monitor Dashboard").

Whoever may watch learns that there are jobs and how they fare, but not whose they are, nor enough of an
id to ask for one, nor the words of a failure, which may be the provider's.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from datetime import datetime
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from service.contracts import video_jobs_docs as docs
from service.contracts.access import Access
from service.contracts.base import Route
from service.contracts.rates import Turnstile
from service.contracts.video_jobs import CONTRACT, PATH, encoded, is_known
from service.contracts.video_jobs_logs import Histories, History, log_lines, moment
from service.contracts.video_jobs_views import MESSAGE, STATUS, asked_of, shown
from service.contracts.videos import VideoAddresses
from service.library import Library
from service.live import Rendered
from service.sections import MonitorSettings
from service.studio import Studio
from sessions.clock import Clock
from sessions.errors import Unauthenticated
from sessions.model import JobFigures, JobSnapshot
from sessions.rollup import job_progress

#: newest jobs in the feed
_JOBS = 100

#: the feed is read from the store at most this often, in seconds, however many watch
_GOOD_FOR = 1.0

#: characters that are shown of an id and of a prompt
_ID, _PROMPT = 8, 40


class MonitorContract:
    """Serves the feed. ``identity`` is whether users have to show who they are."""

    def __init__(
        self,
        *,
        studio: Studio,
        library: Library,
        addresses: VideoAddresses,
        settings: MonitorSettings,
        turnstile: Turnstile,
        now: Clock,
        identity: bool,
    ) -> None:
        self._studio = studio
        self._library = library
        self._addresses = addresses
        self._settings = settings
        self._turnstile = turnstile
        self._now = now
        self._identity = identity
        self._histories = Histories(studio)
        self._reading = asyncio.Lock()
        self._feed: tuple[Rendered, str] | None = None

    def routes(self) -> list[Route]:
        """To stand before those of the video jobs, whose ids would match as well."""
        return [
            Route(
                method="GET",
                path=f"{PATH}/all",
                handler=self.feed,
                contract=CONTRACT,
                access=Access.PUBLIC,  # its token is the monitor's own
                doc=docs.MONITOR,
            )
        ]

    async def feed(self, request: web.Request) -> web.Response:
        self._turnstile.look(request)
        self._admit(request)
        rendered, etag = await self._read()
        headers: dict[str, str] = {hdrs.ETAG: f"W/{etag}", hdrs.CACHE_CONTROL: "no-cache"}
        if is_known(request, etag):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=rendered.body, content_type="application/json", headers=headers)

    def _admit(self, request: web.Request) -> None:
        """Raise ``Unauthenticated`` unless anybody may watch, or the monitor's token is shown."""
        if self._settings.open:
            return
        token = self._settings.token.get_secret_value() if self._settings.token else ""
        scheme, _, shown_token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        given = (shown_token.strip() if scheme.lower() == "bearer" else "", request.query.get("token", ""))
        if not token or not any(_same(it, token) for it in given):
            raise Unauthenticated("The monitor is open only to those who show its token")

    async def _read(self) -> tuple[Rendered, str]:
        """The feed, and an entity tag that is the same for as long as only the time of reading differs."""
        async with self._reading:
            if self._feed is None or self._feed[0].good_until < time.monotonic():
                jobs, _ = await self._studio.jobs(limit=_JOBS, offset=0)
                histories = await asyncio.gather(*map(self._histories.of, jobs))
                snapshots = [job.snapshot for job in jobs]
                body = self._body(snapshots, histories, await self._library.figures())
                etag = Rendered(encoded(body)).etag
                self._feed = Rendered(encoded({**body, "generatedAt": moment(self._now())}), _GOOD_FOR), etag
            return self._feed

    def _body(
        self, snapshots: list[JobSnapshot], histories: list[History], figures: JobFigures
    ) -> dict[str, Any]:
        counts = dict.fromkeys(MESSAGE, 0)
        for state, count in figures.by_state.items():
            counts[STATUS[state]] += count
        average = figures.average_seconds
        return {
            "jobs": [self._job(*it) for it in zip(snapshots, histories, strict=True)],
            "counts": counts,
            "queueLength": counts["PENDING"],
            "averageSeconds": None if average is None else round(average, 1),
        }

    def _job(self, snapshot: JobSnapshot, history: History) -> dict[str, Any]:
        job, status = snapshot.job, STATUS[snapshot.job.state]
        asked = asked_of(job, snapshot.scenes[0])
        return {
            "id": job.id[:_ID],
            "prompt": _beginning(asked["prompt"]),
            **{name: asked[name] for name in ("model", "resolution", "aspectRatio", "durationSeconds")},
            "status": status,
            "statusMessage": MESSAGE[status],
            "progressPercentage": job_progress([scene.progress for scene in snapshot.scenes]),
            "logs": log_lines(snapshot, history.events, reasons=False),
            "createdAt": moment(job.created_at),
            **_unless_none("completedAt", job.finished_at),
            **self._preview(snapshot),
        }

    def _preview(self, snapshot: JobSnapshot) -> dict[str, str]:
        """The video's address, where it may be told.

        File names hold ids of jobs and sessions. Where users are known, what is nobody's is for those
        who know its id, so it is not told; where they are not, everything is for everybody anyway.
        """
        scene = shown(snapshot)
        tell = self._settings.preview and (snapshot.job.owner is not None or not self._identity)
        address = self._addresses.of(scene, snapshot.job.owner, "") if scene and tell else None
        return {"videoUrl": address} if address else {}


def _beginning(prompt: str | None) -> str | None:
    text = " ".join(prompt.split()) if prompt else None
    return f"{text[:_PROMPT].rstrip()}…" if text and len(text) > _PROMPT else text


def _unless_none(name: str, at: datetime | None) -> dict[str, str]:
    return {name: moment(at)} if at else {}


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())
