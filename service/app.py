"""The composition root: the only module that knows every room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from yarl import URL

from service.auth import Identity
from service.contracts import scenes
from service.contracts.access import Access, Doorkeeper
from service.contracts.base import Guard, Route, add_routes
from service.contracts.callbacks import CallbacksContract
from service.contracts.files import FilesContract
from service.contracts.health import HealthContract
from service.contracts.idempotency import Idempotency
from service.contracts.scenes import ScenesContract
from service.estimates import Estimates
from service.execution.base import Executor
from service.execution.embedded import EmbeddedExecutor
from service.health import Health
from service.limits import Slots
from service.live import Live
from service.media.download import Downloader
from service.media.workers import MediaWorkers
from service.outlook import Outlooks
from service.providers.base import VideoProvider
from service.providers.catalogue import Catalogue
from service.providers.local import LocalProvider
from service.providers.runware import RunwareProvider
from service.recipes.callbacks import Callbacks
from service.recipes.circuits import Circuits
from service.recipes.clip import ClipRecipe
from service.recipes.delivery import Delivery
from service.recipes.watch import Watch
from service.runner import Runner
from service.settings import ServerSettings, Settings
from service.storage.outputs import Outputs
from service.studio import Studio
from service.web.pages import Pages
from service.writers.base import Writer
from service.writers.model import ModelWriter
from service.writers.template import TemplateWriter
from sessions.clock import utc_now
from sessions.database import Database
from sessions.errors import ConfigError
from sessions.model import JobSnapshot
from sessions.store import StoreUnavailable

_log = structlog.get_logger(__name__)

#: clips that estimates are learned from at the start
_EXPERIENCE = 2000


@dataclass(frozen=True, kw_only=True)
class Service:
    """Everything that runs, apart from the listening socket."""

    studio: Studio
    app: web.Application
    live: Live
    health: HealthContract
    executor: Executor
    unfinished: Sequence[str]  #: jobs of an earlier process

    def resume(self) -> None:
        """Take up what an earlier process left unfinished."""
        for job_id in self.unfinished:
            _log.info("job.resumed", job=job_id)
            self.executor.submit(job_id)


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Open every resource; close in reverse order."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database.url)
        stack.push_async_callback(database.close)
        await database.open()

        live = Live()
        unfinished = [
            snapshot
            for job_id in await database.unfinished_jobs()
            if (snapshot := await database.job(job_id)) is not None
        ]
        for snapshot in unfinished:
            live.add(snapshot)

        outputs = Outputs(settings.outputs.dir)
        stack.callback(outputs.close)
        if swept := outputs.open(keep=_results(unfinished)):
            _log.info("outputs.swept", files=swept)

        workers = MediaWorkers(renders=settings.local.workers or None)
        provider, writer = _provider(settings, workers, outputs)
        stack.push_async_callback(provider.close)
        await provider.open()
        downloader = Downloader(settings.downloads, scratch=outputs.folder)
        stack.push_async_callback(downloader.close)
        await downloader.open()

        catalogue = Catalogue(settings)
        slots = Slots(
            settings.limits, {name: model.slots for name, model in settings.models.items() if model.slots}
        )
        circuits = Circuits(provider.name, settings.limits)
        estimates = Estimates(await database.generations(_EXPERIENCE))
        watch = Watch(
            provider, polls_per_second=settings.runware.polls_per_second, callbacks=_callbacks(settings)
        )
        recipe = ClipRecipe(
            provider=provider,
            catalogue=catalogue,
            slots=slots,
            circuits=circuits,
            watch=watch,
            estimates=estimates,
            delivery=Delivery(
                provider=provider,
                downloader=downloader,
                workers=workers,
                outputs=outputs,
                downloads=settings.downloads,
                now=utc_now,
            ),
            now=utc_now,
        )
        runner = Runner(store=database, live=live, recipe=recipe, retries=settings.retries, now=utc_now)
        executor = EmbeddedExecutor(runner.run_job, runner.reconsider)
        stack.push_async_callback(executor.stop)
        studio = Studio(
            store=database,
            live=live,
            outlooks=Outlooks(slots=slots, estimates=estimates, now=utc_now),
            executor=executor,
            catalogue=catalogue,
            writer=writer,
            now=utc_now,
        )
        stack.push_async_callback(studio.close)
        health = _health(database, outputs, provider, circuits, runner)
        identity = Identity(settings.auth, database, utc_now) if settings.auth.mode == "jwt" else None
        if identity:
            stack.push_async_callback(identity.close)
        access = Access.OPEN if settings.auth.open_scenes else Access.KNOWN
        idempotency = Idempotency(database, utc_now)
        stack.push_async_callback(_ended, asyncio.create_task(idempotency.sweep(), name="forget old keys"))
        app = _application(
            settings.server,
            idempotency,
            Doorkeeper(identity),
            [
                *ScenesContract(studio, access).routes(),
                *CallbacksContract(watch).routes(),
                *FilesContract(outputs, studio, scenes.CONTRACT, access).routes(),
                *Pages(scenes.CONTRACT).routes(),
                *health.routes(),
            ],
        )
        yield Service(
            studio=studio,
            app=app,
            live=live,
            health=health,
            executor=executor,
            unfinished=[snapshot.job.id for snapshot in unfinished],
        )


@asynccontextmanager
async def listening(service: Service, settings: ServerSettings) -> AsyncIterator[str]:
    """Serve HTTP, then take up unfinished jobs; answers the address.

    On leaving: no new connections, requests under way are answered.
    """
    runner = web.AppRunner(
        service.app, handle_signals=False, access_log=None, shutdown_timeout=settings.shutdown_seconds / 2
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
                "choose another with SCENEWRIGHT_SERVER__PORT or --port"
            ) from None
        service.resume()
        host, port = runner.addresses[0][:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        service.health.drain()
        service.live.stop()
        await runner.cleanup()


def _results(unfinished: Sequence[JobSnapshot]) -> set[Path]:
    """Local results that unfinished scenes still need."""
    scenes = (scene for snapshot in unfinished for scene in snapshot.scenes if not scene.terminal)
    return {Path(scene.result) for scene in scenes if scene.result}


def _provider(settings: Settings, workers: MediaWorkers, outputs: Outputs) -> tuple[VideoProvider, Writer]:
    if settings.active_provider == "runware":
        runware = RunwareProvider(settings.runware)
        return runware, ModelWriter(runware)
    local = LocalProvider(workers, scratch=outputs.folder, preset=settings.local.preset)
    return local, TemplateWriter()


def _callbacks(settings: Settings) -> Callbacks | None:
    """Webhooks need an address that the provider can reach, and a secret."""
    key, public_url = settings.runware.api_key, settings.server.public_url
    if settings.active_provider != "runware" or not (settings.runware.webhooks and public_url and key):
        return None
    return Callbacks(public_url, key)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _health(
    database: Database, outputs: Outputs, provider: VideoProvider, circuits: Circuits, runner: Runner
) -> HealthContract:
    async def database_health() -> Health:
        try:
            await database.ping()
        except StoreUnavailable as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True, detail="answers")

    async def outputs_health() -> Health:
        ok = await asyncio.to_thread(outputs.writable)
        return Health(ok=ok, detail="writable" if ok else "the outputs folder cannot be written")

    async def provider_health() -> Health:
        if troubles := circuits.troubles():
            return Health(ok=False, detail="; ".join(troubles))
        return await provider.health()

    async def jobs_health() -> Health:
        parked = len(runner.parked)
        detail = (
            f"{parked} scenes were begun with another provider and wait for it" if parked else "none waits"
        )
        return Health(ok=not parked, detail=detail)

    return HealthContract(
        vital={"database": database_health, "outputs": outputs_health},
        others={f"provider {provider.name}": provider_health, "jobs": jobs_health},
    )


def _application(
    settings: ServerSettings, idempotency: Idempotency, doorkeeper: Doorkeeper, routes: list[Route]
) -> web.Application:
    names = [*settings.names, URL(settings.public_url).host or ""]
    guard = Guard(
        routes,
        fallback=scenes.CONTRACT,
        names=filter(None, names),
        idempotency=idempotency,
        doorkeeper=doorkeeper,
    )
    app = web.Application(middlewares=[guard.middleware], client_max_size=settings.body_limit_kib << 10)
    add_routes(app, routes)
    return app
