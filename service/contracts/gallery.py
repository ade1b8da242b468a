"""The gallery contract (document 000): a video from an image or a prompt, its status, and the gallery.

Errors are ``{"success": false, "error": sentence, "status": HTTP status}``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from service.addresses import public_web_address
from service.clips import Clips, Order
from service.contracts import gallery_docs as docs
from service.contracts import gallery_views as views
from service.contracts.access import Access, viewer_of
from service.contracts.base import Contract, Route
from service.contracts.forms import form_limit, read_form
from service.contracts.gallery_base import LIST, ORDERS, STATUS, json_answer, logged
from service.contracts.gallery_bodies import FILES, GalleryPage, NewVideo, image_of
from service.contracts.gallery_status import VideoStatuses
from service.contracts.idempotency import keyed
from service.contracts.problems import BadRequest
from service.contracts.reading import validation_problem
from service.contracts.videos import VideoAddresses
from service.intake import ImageIntake
from service.library import Library
from service.studio import Studio
from sessions.errors import InvalidInput

#: stands for the image while an order is checked
_AN_IMAGE = "image"


class GalleryContract:
    """Handlers of the contract."""

    def __init__(
        self,
        studio: Studio,
        clips: Clips,
        library: Library,
        intake: ImageIntake,
        addresses: VideoAddresses,
    ) -> None:
        self._studio = studio
        self._clips = clips
        self._library = library
        self._intake = intake
        self._addresses = addresses
        self._statuses = VideoStatuses(studio, addresses)

    def routes(self) -> list[Route]:
        def route(method: str, path: str, contract: Contract, **more: Any) -> Route:
            return Route(method=method, path=path, contract=contract, access=Access.KNOWN, **more)

        return [
            route(
                "POST",
                "/api/video/generate",
                ORDERS,
                handler=self.generate,
                creates=True,
                form_limit=form_limit(FILES),
                doc=docs.GENERATE,
            ),
            route("GET", "/api/video/generate", STATUS, handler=self._statuses.one, doc=docs.STATUS),
            route("POST", "/api/video/status", STATUS, handler=self._statuses.many, doc=docs.STATUSES),
            route("GET", "/api/videos/gallery", LIST, handler=self.gallery, doc=docs.GALLERY),
        ]

    async def generate(self, request: web.Request) -> web.Response:
        """Order a video. Nothing is fetched before the rest of the order is good."""
        with logged(request, "gallery.ordered") as line:
            body, uploads = await read_form(
                request, NewVideo, files=FILES, invalid_status=HTTPStatus.BAD_REQUEST
            )
            image = image_of(body, uploads)
            viewer = viewer_of(request)
            studio = self._studio.seen_by(viewer)
            ticket = await studio.repeated(keyed(request))
            if ticket is None:
                clips = self._clips.seen_by(studio)
                if image:
                    await clips.admit(_order(body, _AN_IMAGE), viewer.owner)
                order = _order(body, await self._kept(image))
                ticket = await clips.order(order, viewer.owner, keyed(request))
            started = views.started((await studio.job(ticket.job_id)).snapshot)
            line.update(videoId=started["videoId"], taskId=started["taskId"])
            return json_answer(started)

    async def gallery(self, request: web.Request) -> web.Response:
        """Both record stores, newest first."""
        with logged(request, "gallery.listed") as line:
            page = _page(request)
            library = self._library.seen_by(viewer_of(request))
            found, total = await library.gallery(status=page.status, limit=page.limit, offset=page.offset)
            line.update(videos=len(found))
            base = self._addresses.base_of(request)
            videos = [views.gallery_video(video, base, self._addresses) for video in found]
            part = {"total": total, "limit": page.limit, "offset": page.offset}
            return json_answer({"success": True, "videos": videos, **part})

    async def _kept(self, image: str | bytes | None) -> str | None:
        """What the order's frames say of the image. Raises ``InvalidInput``."""
        if image is None:
            return None
        if isinstance(image, bytes):
            return await self._intake.take(image)
        if self._clips.fetches_images(mock=False):
            return await self._intake.fetch(image)
        try:
            return public_web_address(image)
        except ValueError as error:
            raise InvalidInput(f"imageUrl {error}", details={"field": "imageUrl"}) from None


def _order(body: NewVideo, first: str | None) -> Order:
    return Order(wish=body.wish(first), terms="gallery", asked=body.asked())


def _page(request: web.Request) -> GalleryPage:
    try:
        return GalleryPage.model_validate(dict(request.query))
    except ValidationError as error:
        raise BadRequest(validation_problem(error, HTTPStatus.BAD_REQUEST)) from None
