"""The credit-jobs contract (document 004): videos from words or from an image, paid for in DUST.

Errors are ``{"success": false, "error": sentence}``, and beside it what programs need.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import hdrs, web
from pydantic import ValidationError

from service.accounts import Accounts
from service.clips import NOBODY, Clips, Order
from service.contracts import credits_docs as docs
from service.contracts import credits_views as views
from service.contracts.access import Access, acting, caller_of
from service.contracts.base import Contract, Route
from service.contracts.credits_bodies import (
    RESOLUTIONS,
    AnimateImage,
    Asking,
    ChangeVideo,
    GenerateVideo,
    GenerationType,
    Videos,
)
from service.contracts.credits_replies import CreditsProblem
from service.contracts.credits_videos import TERMS, video_body
from service.contracts.describing import Doc
from service.contracts.idempotency import keyed
from service.contracts.problems import BadRequest, Problem
from service.contracts.reading import read_json, validation_problem
from service.contracts.videos import VideoAddresses, has_video
from service.intake import ImageIntake
from service.library import Library
from service.live import LiveJob, Rendered
from service.sections import AllTermsSettings
from service.studio import Studio, Ticket
from sessions.clock import Clock
from sessions.errors import Forbidden, InsufficientCredit, NotFound, UnsupportedByModel
from sessions.model import Frames, JobState, Video
from sessions.viewer import Viewer

Query = TypeVar("Query", bound=Asking)

#: jobs on the list of those that are not over
_MOST_ACTIVE = 200

_ACTIVE = frozenset({JobState.QUEUED, JobState.RUNNING})


def _render_problem(problem: Problem) -> web.Response:
    body = {"success": False, "error": problem.message, **(problem.detail or {})}
    return web.json_response(body, status=problem.status)


CONTRACT = Contract(
    name="credits", prefixes=("/videos",), render_problem=_render_problem, error_model=CreditsProblem
)


class CreditsContract:
    """Handlers of the contract."""

    def __init__(
        self,
        *,
        studio: Studio,
        clips: Clips,
        library: Library,
        intake: ImageIntake,
        accounts: Accounts,
        addresses: VideoAddresses,
        terms: AllTermsSettings,
        now: Clock,
    ) -> None:
        self._studio = studio
        self._clips = clips
        self._library = library
        self._intake = intake
        self._accounts = accounts
        self._addresses = addresses
        self._terms = terms
        self._now = now

    def routes(self) -> list[Route]:
        job, video = "/videos/jobs/{job_id}", "/videos/{id}"
        # What is named by a word stands before what is named by an id.
        table: Sequence[tuple[str, str, Any, Doc]] = (
            ("POST", "/videos/generate", self.generate, docs.GENERATE),
            ("POST", "/videos/animate", self.animate, docs.ANIMATE),
            ("GET", "/videos/jobs/active", self.active, docs.ACTIVE),
            ("GET", f"{job}/status", self.status, docs.STATUS),
            ("GET", f"{job}/result", self.result, docs.RESULT),
            ("DELETE", job, self.cancel, docs.CANCEL),
            ("GET", "/videos/stats", self.stats, docs.STATS),
            ("GET", "/videos/credits", self.credits, docs.BALANCES),
            ("GET", "/videos", self.videos, docs.LIST_VIDEOS),
            ("GET", video, self.video, docs.GET_VIDEO),
            ("PUT", video, self.change, docs.CHANGE_VIDEO),
            ("DELETE", video, self.remove, docs.DELETE_VIDEO),
        )
        return [
            Route(
                method=method,
                path=path,
                handler=handler,
                contract=CONTRACT,
                access=Access.KNOWN,
                creates=method == hdrs.METH_POST,
                doc=doc,
            )
            for method, path, handler, doc in table
        ]

    # ------------------------------------------------------------------ jobs

    async def generate(self, request: web.Request) -> web.Response:
        return await self._ordered(request, await read_json(request, GenerateVideo, any_type=True))

    async def animate(self, request: web.Request) -> web.Response:
        return await self._ordered(request, await read_json(request, AnimateImage, any_type=True))

    async def status(self, request: web.Request) -> web.Response:
        """The hot path: bytes from memory, 304 if the client has them."""
        rendered = (await self._job(request, _asking(request, Asking))).rendered(self._render_status)
        headers: dict[str, str] = {hdrs.ETAG: rendered.etag, hdrs.CACHE_CONTROL: "no-cache"}
        if any(tag.value in ("*", rendered.etag.strip('"')) for tag in request.if_none_match or ()):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=rendered.body, content_type="application/json", headers=headers)

    async def result(self, request: web.Request) -> web.Response:
        viewer = _asking(request, Asking)
        snapshot = (await self._job(request, viewer)).snapshot
        library = self._library.seen_by(viewer)
        there = [scene for scene in snapshot.scenes if snapshot.job.closed and has_video(scene)]
        videos = [await library.video(scene.id) for scene in there]
        urls = {it.take.id: self._url(request, it) for it in videos}
        return _json(views.result_body(snapshot, videos, urls))

    async def cancel(self, request: web.Request) -> web.Response:
        viewer = _asking(request, Asking)
        job = (await self._job(request, viewer)).snapshot.job
        snapshot = await self._studio.seen_by(viewer).cancel(job.id)
        return _json(views.cancelled_body(snapshot, self._terms.of(job.terms).currency))

    async def active(self, request: web.Request) -> web.Response:
        studio, now = self._studio.seen_by(_asking(request, Asking)), self._now()
        found, count = await studio.jobs(_ACTIVE, limit=_MOST_ACTIVE, offset=0)
        listed = [views.active_line(job.snapshot, studio.outlook(job), now) for job in found]
        return _json({"success": True, "active_jobs": listed, "count": count})

    async def stats(self, _request: web.Request) -> web.Response:
        figures = await self._library.figures()
        return _json(views.stats_body(figures, running=not self._studio.stopping))

    # ------------------------------------------------------------------ videos

    async def videos(self, request: web.Request) -> web.Response:
        query = _query(request, Videos)
        found, total = await self._library.seen_by(_viewer(request, query.user_id)).videos(
            favorites_only=query.favorites_only,
            from_image=query.from_image,
            limit=query.limit,
            offset=query.offset,
        )
        pagination = {
            "total": total,
            "limit": query.limit,
            "offset": query.offset,
            "has_more": query.offset + len(found) < total,
        }
        return _json({"videos": [self._view(request, it) for it in found], "pagination": pagination})

    async def video(self, request: web.Request) -> web.Response:
        library = self._library.seen_by(_asking(request, Asking))
        return _json({"video": self._view(request, await library.video(request.match_info["id"]))})

    async def change(self, request: web.Request) -> web.Response:
        body = await read_json(request, ChangeVideo, any_type=True)
        library = self._library.seen_by(_viewer(request, body.user_id))
        video = await library.mark(request.match_info["id"], favorite=body.is_favorited)
        return _json({"success": True, "video": self._view(request, video)})

    async def remove(self, request: web.Request) -> web.Response:
        gone = await self._library.seen_by(_asking(request, Asking)).remove(request.match_info["id"])
        return _json({"success": True, "deleted_from_storage": gone})

    # ------------------------------------------------------------------ credits

    async def credits(self, request: web.Request) -> web.Response:
        viewer = _asking(request, Asking)
        balances = await self._accounts.balances(viewer.owner or NOBODY)
        return _json({"success": True, "balances": views.balances_body(balances)})

    # ------------------------------------------------------------------ helpers

    async def _ordered(self, request: web.Request, body: GenerateVideo | AnimateImage) -> web.Response:
        """Whatever can be wrong is found before the image is fetched, and that before anything is charged."""
        viewer = _viewer(request, body.user_id)
        studio = self._studio.seen_by(viewer)
        clips, again = self._clips.seen_by(studio), keyed(request)
        order = Order(wish=body.wish(), terms=TERMS, asked=body.words())
        ticket = await studio.repeated(again)
        if ticket is None:
            try:
                order = await self._with_image(order, clips, viewer.owner)
                ticket = await clips.order(order, viewer.owner, again)
            except UnsupportedByModel as error:
                raise _in_our_words(error) from None
            except InsufficientCredit as short:
                raise _payment_required(short) from None
        return _accepted(ticket, order)

    async def _with_image(self, order: Order, clips: Clips, owner: str | None) -> Order:
        """The order with the image that it names by address, fetched where somebody will look at it."""
        address = order.wish.frames.first
        if address is None or not clips.fetches_images(mock=order.mock):
            return order
        await clips.admit(order, owner)
        frames = Frames(first=await self._intake.fetch(address))
        return replace(order, wish=replace(order.wish, frames=frames))

    async def _job(self, request: web.Request, viewer: Viewer) -> LiveJob:
        """The job that the path names. Raises ``NotFound``, also for one that has expired."""
        job_id, studio = request.match_info["job_id"], self._studio.seen_by(viewer)
        job = studio.live_job(job_id) or await studio.job(job_id)
        hours = self._terms.of(job.snapshot.job.terms).result_hours
        if views.is_gone(job.snapshot, self._now(), hours):
            raise NotFound("This job has expired; its video, unless deleted, is in GET /videos")
        return job

    def _render_status(self, job: LiveJob) -> Rendered:
        outlook, now = self._studio.outlook(job), self._now()
        body = views.status_body(job.snapshot, outlook, now, job.notes)
        return Rendered(_dumps(body).encode(), views.status_good_for(job.snapshot, outlook, now))

    def _view(self, request: web.Request, video: Video) -> dict[str, Any]:
        return video_body(video, self._url(request, video))

    def _url(self, request: web.Request, video: Video) -> str:
        base = self._addresses.base_of(request)
        return video.scene.mirror_url or base + self._addresses.path(video.take.file, video.job.owner)


def _asking(request: web.Request, shape: type[Asking]) -> Viewer:
    """Whose eyes the request is looked at with, where only its query may name the user."""
    return _viewer(request, _query(request, shape).user_id)


def _query(request: web.Request, shape: type[Query]) -> Query:
    """The query as ``shape``. Raises ``BadRequest``."""
    try:
        return shape.model_validate(dict(request.query))
    except ValidationError as error:
        raise BadRequest(validation_problem(error, HTTPStatus.UNPROCESSABLE_ENTITY)) from None


def _viewer(request: web.Request, user_id: str | None) -> Viewer:
    """Credentials decide; a client that has some and says it asks for somebody else is mistaken."""
    caller = caller_of(request)
    if caller and user_id not in (None, caller):
        raise Forbidden("user_id is not the user of these credentials; leave it out, or send theirs")
    return acting(request, user_id)


def _accepted(ticket: Ticket, order: Order) -> web.Response:
    kind: GenerationType = "image_to_video" if order.wish.frames.first else "text_to_video"
    body = {
        "success": True,
        "job_id": ticket.job_id,
        "status": "queued",
        "estimated_completion_seconds": views.EXPECTED_SECONDS[kind],
        "message": views.STARTED,
    }
    headers: dict[str, str] = {hdrs.LOCATION: f"/videos/jobs/{ticket.job_id}/status"}
    return _json(body, HTTPStatus.ACCEPTED, headers)


def _payment_required(short: InsufficientCredit) -> BadRequest:
    paid, cost = views.money(short.currency), short.cost
    return BadRequest(
        Problem(
            status=HTTPStatus.PAYMENT_REQUIRED,
            message=f"Insufficient {paid}. This video costs {cost} {paid} but you have {short.available}.",
            detail={
                "code": short.code,
                "currency": short.currency,
                "required": cost,
                "available": short.available,
            },
        )
    )


def _in_our_words(error: UnsupportedByModel) -> UnsupportedByModel:
    """What the model takes instead, as this contract calls it."""
    if error.details.get("field") != "resolution":
        return error
    names = {its: name for name, its in RESOLUTIONS.items()}
    allowed = [names[its] for its in error.details["allowed"] if its in names]
    return UnsupportedByModel(
        f"The model does not make videos of this resolution; it makes {', '.join(allowed) or 'none by name'}",
        details={**error.details, "allowed": allowed},
    )


def _json(body: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers=headers, dumps=_dumps)


def _dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
