"""Finished files under ``/outputs/``: byte ranges, conditional requests, nothing else.

aiohttp's ``FileResponse`` does the sending. What RFC 9110 wants and it does differently is
decided here first, and it is handed a request that holds only what then still matters.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import stat
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path

from aiohttp import ETag, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from service.contracts.access import Access, viewer_of
from service.contracts.base import Contract, Route
from service.contracts.describing import Doc, Reply, Tag
from service.contracts.problems import BadRequest, Problem
from service.links import Links
from service.storage.outputs import Outputs
from service.studio import Studio
from sessions.errors import NotFound

_RANGE = re.compile(r"bytes=(?P<first>\d{1,18})?-(?P<last>\d{1,18})?", re.IGNORECASE | re.ASCII)

#: a finished file never changes under its name
_CACHE = "private, max-age=31536000, immutable"

_CHUNK = 1 << 20

#: what decides about a 304; everything else has been decided
_KEPT = (hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE)


FILES = Tag(
    name="Files",
    description="Finished videos. A name never changes its content, so that players and caches may keep it.",
)

_ENTITY = {"ETag": "Names the file", "Accept-Ranges": "`bytes`"}
_FILE = Doc(
    operation_id="getFile",
    summary="Play or download a finished video",
    description=(
        "One byte range, conditional requests and HEAD are understood (RFC 9110). A link as the API gives it "
        "may carry `exp` and `sig`: whoever has it needs no credentials until it expires."
    ),
    tag=FILES,
    path={"name": "As in `video_url`"},
    headers={"Range": "Such as `bytes=0-1023`", "If-None-Match": "The `ETag` of the copy that is there"},
    replies={
        200: Reply("The file", media="video/mp4", headers=_ENTITY),
        206: Reply("The range", media="video/mp4", headers={**_ENTITY, "Content-Range": "Which bytes"}),
        304: Reply("The copy is good", headers={"ETag": "Names the file"}),
        404: "There is no such file, or it is somebody else's",
        412: "The file is another one",
        416: Reply("The file ends before the range begins", headers={"Content-Range": "How long it is"}),
    },
)


class FilesContract:
    """Serves the outputs folder by name; errors have the shape of ``contract``.

    A valid signature of ``links`` stands in for knowing who asks. Any other is no signature: the
    request is judged as it would be without.
    """

    def __init__(
        self,
        outputs: Outputs,
        studio: Studio,
        contract: Contract,
        access: Access,
        links: Links | None = None,
    ) -> None:
        self._outputs = outputs
        self._studio = studio
        self._contract = contract
        self._access = access
        self._links = links

    def routes(self) -> list[Route]:
        route = Route(
            method="GET",
            path="/outputs/{name}",
            handler=self.file,
            contract=self._contract,
            access=self._access,
            permits=self._is_signed,
            doc=_FILE,
        )
        return [route]

    def _is_signed(self, request: web.Request) -> bool:
        name, query = request.match_info["name"], request.rel_url.raw_query_string
        return self._links is not None and self._links.valid(name, query)

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        path = self._outputs.path(name)
        found = None if path is None else await asyncio.to_thread(_regular_file, path)
        studio = self._studio.seen_by(viewer_of(request))
        if path is None or found is None or not await studio.shows_file(name):
            raise NotFound("There is no such file")
        _check_preconditions(request, found)
        counts = _range_counts(request, found)
        if counts and hdrs.IF_NONE_MATCH not in request.headers:
            _check_range(request, found)
        headers: dict[str, str] = {hdrs.CONTENT_TYPE: "video/mp4", hdrs.CACHE_CONTROL: _CACHE}
        return _VideoFile(path, headers, with_range=counts)


class _VideoFile(web.FileResponse):
    """Sends a file to a request of which only the decisive headers are left."""

    def __init__(self, path: Path, headers: dict[str, str], *, with_range: bool) -> None:
        super().__init__(path, headers=headers, chunk_size=_CHUNK)
        self._kept = (*_KEPT, hdrs.RANGE) if with_range else _KEPT

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        # Accept-Encoding is gone too: a compressed neighbour is never sent in the file's place.
        headers = CIMultiDict(
            (name, value)
            for name in self._kept
            if (value := request.headers.get(name, "")).isascii() and value
        )
        return await super().prepare(request.clone(headers=headers))


def _regular_file(path: Path) -> os.stat_result | None:
    """Its facts, unless it is missing or a link to elsewhere."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _tag(found: os.stat_result) -> str:
    """The entity tag that ``FileResponse`` gives."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def _check_preconditions(request: web.Request, found: os.stat_result) -> None:
    """If-Match and If-Unmodified-Since (RFC 9110, 13.1.1 and 13.1.4)."""
    wanted = request.if_match
    since = request.if_unmodified_since
    if wanted is not None:
        holds = any(tag.value == "*" or tag == ETag(value=_tag(found)) for tag in wanted)
    else:
        holds = since is None or math.ceil(found.st_mtime) <= since.timestamp()
    if not holds:
        raise BadRequest(Problem(status=HTTPStatus.PRECONDITION_FAILED, message="The file is another one"))


def _range_counts(request: web.Request, found: os.stat_result) -> bool:
    """Whether Range is to be followed.

    Section 14.2: a Range that is malformed, has several parts, or comes with another method than
    GET is ignored. Section 13.1.5: If-Range must match exactly.
    """
    asked = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, "").strip())
    if request.method != hdrs.METH_GET or asked is None:
        return False
    first, last = asked["first"], asked["last"]
    if (first is None and not int(last or 0)) or (first and last and int(first) > int(last)):
        return False
    condition = request.headers.get(hdrs.IF_RANGE)
    return condition is None or condition.strip() in (
        f'"{_tag(found)}"',
        formatdate(math.ceil(found.st_mtime), usegmt=True),
    )


def _check_range(request: web.Request, found: os.stat_result) -> None:
    asked = _RANGE.fullmatch(request.headers[hdrs.RANGE].strip())
    if asked is not None and asked["first"] is not None and int(asked["first"]) >= found.st_size:
        raise BadRequest(
            Problem(
                status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                message="The file ends before the range begins",
                headers={str(hdrs.CONTENT_RANGE): f"bytes */{found.st_size}"},
            )
        )
