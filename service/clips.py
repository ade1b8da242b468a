"""Clips on their own: one video from text or images, under the terms of the contract that asks.

Everything is checked before anything is charged, charged with what is written, and written before
anything is sent.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.providers.catalogue import Catalogue, Wish
from service.sections import ProviderName, TermsSettings
from service.settings import Settings
from service.studio import Studio, Ticket
from sessions.clock import Clock
from sessions.idempotency import KeyedRequest
from sessions.ledger import Currency, Price, Purchase
from sessions.model import Job, Lane, Scene
from sessions.quota import Quota

#: whose account it is where nobody says who they are
NOBODY = "anonymous"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a client of a contract wants."""

    wish: Wish
    terms: str  #: under which of config.toml's [terms] it is ordered
    asked: Mapping[str, Any] = field(default_factory=dict)  #: its own words, to be echoed
    mock: bool = False  #: a local preview, whoever makes the videos otherwise
    lane: Lane = Lane.INTERACTIVE


class Clips:
    """Takes orders."""

    def __init__(self, studio: Studio, catalogue: Catalogue, settings: Settings, now: Clock) -> None:
        self._studio = studio
        self._catalogue = catalogue
        self._settings = settings
        self._now = now

    def seen_by(self, studio: Studio) -> Clips:
        """The same, for the viewer of ``studio``."""
        theirs = copy.copy(self)
        theirs._studio = studio  # noqa: SLF001 - a copy of this very object
        return theirs

    def fetches_images(self, *, mock: bool) -> bool:
        """Whether an image is needed at all: previews show text only."""
        return self._provider(mock=mock) != "local"

    def check(self, order: Order) -> None:
        """Raise ``UnsupportedByModel`` if the order cannot be made as it stands."""
        self._catalogue.clip(self._wish(order), self._provider(mock=order.mock))

    async def admit(self, order: Order, owner: str | None) -> None:
        """Raise what ``order`` would raise now, before anything is fetched or kept for it."""
        self.check(order)
        purchase, quota = self._conditions(order, owner)
        await self._studio.check_room(owner, order.terms, purchase=purchase, quota=quota)

    def price(self, order: Order) -> int:
        """What the order costs, in its terms' currency."""
        return _price(self._settings.terms.of(order.terms), order)

    async def order(self, order: Order, owner: str | None, request: KeyedRequest | None = None) -> Ticket:
        """Start a job of one scene. Its scene has the job's id, so that either names it.

        Raises ``UnsupportedByModel``, ``QuotaReached`` or ``InsufficientCredit``; then nothing is
        charged and nothing is on record.
        """
        if (known := await self._studio.repeated(request)) is not None:
            return known
        shot = self._catalogue.clip(self._wish(order), self._provider(mock=order.mock))
        now, job_id = self._now(), str(uuid.uuid4())
        job = Job(
            id=job_id,
            session_id=None,
            created_at=now,
            owner=owner,
            terms=order.terms,
            asked=order.asked,
            lane=order.lane,
        )
        scene = Scene(
            id=job_id,
            job_id=job_id,
            session_id=None,
            scenario=None,
            take=0,  # the store numbers it
            prompt=shot.prompt,
            model=shot.model,
            provider=shot.provider,
            seconds=shot.seconds,
            width=shot.width,
            height=shot.height,
            frames=shot.frames,
            sound=shot.sound,
            task_id=str(uuid.uuid4()),
            created_at=now,
            updated_at=now,
        )
        purchase, quota = self._conditions(order, owner)
        return await self._studio.begin(job, [scene], request, purchase=purchase, quota=quota)

    def _conditions(self, order: Order, owner: str | None) -> tuple[Purchase | None, Quota | None]:
        """What the order costs its owner, and how many such the owner may have."""
        terms = self._settings.terms.of(order.terms)
        quota = None if terms.running is None else Quota(running=terms.running, waiting=terms.waiting)
        return self._purchase(terms, order, owner), quota

    def _wish(self, order: Order) -> Wish:
        """The order's wish, with the terms' model if it names none."""
        usual = self._settings.terms.of(order.terms).model
        known = self._settings.models.get(usual)
        if known and known.provider != self._provider(mock=order.mock):
            usual = ""  # a preview of it is made by the previews' own default
        return replace(order.wish, model=order.wish.model or usual or None)

    def _provider(self, *, mock: bool) -> ProviderName:
        return "local" if mock else self._catalogue.provider

    def _purchase(self, terms: TermsSettings, order: Order, owner: str | None) -> Purchase | None:
        price = _price(terms, order)
        if terms.currency is None or not price:
            return None
        currency = Currency(terms.currency)
        return Purchase(
            owner=owner or NOBODY,
            price=Price(currency=currency, amount=price),
            opening=self._settings.opening(currency),
        )


def _price(terms: TermsSettings, order: Order) -> int:
    from_image = order.wish.frames.first is not None and terms.price_with_image is not None
    return (terms.price_with_image or 0) if from_image else terms.price
