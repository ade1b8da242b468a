"""``/openapi.json``, and the pages that show it: Swagger UI, served from here, asks nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict

from service.contracts import openapi, preface
from service.contracts.access import Access
from service.contracts.base import Contract, Handler, Route
from service.contracts.describing import JSON, Doc, Reply, Tag
from service.contracts.problems import Problem
from service.sections import AuthSettings
from sessions.errors import NotFound

_STATIC = Path(__file__).parents[1] / "web" / "static" / "swagger"

#: what the page loads
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "init.js": "text/javascript",
    "docs.css": "text/css",
}

#: nothing from elsewhere, nothing inline; Swagger UI's style sheet has images inside
_CSP = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

#: the address changes with the content
_FOR_EVER = "public, max-age=31536000, immutable"


class DocumentsProblem(BaseModel):
    """Every error of the documentation."""

    model_config = ConfigDict(extra="forbid")

    error: str


def _render_problem(problem: Problem) -> web.Response:
    return web.json_response({"error": problem.message}, status=problem.status)


CONTRACT = Contract(
    name="documents",
    prefixes=("/openapi.json", "/docs", "/api/v1/docs"),
    render_problem=_render_problem,
    error_model=DocumentsProblem,
)

DOCUMENTS = Tag(name="Documentation", description="This.")

_DOCUMENT = Doc(
    operation_id="getOpenApi",
    summary="This documentation for programs: OpenAPI 3.1",
    tag=DOCUMENTS,
    headers={"If-None-Match": "The `ETag` of the copy that is there"},
    replies={
        200: Reply(
            "The document", examples={"Beginning": {"openapi": "3.1.1"}}, headers={"ETag": "Names it"}
        ),
        304: "The copy is good",
    },
)
_ASSET = Doc(
    operation_id="getDocsAsset",
    summary="Script and style of these pages",
    tag=DOCUMENTS,
    path={"version": "As the page names it", "name": "As the page names it"},
    replies={
        200: (Reply("The file", media="text/javascript"), Reply("or", media="text/css")),
        404: "There is no such file",
    },
)


class DocumentsContract:
    """Describes ``routes`` and its own; made once, answered as ready bytes."""

    def __init__(self, routes: Sequence[Route], auth: AuthSettings) -> None:
        self._version = blake2b(
            b"".join((_STATIC / name).read_bytes() for name in _ASSETS), digest_size=6
        ).hexdigest()
        page = (_STATIC / "page.html").read_text(encoding="utf-8")
        self._page = page.replace("{assets}", f"/docs/{self._version}").encode()
        described = [*routes, *self.routes()]
        contracts = dict.fromkeys(route.contract for route in described)
        document = openapi.document(
            described,
            info=preface.info(contracts, auth),
            cookie=auth.cookie,
            identity=auth.mode != "off",
        )
        self._document = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self._etag = blake2b(self._document, digest_size=12).hexdigest()

    def routes(self) -> list[Route]:
        return [
            _route("/openapi.json", self.document, _DOCUMENT),
            _route("/docs", self.page, _page("getDocs")),
            _route("/docs/{version}/{name}", self.asset, _ASSET),
            _route("/api/v1/docs", self.page, _page("getDocsOfVersion1")),
        ]

    async def document(self, request: web.Request) -> web.Response:
        known = any(tag.value in ("*", self._etag) for tag in request.if_none_match or ())
        response = web.Response(status=HTTPStatus.NOT_MODIFIED) if known else self._whole()
        response.etag = self._etag
        response.headers[hdrs.CACHE_CONTROL] = "no-cache"
        return response

    async def page(self, _request: web.Request) -> web.Response:
        headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache", "Content-Security-Policy": _CSP}
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=headers)

    async def asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _ASSETS or request.match_info["version"] != self._version:
            raise NotFound("There is no such file")
        body = await asyncio.to_thread((_STATIC / name).read_bytes)
        headers: dict[str, str] = {hdrs.CACHE_CONTROL: _FOR_EVER}
        return web.Response(body=body, content_type=_ASSETS[name], charset="utf-8", headers=headers)

    def _whole(self) -> web.Response:
        return web.Response(body=self._document, content_type=JSON)


def _page(operation_id: str) -> Doc:
    return Doc(
        operation_id=operation_id,
        summary="This documentation for people",
        tag=DOCUMENTS,
        replies={200: Reply("The page", media="text/html")},
    )


def _route(path: str, handler: Handler, doc: Doc) -> Route:
    return Route(method="GET", path=path, handler=handler, contract=CONTRACT, access=Access.PUBLIC, doc=doc)
