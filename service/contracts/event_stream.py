"""A job's status as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

``event: scene`` for each kept transition, numbered, so that a client which reconnects with
``Last-Event-ID`` misses none; ``event: status`` with the same body as a poll after every change;
``event: end`` when nothing more can come.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from aiohttp import hdrs, web

from service.live import LiveJob, Render
from service.studio import Studio
from sessions.model import Event, Scene

#: a comment goes out when nothing else does, so that proxies and both ends know of each other, in seconds
_HEARTBEAT = 15.0

#: transitions that are sent again at most; a client that has missed more is told so
_REPLAYED = 1024

#: when a client should come back after a break, in milliseconds
_RETRY = 2000

#: more digits than any event's number
_DIGITS = 18


class EventStreams:
    """Sends streams; ``render`` makes the body of the status."""

    def __init__(self, studio: Studio, render: Render) -> None:
        self._studio = studio
        self._render = render

    async def stream(self, request: web.Request, job: LiveJob) -> web.StreamResponse:
        """Everything that happens to the job from now on, until it is over or the client leaves."""
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-cache",
                "X-Accel-Buffering": "no",  # nginx would hold events back
            }
        )
        await response.prepare(request)
        try:
            await response.write(f"retry: {_RETRY}\n\n".encode())
            await self._follow(response, job, _last_seen(request))
        except ConnectionError:
            pass  # the client has left
        return response

    async def _follow(self, response: web.StreamResponse, job: LiveJob, seen: int) -> None:
        while True:
            events = await self._studio.events(job.snapshot.job.id, seen)
            seen = events[-1].seq if events else seen
            await response.write(_events(events, job.snapshot.scenes) + _status(job, self._render))
            if all(scene.settled for scene in job.snapshot.scenes):
                await response.write(b"event: end\ndata: {}\n\n")
                return
            newer = job
            while newer is job:
                newer = await self._studio.newer(job, _HEARTBEAT)
                if newer is job:
                    if job.changed.is_set():
                        return  # the server is going to stop; the client comes back
                    await response.write(b": still here\n\n")
            job = newer


def _last_seen(request: web.Request) -> int:
    given = request.headers.get("Last-Event-ID", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= _DIGITS else 0


def _events(events: Sequence[Event], scenes: Sequence[Scene]) -> bytes:
    scenario = {scene.id: scene.scenario.value for scene in scenes}
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


def _status(job: LiveJob, render: Render) -> bytes:
    return b"event: status\ndata: " + job.rendered(render).body + b"\n\n"
