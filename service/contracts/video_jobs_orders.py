"""What clients of the video jobs contract send, as orders: preview or not, of which model, at what price."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import get_args

from service.clips import Clips, Order
from service.contracts.forms import Upload
from service.contracts.video_jobs_bodies import SENTENCES, NewVideoJob, frames_of
from service.contracts.video_jobs_views import TERMS
from service.providers.catalogue import Catalogue, Wish
from service.sections import ProviderName
from sessions.errors import InvalidInput, UnsupportedByModel

#: what an image becomes where nobody says it
_JUST_MOVE = "The image comes to life with natural, gentle movement."

# ``Warning`` headers (RFC 7234, 5.5) for those who leave the choice to the server, or cannot have theirs.
_PREVIEWED = '299 - "mockMode is missing: this is a preview, because no video provider is configured"'
_BILLED = '299 - "mockMode is missing: this video is made, and billed, by the video provider"'
_NOT_REAL = '299 - "mockMode is false, but no video provider is configured: this is a preview"'


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Reads them. With ``mode_required`` an order has to say whether it is for a preview."""

    clips: Clips
    catalogue: Catalogue
    mode_required: bool

    def of(self, form: NewVideoJob, uploads: Sequence[Upload]) -> tuple[Order, str | None]:
        """The order, its images under the names of their fields, and what the client is to be warned of.

        Raises ``InvalidInput`` or ``UnsupportedByModel``: all that can be said without its images.
        """
        mock, warning = self._mode(form.mock_mode)
        wish = Wish(
            prompt=form.prompt or _JUST_MOVE,
            model=self._model(form.model, mock=mock),
            seconds=float(form.duration_seconds),
            aspect_ratio=form.aspect_ratio,
            resolution=form.resolution,
            frames=frames_of(uploads, [upload.field for upload in uploads]),
            sound=form.generate_audio,
        )
        asked = form.model_dump(by_alias=True, exclude={"user_id"}) | {"mockMode": mock}
        order = Order(wish=wish, terms=TERMS, asked=asked, mock=mock)
        self.clips.check(order)
        return replace(order, asked={**asked, "charged": self.clips.price(order)}), warning

    def _mode(self, asked: bool | None) -> tuple[bool, str | None]:
        """Whether a preview is ordered, and the warning."""
        if asked is None and self.mode_required:
            raise InvalidInput(SENTENCES["mockMode"], details={"field": "mockMode"})
        if self.catalogue.provider == "local":
            return True, {None: _PREVIEWED, False: _NOT_REAL}.get(asked)
        return bool(asked), _BILLED if asked is None else None

    def _model(self, name: str, *, mock: bool) -> str:
        """The model to order; a preview stands in for every model that there is."""
        if mock:
            for provider in get_args(ProviderName):
                with suppress(UnsupportedByModel):
                    self.catalogue.model(name, provider)
                    return self.catalogue.model(None, "local")[0]
        return name
