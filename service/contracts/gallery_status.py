"""How far videos are, in the words of document 000: of one, which is asked all the time, or of many."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from service.contracts import gallery_views as views
from service.contracts.access import viewer_of
from service.contracts.gallery_base import dumps, json_answer, logged
from service.contracts.gallery_bodies import WantedVideos, ids_of
from service.contracts.gallery_records import Records
from service.contracts.reading import read_json
from service.contracts.videos import VideoAddresses
from service.live import LiveJob, Rendered
from service.studio import Studio
from sessions.errors import InvalidInput, NotFound

#: document 000, "Monitoring and Logging", word for word
_CHECKED = "[MINATO-INFO] [Video Status API] Runway API response"

#: more of an id than any has is not worth a line in the log
_SHOWN = 64


class _Said(Rendered):
    """A status as bytes, and what they were made from."""

    __slots__ = ("answer", "task_id", "video_id")

    def __init__(
        self, answer: dict[str, Any] | None, good_for: float, *, video_id: str, task_id: str
    ) -> None:
        super().__init__(dumps(answer).encode(), good_for)
        self.answer = answer  #: None if the video was removed
        self.video_id = video_id
        self.task_id = task_id  #: the present one


class VideoStatuses:
    """Handlers."""

    def __init__(self, studio: Studio, addresses: VideoAddresses) -> None:
        self._studio = studio
        self._addresses = addresses
        self._records = Records()

    async def one(self, request: web.Request) -> web.Response:
        """The hot path: bytes from memory, 304 if the client has them."""
        said = await self._said(request, _once(request, "videoId"), _once(request, "taskId"))
        headers: dict[str, str] = {hdrs.ETAG: said.etag, hdrs.CACHE_CONTROL: "no-cache"}
        if any(tag.value in ("*", said.etag.strip('"')) for tag in request.if_none_match or ()):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=said.body, content_type="application/json", headers=headers)

    async def many(self, request: web.Request) -> web.Response:
        """What is wrong with one of them is said in its place."""
        body = await read_json(request, WantedVideos, invalid_status=HTTPStatus.BAD_REQUEST)
        said = [await self._line(request, it.video_id, it.task_id) for it in body.videos]
        return json_answer({"success": True, "videos": said})

    async def _line(self, request: web.Request, video_id: str | None, task_id: str | None) -> dict[str, Any]:
        asked = {"videoId": video_id, "taskId": task_id}
        try:
            said = await self._said(request, video_id, task_id)
        except NotFound as error:
            return {**asked, **views.refusal(error.message, HTTPStatus.NOT_FOUND)}
        except InvalidInput as error:
            return {**asked, **views.refusal(error.message, HTTPStatus.BAD_REQUEST)}
        return {
            "videoId": video_id or said.video_id,
            "taskId": task_id or said.task_id,
            **(said.answer or {}),
        }

    async def _said(self, request: web.Request, video_id: str | None, task_id: str | None) -> _Said:
        """The status of one video, put into the log. Raises ``NotFound`` or ``InvalidInput``."""
        asked = {"videoId": video_id and video_id[:_SHOWN], "taskId": task_id and task_id[:_SHOWN]}
        with logged(request, _CHECKED, **asked) as line:
            studio = self._studio.seen_by(viewer_of(request))
            record = await self._records.find(studio, *ids_of(video_id, task_id))
            base = self._addresses.base_of(request)
            said = record.job.rendered(self._render, base, record.scene_id)
            assert isinstance(said, _Said), "that is what it renders"
            if said.answer is None:
                raise NotFound("Video record not found")
            line.update(
                videoId=video_id or said.video_id,
                taskId=task_id or said.task_id,
                status=said.answer["status"],
                progress=said.answer["progress"],
                hasOutput=said.answer["videoUrl"] is not None,
            )
            return said

    def _render(self, job: LiveJob, base: str, scene_id: str | None) -> _Said:
        snapshot = views.only(job.snapshot, scene_id)
        return _Said(
            views.status_body(snapshot, base, self._addresses),
            self._addresses.good_for(snapshot),
            video_id=scene_id or snapshot.job.id,
            task_id=snapshot.scenes[0].task_id,
        )


def _once(request: web.Request, name: str) -> str | None:
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise InvalidInput(
            f"{name} is in the address more than once; ask for many with POST /api/video/status",
            details={"field": name},
        )
    return given[0] if given else None
