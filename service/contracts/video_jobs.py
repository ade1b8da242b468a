"""The video jobs contract (document 001): order a video, ask how far it is, fetch it, forget it.

Errors are ``{"detail": sentence}``; where tokens are missing, ``detail`` is an object.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from service.clips import Clips
from service.contracts import video_jobs_docs as docs
from service.contracts.access import Access, acting
from service.contracts.base import Contract, Handler, Route
from service.contracts.describing import Doc
from service.contracts.forms import form_limit
from service.contracts.idempotency import keyed
from service.contracts.problems import Problem
from service.contracts.video_jobs_bodies import FILES, frames_of, read_new_job
from service.contracts.video_jobs_logs import Histories, History
from service.contracts.video_jobs_orders import Orders
from service.contracts.video_jobs_queries import asking_for, job_id_of, read_page
from service.contracts.video_jobs_replies import VideoJobsProblem
from service.contracts.video_jobs_views import STATUS, job_body, shown
from service.contracts.videos import VideoAddresses
from service.intake import ImageIntake
from service.live import LiveJob, Rendered
from service.providers.catalogue import Catalogue
from service.studio import Studio
from sessions.clock import Clock
from sessions.errors import InvalidInput, NotFound

PATH = "/api/v1/video-jobs"

#: this contract has one status for all that is wrong with a request
_INVALID = frozenset({HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY})


def _render_problem(problem: Problem) -> web.Response:
    status = HTTPStatus.BAD_REQUEST if problem.status in _INVALID else problem.status
    return web.json_response({"detail": _detail(problem)}, status=status)


def _detail(problem: Problem) -> Any:
    known = problem.detail or {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return "Not authenticated"
    if problem.status == HTTPStatus.PAYMENT_REQUIRED and "cost" in known:
        return {"message": problem.message, "cost": known["cost"], "availableTokens": known["available"]}
    return problem.message


CONTRACT = Contract(
    name="video jobs", prefixes=(PATH,), render_problem=_render_problem, error_model=VideoJobsProblem
)


class VideoJobsContract:
    """Handlers of the contract."""

    def __init__(
        self,
        *,
        studio: Studio,
        clips: Clips,
        intake: ImageIntake,
        catalogue: Catalogue,
        addresses: VideoAddresses,
        now: Clock,
        mock_mode_required: bool,
    ) -> None:
        self._studio = studio
        self._clips = clips
        self._intake = intake
        self._addresses = addresses
        self._now = now
        self._orders = Orders(clips=clips, catalogue=catalogue, mode_required=mock_mode_required)
        self._histories = Histories(studio)

    def routes(self) -> list[Route]:
        job = f"{PATH}/{{jobId}}"
        others: Sequence[tuple[str, str, Handler, Doc]] = (
            ("GET", PATH, self.list_jobs, docs.LIST_JOBS),
            ("GET", job, self.get_job, docs.GET_JOB),
            ("GET", f"{job}/download", self.download, docs.DOWNLOAD),
            ("DELETE", job, self.delete, docs.DELETE),
            ("POST", f"{job}/cancel", self.cancel, docs.CANCEL),
        )
        creating = Route(
            method="POST",
            path=PATH,
            handler=self.create,
            contract=CONTRACT,
            access=Access.KNOWN,
            creates=True,
            form_limit=form_limit(FILES),
            doc=docs.CREATE_JOB,
        )
        return [
            creating,
            *(
                Route(
                    method=method,
                    path=path,
                    handler=handler,
                    contract=CONTRACT,
                    access=Access.KNOWN,
                    doc=doc,
                )
                for method, path, handler, doc in others
            ),
        ]

    # ------------------------------------------------------------------ orders

    async def create(self, request: web.Request) -> web.Response:
        form, uploads = await read_new_job(request)
        order, warning = self._orders.of(form, uploads)
        viewer = acting(request, form.user_id or asking_for(request.query))
        studio = self._studio.seen_by(viewer)
        ticket = await studio.repeated(keyed(request))
        if ticket is None:
            clips = self._clips.seen_by(studio)
            if uploads:
                await clips.admit(order, viewer.owner)
                names = [await self._intake.take(upload.data) for upload in uploads]
                order = replace(order, wish=replace(order.wish, frames=frames_of(uploads, names)))
            ticket = await clips.order(order, viewer.owner, keyed(request))
        rendered = await self._rendered(request, await studio.job(ticket.job_id))
        headers: dict[str, str] = {hdrs.LOCATION: f"{PATH}/{ticket.job_id}"}
        if warning:
            headers["Warning"] = warning
        return _json(rendered.body, status=HTTPStatus.ACCEPTED, headers=headers)

    # ------------------------------------------------------------------ jobs

    async def get_job(self, request: web.Request) -> web.Response:
        """The hot path: bytes from memory, 304 if the client has them."""
        _, job = await self._found(request)
        rendered = await self._rendered(request, job)
        headers: dict[str, str] = {hdrs.ETAG: rendered.etag, hdrs.CACHE_CONTROL: "no-cache"}
        if is_known(request, rendered.etag):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return _json(rendered.body, headers=headers)

    async def list_jobs(self, request: web.Request) -> web.Response:
        page = read_page(request.query)
        studio = self._studio.seen_by(acting(request, asking_for(request.query)))
        jobs, total = await studio.jobs(page.states, limit=page.limit, offset=page.offset)
        rendered = await asyncio.gather(*(self._rendered(request, job) for job in jobs))
        listed = b",".join(it.body for it in rendered)
        return _json(b'{"jobs":[%b],"total":%d}' % (listed, total))

    async def download(self, request: web.Request) -> web.Response:
        """To where the video is: at the delivery network, or on this server."""
        _, job = await self._found(request)
        snapshot = job.snapshot
        if snapshot.job.closed and (scene := shown(snapshot)):
            address = self._addresses.of(scene, snapshot.job.owner, self._addresses.base_of(request))
            return web.Response(status=HTTPStatus.FOUND, headers={str(hdrs.LOCATION): str(address)})
        if any(scene.removed_at for scene in snapshot.scenes):
            raise NotFound("The video of this job has been deleted")
        ended = f": the job is {STATUS[snapshot.job.state]}" if snapshot.job.closed else " yet"
        raise InvalidInput(f"Video not ready{ended}")

    async def delete(self, request: web.Request) -> web.Response:
        """The record only: the video stays where it is."""
        studio, job = await self._found(request)
        await studio.delete(job.snapshot.job.id)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def cancel(self, request: web.Request) -> web.Response:
        studio, job = await self._found(request)
        await studio.cancel(job.snapshot.job.id)
        _, job = await self._found(request)
        return _json((await self._rendered(request, job)).body)

    # ------------------------------------------------------------------ helpers

    async def _found(self, request: web.Request) -> tuple[Studio, LiveJob]:
        """The job of the address, and the studio in which its owner sees it. Raises ``NotFound``."""
        studio = self._studio.seen_by(acting(request, asking_for(request.query)))
        job_id = job_id_of(request)
        try:
            return studio, studio.live_job(job_id) or await studio.job(job_id)
        except NotFound:
            raise NotFound("Job not found") from None

    async def _rendered(self, request: web.Request, job: LiveJob) -> Rendered:
        history = await self._histories.of(job)
        return job.rendered(self._render, self._addresses.base_of(request), history)

    def _render(self, job: LiveJob, base: str, history: History) -> Rendered:
        outlook = self._studio.outlook(job)
        body = job_body(
            job.snapshot, history.events, outlook, base, self._addresses, now=self._now(), notes=job.notes
        )
        good_for = min(outlook.good_for, self._addresses.good_for(job.snapshot))
        return Rendered(encoded(body), good_for)


def encoded(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def is_known(request: web.Request, etag: str) -> bool:
    """``If-None-Match``, compared weakly (RFC 9110, 13.1.2); ``etag`` is quoted."""
    return any(f'"{tag.value}"' == etag or tag.value == "*" for tag in request.if_none_match or ())


def _json(body: bytes, **how: Any) -> web.Response:
    return web.Response(body=body, content_type="application/json", **how)
