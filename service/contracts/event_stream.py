"""A job's status as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

``event: scene`` for each kept transition, numbered, so that a client which reconnects with
``Last-Event-ID`` misses none; ``event: status`` with the same body as a poll after every change;
``event: end`` when nothing more can come.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import hdrs, web

from service.live import LiveJob, Render, Rendered
from service.studio import Studio
from sessions.errors import NotFound
from sessions.model import Event, Scene
from sessions.store import StoreUnavailable

#: a comment goes out when nothing else does, so that proxies and both ends know of each other, in seconds
_HEARTBEAT = 15.0

#: transitions that are sent again at most; a client that has missed more is told so
_REPLAYED = 1024

#: when a client should come back after a break, in milliseconds
_RETRY = 2000

#: nothing more can come
_END = b"event: end\ndata: {}\n\n"

#: more digits than any event's number
_DIGITS = 18


class EventStreams:
    """Sends streams; ``render`` makes the body of the status."""

    def __init__(self, studio: Studio, render: Render) -> None:
        self._studio = studio
        self._render = render

    async def stream(self, request: web.Request, job: LiveJob) -> web.StreamResponse:
        """Everything that happens to the job from now on, until it is over or the client leaves.

        204, which tells a browser to stay away, if the client has seen the end already.
        """
        seen = _last_seen(request)
        events = await self._studio.events(job.snapshot.job.id, seen)
        if seen and not events and _over(job):
            return web.Response(status=HTTPStatus.NO_CONTENT)
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-cache",
                "X-Accel-Buffering": "no",  # nginx would hold events back
            }
        )
        await response.prepare(request)
        try:
            await response.write(f"retry: {_RETRY}\n\n".encode() + _events(events, job.snapshot.scenes))
            await self._follow(response, job, events[-1].seq if events else seen)
        except NotFound:  # deleted meanwhile
            with contextlib.suppress(ConnectionError):
                await response.write(_END)
        except (ConnectionError, StoreUnavailable):
            pass  # the client has left; or it has to come back, and is told what it missed
        return response

    async def _follow(self, response: web.StreamResponse, job: LiveJob, seen: int) -> None:
        rendered = job.rendered(self._render)
        await response.write(_status(rendered))
        while not (_over(job) or self._studio.stopping):
            newer = await self._studio.newer(job, _HEARTBEAT)
            if newer is job:
                newer = await self._studio.job(job.snapshot.job.id)  # it may have left the memory
            if _kept(newer) != _kept(job):
                events = await self._studio.events(job.snapshot.job.id, seen)
                seen = events[-1].seq if events else seen
                await response.write(_events(events, newer.snapshot.scenes))
            known, job, rendered = rendered, newer, newer.rendered(self._render)
            await response.write(_status(rendered) if rendered.etag != known.etag else b": still here\n\n")
        if _over(job):
            await response.write(_END)


def _over(job: LiveJob) -> bool:
    return all(scene.settled for scene in job.snapshot.scenes)


def _kept(job: LiveJob) -> list[tuple[object, ...]]:
    """What differs after every transition that is an event; progress alone is none."""
    return [(it.state, it.stage, it.attempt, it.tries, it.owed) for it in job.snapshot.scenes]


def _last_seen(request: web.Request) -> int:
    given = request.headers.get("Last-Event-ID", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= _DIGITS else 0


def _events(events: Sequence[Event], scenes: Sequence[Scene]) -> bytes:
    scenario = {scene.id: scene.name for scene in scenes}
    lines = []
    if len(events) > _REPLAYED:
        lines.append(f"event: gap\ndata: {json.dumps({'missed': len(events) - _REPLAYED})}\n\n")
    for event in events[-_REPLAYED:]:
        body = {
            "kind": event.kind.value,
            "scenario": scenario.get(event.scene_id),
            "at": event.at.isoformat(),
            **event.data,
        }
        lines.append(f"id: {event.seq}\nevent: scene\ndata: {json.dumps(body)}\n\n")
    return "".join(lines).encode()


def _status(rendered: Rendered) -> bytes:
    return b"event: status\ndata: " + rendered.body + b"\n\n"
