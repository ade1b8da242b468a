"""Pages for people: sessions at ``/``, and the monitor of document 001 at the two addresses it names.

Clients of the contracts like any other, with no private API.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import hdrs, web

from service.contracts.access import Access
from service.contracts.base import Contract, Route
from service.contracts.describing import Doc, Reply, Tag
from sessions.errors import NotFound

_STATIC = Path(__file__).with_name("static")
_TYPES = {".css": "text/css", ".js": "text/javascript"}

#: nothing from elsewhere, nothing inline, and no frame around it
_CSP = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


PAGES = Tag(name="Pages", description="For people with a browser; clients of this API like any other.")

_PAGE = Doc(
    operation_id="getPage",
    summary="Sessions and their videos, as a page",
    tag=PAGES,
    replies={200: Reply("The page", media="text/html")},
)
_MONITORS = {
    path: Doc(
        operation_id=operation_id,
        summary="What everybody's video jobs do, as a page",
        description="Shows `GET /api/v1/video-jobs/all` every three seconds.",
        tag=PAGES,
        replies={200: Reply("The page", media="text/html")},
    )
    for path, operation_id in (
        ("/video-monitor", "getMonitorPage"),
        ("/AIStudio/video-monitor", "getStudioMonitorPage"),
    )
}
_FILE = Doc(
    operation_id="getStaticFile",
    summary="Script and style of the pages",
    tag=PAGES,
    path={"name": "As the page names it"},
    replies={
        200: (Reply("The file", media="text/javascript"), Reply("or", media="text/css")),
        404: "There is no such file",
    },
)


class Pages:
    """Serves the pages and their static files."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._static = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}

    def routes(self) -> list[Route]:
        table = (
            ("/", self.page, _PAGE),
            *((path, self.monitor, doc) for path, doc in _MONITORS.items()),
            ("/static/{name}", self.static, _FILE),
        )
        return [
            Route(
                method="GET",
                path=path,
                handler=handler,
                contract=self._contract,
                access=Access.PUBLIC,
                doc=doc,
            )
            for path, handler, doc in table
        ]

    async def page(self, _request: web.Request) -> web.Response:
        return await _served(_STATIC / "index.html", "text/html")

    async def monitor(self, _request: web.Request) -> web.Response:
        """For everybody; what it shows, the feed decides."""
        return await _served(_STATIC / "monitor.html", "text/html")

    async def static(self, request: web.Request) -> web.Response:
        path = self._static.get(request.match_info["name"])
        if path is None:
            raise NotFound("There is no such file")
        return await _served(path, _TYPES[path.suffix])


async def _served(path: Path, content_type: str) -> web.Response:
    body = await asyncio.to_thread(path.read_bytes)
    headers: dict[str, str] = {
        hdrs.CACHE_CONTROL: "no-cache",
        "Content-Security-Policy": _CSP,
    }
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)
