"""The scenes contract (document 002): sessions, descriptions, four scenes, regeneration.

Errors are ``{"success": false, "error": sentence, "detail": object or null}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from service.contracts import scenes_docs as docs
from service.contracts import scenes_videos_docs as videos_docs
from service.contracts import scenes_views as views
from service.contracts.access import Access, viewer_of
from service.contracts.base import Contract, Route
from service.contracts.describing import Doc
from service.contracts.event_stream import EventStreams
from service.contracts.idempotency import keyed
from service.contracts.problems import Problem
from service.contracts.reading import read_body, read_json
from service.contracts.scenes_bodies import (
    CancelScenes,
    NewSession,
    Nothing,
    RegenerateScene,
    RewriteDescription,
    SceneEdit,
    SessionReference,
    StartGeneration,
)
from service.contracts.scenes_replies import ScenesProblem
from service.contracts.videos import VideoAddresses
from service.live import LiveJob, Rendered
from service.studio import Studio, Ticket
from sessions.errors import Conflict, InvalidInput, SceneError
from sessions.model import Scenario, SceneState, Session

#: sessions on one page of the list
_PAGE = 50

#: longest time a status request may wait for a change, in seconds
_LONGEST_WAIT = 60

_EVENT_STREAM = "text/event-stream"

#: more digits than any number that is asked for
_DIGITS = 12

#: what ``?async=`` may say
_YES_OR_NO = {"1": True, "true": True, "0": False, "false": False}


def _render_problem(problem: Problem) -> web.Response:
    body = {"success": False, "error": problem.message, "detail": problem.detail}
    return web.json_response(body, status=problem.status)


CONTRACT = Contract(
    name="scenes",
    prefixes=("/api/session", "/api/scenes", "/api/videos", "/outputs"),
    render_problem=_render_problem,
    error_model=ScenesProblem,
)


class ScenesContract:
    """Handlers of the contract."""

    def __init__(self, studio: Studio, addresses: VideoAddresses, access: Access = Access.OPEN) -> None:
        self._studio = studio
        self._addresses = addresses
        self._access = access
        self._events = EventStreams(studio, self._render)

    def routes(self) -> list[Route]:
        creating: Sequence[tuple[str, Any, Doc]] = (
            ("/api/session/create", self.create_session, docs.CREATE_SESSION),
            ("/api/scenes/generate-descriptions", self.write_descriptions, docs.WRITE_DESCRIPTIONS),
            ("/api/scenes/regenerate-description", self.rewrite_description, docs.REWRITE_DESCRIPTION),
            ("/api/videos/generate-scenes", self.generate_scenes, videos_docs.GENERATE_SCENES),
            ("/api/videos/regenerate-scene", self.regenerate_scene, videos_docs.REGENERATE_SCENE),
            ("/api/videos/resume/{job_id}", self.resume, videos_docs.RESUME),
        )
        session, scene = "/api/session/{session_id}", "/api/session/{session_id}/scenes/{scenario}"
        others: Sequence[tuple[str, str, Any, Doc]] = (
            ("GET", "/api/sessions", self.list_sessions, docs.LIST_SESSIONS),
            ("GET", session, self.get_session, docs.GET_SESSION),
            ("PUT", scene, self.edit_description, docs.EDIT_DESCRIPTION),
            ("POST", f"{session}/approve", self.approve_all, docs.APPROVE_ALL),
            ("POST", f"{scene}/approve", self.approve_one, docs.APPROVE_ONE),
            ("GET", "/api/videos/status/{job_id}", self.status, videos_docs.STATUS),
            ("POST", "/api/videos/cancel/{job_id}", self.cancel, videos_docs.CANCEL),
        )
        return [
            Route(
                method="POST",
                path=path,
                handler=handler,
                contract=CONTRACT,
                access=self._access,
                creates=True,
                doc=doc,
            )
            for path, handler, doc in creating
        ] + [
            Route(method=method, path=path, handler=handler, contract=CONTRACT, access=self._access, doc=doc)
            for method, path, handler, doc in others
        ]

    # ------------------------------------------------------------------ sessions

    async def create_session(self, request: web.Request) -> web.Response:
        body = await read_json(request, NewSession)
        session = await self._seen_by(request).drafts.create_session(
            body.brief(), body.descriptions(), keyed(request)
        )
        return _json(await self._session_view(request, session, message="Session created"))

    async def list_sessions(self, request: web.Request) -> web.Response:
        limit = _whole(request, "limit", default=_PAGE, most=200)
        offset = _whole(request, "offset", default=0, most=10**9)
        found, total = await self._seen_by(request).drafts.sessions(limit=limit, offset=offset)
        listed = [views.session_line(session, self._addresses) for session in found]
        return _json({"success": True, "sessions": listed, "total": total, "limit": limit, "offset": offset})

    async def get_session(self, request: web.Request) -> web.Response:
        session = await self._seen_by(request).drafts.session(request.match_info["session_id"])
        return _json(await self._session_view(request, session))

    # ------------------------------------------------------------------ descriptions

    async def edit_description(self, request: web.Request) -> web.Response:
        scenario = _scenario(request.match_info["scenario"])
        body = await read_json(request, SceneEdit)
        session_id = request.match_info["session_id"]
        edited = await self._seen_by(request).drafts.edit_description(session_id, scenario, body.changes())
        return _json({"success": True, "session_id": session_id, "scene": views.description(edited)})

    async def approve_all(self, request: web.Request) -> web.Response:
        session = await self._seen_by(request).drafts.approve(
            request.match_info["session_id"], tuple(Scenario)
        )
        return _json(await self._session_view(request, session, message="All scene descriptions approved"))

    async def approve_one(self, request: web.Request) -> web.Response:
        scenario = _scenario(request.match_info["scenario"])
        session = await self._seen_by(request).drafts.approve(request.match_info["session_id"], (scenario,))
        scene = views.description(session.descriptions[scenario])
        return _json({"success": True, "session_id": session.id, "scene": scene})

    async def write_descriptions(self, request: web.Request) -> web.Response:
        body = await read_json(request, SessionReference)
        session = await self._seen_by(request).drafts.write_descriptions(body.session_id)
        return _json(
            await self._session_view(
                request, session, message="Scene descriptions written; approve them next"
            )
        )

    async def rewrite_description(self, request: web.Request) -> web.Response:
        body = await read_json(request, RewriteDescription)
        scenario = _scenario(body.scenario)
        session = await self._seen_by(request).drafts.rewrite_description(
            body.session_id, scenario, body.instructions
        )
        scene = views.description(session.descriptions[scenario])
        return _json({"success": True, "session_id": session.id, "scene": scene})

    # ------------------------------------------------------------------ videos

    async def generate_scenes(self, request: web.Request) -> web.Response:
        body = await read_json(request, StartGeneration)
        how: dict[str, Any] = {"lane": body.lane, "request": keyed(request)}
        studio = self._seen_by(request)
        if body.session_id is None:
            every = tuple(Scenario)
            session = await studio.drafts.session_of(body.descriptions(), every)
            session_id, ticket = session.id, await studio.film(session, every, **how)
        else:
            session_id, ticket = body.session_id, await studio.generate(body.session_id, **how)
        return self._started(ticket, session_id)

    async def resume(self, request: web.Request) -> web.Response:
        """Only what is missing is made; the new job stands beside the old one."""
        if await read_body(request):
            await read_json(request, Nothing)
        studio = self._seen_by(request)
        ticket = await studio.resume(request.match_info["job_id"], keyed(request))
        session_id = (await studio.job(ticket.job_id)).snapshot.job.session_id
        if session_id is None:
            raise Conflict(
                "A video without a session cannot be resumed; wait for it, or order it again",
                details={"job_id": ticket.job_id},
            )
        return self._started(ticket, session_id, resumed_job_id=request.match_info["job_id"])

    async def cancel(self, request: web.Request) -> web.Response:
        body = await read_json(request, CancelScenes) if await read_body(request) else CancelScenes()
        scenarios = tuple(map(_scenario, body.scenarios)) if body.scenarios else None
        snapshot = await self._seen_by(request).cancel(request.match_info["job_id"], scenarios)
        return _json({"success": True, **views.cancelled(snapshot)})

    async def status(self, request: web.Request) -> web.StreamResponse:
        """The hot path: bytes from memory, 304 if the client has them; ``?wait=`` for what it has not."""
        job_id, studio = request.match_info["job_id"], self._seen_by(request)
        job = studio.live_job(job_id) or await studio.job(job_id)
        if request.method == hdrs.METH_GET and _EVENT_STREAM in request.headers.get(hdrs.ACCEPT, ""):
            return await self._events.stream(request, job)
        rendered = job.rendered(self._render)
        known = ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ()))
        patience = _whole(request, "wait", default=0, most=_LONGEST_WAIT) if request.query_string else 0
        if patience and (not known or _matches(known, rendered.etag)):
            rendered = (await studio.newer(job, patience)).rendered(self._render)
        headers: dict[str, str] = {hdrs.ETAG: rendered.etag, hdrs.CACHE_CONTROL: "no-cache"}
        if known and _matches(known, rendered.etag):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=rendered.body, content_type="application/json", headers=headers)

    async def regenerate_scene(self, request: web.Request) -> web.Response:
        body = await read_json(request, RegenerateScene)
        scenario, at_once = _scenario(body.scenario), _wants_no_waiting(request)
        studio, order = self._seen_by(request), keyed(request)
        if body.session_id is None:
            session = await studio.drafts.session_of([body.description(scenario)], [scenario])
            session_id, ticket = session.id, await studio.film(session, [scenario], request=order)
        else:
            session_id = body.session_id
            ticket = await studio.regenerate(session_id, scenario, order)
        if at_once:
            return _accepted(request, session_id, scenario, ticket.job_id)
        scene = await studio.finished_scene(ticket.job_id, scenario)
        if not scene.terminal:  # overdue: nobody should wait for it with a request open
            return _accepted(request, session_id, scenario, ticket.job_id)
        if scene.state is not SceneState.SUCCEEDED:
            raise _not_regenerated(views.scene_problem(scene), scenario, ticket.job_id)
        job = await studio.job(ticket.job_id)
        return _json(
            {
                "success": True,
                "message": f"Video regenerated successfully for {scenario}",
                "video_url": self._addresses.path(scene.file or "", job.snapshot.job.owner),
                "scenario": scenario.value,
                "session_id": session_id,
                "job_id": ticket.job_id,
                "take": scene.take,
                "provider": scene.provider,
            }
        )

    # ------------------------------------------------------------------ helpers

    def _render(self, job: LiveJob) -> Rendered:
        outlook = self._studio.outlook(job)
        body = views.job_status(job.snapshot, job.notes, outlook, self._addresses)
        return Rendered(body, min(outlook.good_for, self._addresses.good_for(job.snapshot)))

    def _started(self, ticket: Ticket, session_id: str, **extra: Any) -> web.Response:
        return _json(
            {
                "success": True,
                "message": f"Video generation started for {ticket.scenes} scenes",
                "job_id": ticket.job_id,
                "session_id": session_id,
                "status_url": views.status_url(ticket.job_id),
                "joined": ticket.joined,
                "provider": self._studio.provider,
                **extra,
            }
        )

    def _seen_by(self, request: web.Request) -> Studio:
        return self._studio.seen_by(viewer_of(request))

    async def _session_view(self, request: web.Request, session: Session, **extra: Any) -> dict[str, Any]:
        jobs = await self._seen_by(request).jobs_of(session.id)
        view = views.session(session, jobs, self._studio.provider, self._addresses)
        return {"success": True, **extra, **view}


def _json(body: Any) -> web.Response:
    return web.json_response(body, dumps=_dumps)


def _dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _scenario(name: str) -> Scenario:
    try:
        return Scenario(name)
    except ValueError:
        names = [scenario.value for scenario in Scenario]
        raise InvalidInput(
            f"There is no scenario {name[:40]!r}; use {', '.join(names)}",
            details={"field": "scenario", "allowed": names},
        ) from None


def _whole(request: web.Request, name: str, *, default: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS or int(text) > most:
        raise InvalidInput(f"{name} must be a whole number from 0 to {most}", details={"field": name})
    return int(text)


def _matches(header: str, etag: str) -> bool:
    """``If-None-Match``, compared weakly (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return tags == ["*"] or etag in tags


def _wants_no_waiting(request: web.Request) -> bool:
    """``Prefer: respond-async``, or ``?async=1`` for those without headers. Raises ``InvalidInput``."""
    asked = request.query.get("async", "0")
    if asked not in _YES_OR_NO:
        words = ", ".join(_YES_OR_NO)
        raise InvalidInput(f"async must be one of {words}", details={"field": "async"})
    return _prefers_no_waiting(request) or _YES_OR_NO[asked]


def _prefers_no_waiting(request: web.Request) -> bool:
    """RFC 7240."""
    preferences = ",".join(request.headers.getall("Prefer", [])).replace(";", ",").split(",")
    return "respond-async" in (item.strip().lower() for item in preferences)


def _accepted(request: web.Request, session_id: str, scenario: Scenario, job_id: str) -> web.Response:
    body = {
        "success": True,
        "message": f"Video regeneration started for {scenario}",
        "job_id": job_id,
        "scenario": scenario.value,
        "session_id": session_id,
        "status_url": views.status_url(job_id),
    }
    headers: dict[str, str] = {hdrs.LOCATION: views.status_url(job_id)}
    if _prefers_no_waiting(request):
        headers["Preference-Applied"] = "respond-async"
    return web.json_response(body, status=HTTPStatus.ACCEPTED, headers=headers)


def _not_regenerated(problem: dict[str, Any], scenario: Scenario, job_id: str) -> SceneError:
    return SceneError(
        f"Video for {scenario} was not regenerated: {problem['error']}",
        code=problem["error_code"],
        details={"scenario": scenario.value, "job_id": job_id, "retryable": problem["retryable"]},
    )
