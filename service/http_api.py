"""The HTTP side, put together: every contract, and the guard in front of them."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web
from yarl import URL

from service.accounts import Accounts
from service.auth import Identity
from service.contracts import scenes
from service.contracts.access import Access, Doorkeeper
from service.contracts.admin import AdminContract
from service.contracts.base import Guard, Route, add_routes
from service.contracts.callbacks import CallbacksContract
from service.contracts.credits import CreditsContract
from service.contracts.cross_origin import CrossOrigin
from service.contracts.documents import DocumentsContract
from service.contracts.files import FilesContract
from service.contracts.gallery import GalleryContract
from service.contracts.headers import AnswerHeaders
from service.contracts.health import HealthContract
from service.contracts.idempotency import Idempotency
from service.contracts.monitor import MonitorContract
from service.contracts.rates import Turnstile
from service.contracts.reading import BODY_SECONDS
from service.contracts.scenes import ScenesContract
from service.contracts.video_jobs import VideoJobsContract
from service.contracts.videos import VideoAddresses
from service.fetching import ImageFetcher
from service.intake import ImageIntake
from service.links import Links
from service.media.images import ImageCleaner
from service.production import Production
from service.rates import Rates
from service.sections import ServerSettings
from service.settings import Settings
from service.web.pages import Pages
from sessions.clock import utc_now


@dataclass(frozen=True, kw_only=True)
class HttpApi:
    """What listens, once it has a socket."""

    app: web.Application
    health: HealthContract
    idempotency: Idempotency


async def open_http_api(settings: Settings, production: Production, stack: AsyncExitStack) -> HttpApi:
    """Open what only HTTP needs; ``stack`` closes it in reverse order."""
    identity = None
    if settings.auth.mode == "jwt":
        identity = Identity(settings.auth, production.database, utc_now)
        stack.push_async_callback(identity.close)
    idempotency = Idempotency(production.database, utc_now)
    turnstile = Turnstile(Rates(settings.rates), proxies=settings.rates.proxies)
    health = HealthContract(
        vital={"database": production.database_health, "outputs": production.outputs_health},
        others={
            f"provider {production.provider.name}": production.provider_health,
            "jobs": production.jobs_health,
        },
    )
    links = await _links(settings, production) if identity else None
    routes = [
        *await _contracts(settings, production, links, turnstile, stack),
        *CallbacksContract(production.watch).routes(),
        *Pages(scenes.CONTRACT).routes(),
        *health.routes(),
    ]
    routes += DocumentsContract(routes, settings.auth).routes()
    app = _application(settings.server, idempotency, Doorkeeper(identity), turnstile, routes)
    return HttpApi(app=app, health=health, idempotency=idempotency)


async def _contracts(
    settings: Settings,
    production: Production,
    links: Links | None,
    turnstile: Turnstile,
    stack: AsyncExitStack,
) -> list[Route]:
    studio, clips, library = production.studio, production.clips, production.library
    intake = await _open_intake(settings, production, stack)
    accounts = Accounts(store=production.database, opening=settings.opening, now=utc_now)
    addresses = VideoAddresses(links, settings.server.public_url)
    access = Access.OPEN if settings.auth.open_scenes else Access.KNOWN
    return [
        *ScenesContract(studio, addresses, access).routes(),
        *FilesContract(production.outputs, studio, scenes.CONTRACT, access, links).routes(),
        *GalleryContract(studio, clips, library, intake, addresses).routes(),
        *MonitorContract(
            studio=studio,
            library=library,
            addresses=addresses,
            settings=settings.monitor,
            turnstile=turnstile,
            now=utc_now,
            identity=settings.auth.mode == "jwt",
        ).routes(),
        *VideoJobsContract(
            studio=studio,
            clips=clips,
            intake=intake,
            catalogue=production.catalogue,
            addresses=addresses,
            now=utc_now,
            mock_mode_required=settings.video_jobs.mock_mode_required,
        ).routes(),
        *CreditsContract(
            studio=studio,
            clips=clips,
            library=library,
            intake=intake,
            accounts=accounts,
            addresses=addresses,
            terms=settings.terms,
            now=utc_now,
        ).routes(),
        *AdminContract(accounts).routes(),
    ]


async def _open_intake(settings: Settings, production: Production, stack: AsyncExitStack) -> ImageIntake:
    images = settings.images
    fetcher = ImageFetcher(limit_mib=images.limit_mib, seconds=images.fetch_seconds)
    stack.push_async_callback(fetcher.close)
    await fetcher.open()
    cleaner = ImageCleaner(limit_mib=images.limit_mib, megapixels=images.limit_megapixels)
    return ImageIntake(cleaner=cleaner, fetcher=fetcher, uploads=production.uploads)


async def _links(settings: Settings, production: Production) -> Links:
    secret = await production.database.secret("links", secrets.token_bytes(32))
    return Links(secret, hours=settings.auth.link_hours, now=utc_now)


def _application(
    settings: ServerSettings,
    idempotency: Idempotency,
    doorkeeper: Doorkeeper,
    turnstile: Turnstile,
    routes: list[Route],
) -> web.Application:
    public_url, cross_origin = URL(settings.public_url), CrossOrigin(settings.cors_origins)
    guard = Guard(
        routes,
        fallback=scenes.CONTRACT,
        names=filter(None, [*settings.names, public_url.host]),
        idempotency=idempotency,
        doorkeeper=doorkeeper,
        turnstile=turnstile,
        cross_origin=cross_origin,
    )
    app = web.Application(middlewares=[guard.middleware], client_max_size=settings.body_limit_kib << 10)
    app[BODY_SECONDS] = settings.body_seconds
    headers = AnswerHeaders(cross_origin, https=public_url.scheme == "https")
    app.on_response_prepare.append(headers.complete)
    add_routes(app, routes)
    return app
