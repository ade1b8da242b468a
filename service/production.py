"""Production: everything that makes and keeps videos, put together. It knows nothing of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from service.clips import Clips
from service.drafts import Drafts
from service.estimates import Estimates
from service.execution.base import Executor
from service.execution.embedded import EmbeddedExecutor
from service.health import Health
from service.library import Library
from service.limits import Slots
from service.live import Live
from service.media.download import Downloader
from service.media.workers import MediaWorkers
from service.outlook import Outlooks
from service.providers.base import VideoProvider
from service.providers.catalogue import Catalogue
from service.providers.local import LocalProvider
from service.providers.runware import RunwareProvider
from service.recipes.by_provider import ByProvider
from service.recipes.callbacks import Callbacks
from service.recipes.circuits import Circuits
from service.recipes.clip import ClipRecipe
from service.recipes.delivery import Delivery
from service.recipes.watch import Watch
from service.runner import Runner
from service.settings import Settings
from service.storage.cloudinary import Cloudinary
from service.storage.outputs import Outputs
from service.storage.uploads import Uploads
from service.studio import Studio
from service.turns import Turns
from service.writers.base import Writer
from service.writers.model import ModelWriter
from service.writers.template import TemplateWriter
from sessions.clock import utc_now
from sessions.database import Database
from sessions.model import JobSnapshot
from sessions.store import StoreUnavailable

_log = structlog.get_logger(__name__)

#: how long images are kept that no unfinished job needs
_IMAGES_KEPT = timedelta(days=1)

#: clips that estimates are learned from at the start
_EXPERIENCE = 2000


@dataclass(frozen=True, kw_only=True)
class _Storage:
    """Where files are, on their way and afterwards."""

    outputs: Outputs
    uploads: Uploads
    downloader: Downloader
    workers: MediaWorkers
    mirror: Cloudinary | None


@dataclass(frozen=True, kw_only=True)
class Production:
    """What contracts are given, and what the service itself looks after."""

    database: Database
    studio: Studio
    clips: Clips
    library: Library
    catalogue: Catalogue
    outputs: Outputs
    uploads: Uploads
    watch: Watch
    live: Live
    executor: Executor
    provider: VideoProvider
    circuits: Circuits
    runner: Runner
    unfinished: Sequence[str]  #: jobs of an earlier process

    def resume(self) -> None:
        """Take up what an earlier process left unfinished."""
        for job_id in self.unfinished:
            _log.info("job.resumed", job=job_id)
            self.executor.submit(job_id)

    async def sweep_uploads(self) -> None:
        """Remove images that no job needs any more."""
        swept = await self.uploads.sweep(await self.database.images_in_use(), utc_now() - _IMAGES_KEPT)
        if swept:
            _log.info("uploads.swept", files=swept)

    async def database_health(self) -> Health:
        try:
            await self.database.ping()
        except StoreUnavailable as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True, detail="answers")

    async def outputs_health(self) -> Health:
        ok = await asyncio.to_thread(self.outputs.writable)
        return Health(ok=ok, detail="writable" if ok else "the outputs folder cannot be written")

    async def provider_health(self) -> Health:
        if troubles := self.circuits.troubles():
            return Health(ok=False, detail="; ".join(troubles))
        return await self.provider.health()

    async def jobs_health(self) -> Health:
        parked = len(self.runner.parked)
        detail = (
            f"{parked} scenes were begun with another provider and wait for it" if parked else "none waits"
        )
        return Health(ok=not parked, detail=detail)


async def open_production(settings: Settings, stack: AsyncExitStack) -> Production:
    """Open everything; ``stack`` closes it in reverse order."""
    database = Database(settings.database.url)
    stack.push_async_callback(database.close)
    await database.open()
    live = Live()
    found = [await database.job(job_id) for job_id in await database.unfinished_jobs()]
    unfinished = [snapshot for snapshot in found if snapshot is not None]
    for snapshot in unfinished:
        live.add(snapshot)
    storage = await _open_storage(settings, unfinished, stack)
    local = LocalProvider(storage.workers, scratch=storage.outputs.folder, preset=settings.local.preset)
    stack.push_async_callback(local.close)
    provider, writer = _provider(settings, local)
    if provider is not local:
        stack.push_async_callback(provider.close)
    await provider.open()

    catalogue, turns = Catalogue(settings), Turns()
    slots = Slots(
        settings.limits, {name: model.slots for name, model in settings.models.items() if model.slots}
    )
    estimates = Estimates(await database.generations(_EXPERIENCE))
    circuits = {it.name: Circuits(it.name, settings.limits) for it in (provider, local)}
    rate = settings.runware.polls_per_second
    watches = {local.name: Watch(local, polls_per_second=rate)}
    watches[provider.name] = Watch(provider, polls_per_second=rate, callbacks=_callbacks(settings))
    # Orders for a mock are previews whoever makes the videos, so the local provider always has a recipe.
    recipes = {
        it.name: ClipRecipe(
            provider=it,
            catalogue=catalogue,
            slots=slots,
            circuits=circuits[it.name],
            watch=watches[it.name],
            estimates=estimates,
            delivery=_delivery(settings, storage, it),
            uploads=storage.uploads,
            now=utc_now,
        )
        for it in (provider, local)
    }
    runner = Runner(
        store=database,
        live=live,
        recipe=ByProvider(recipes),
        retries=settings.retries,
        turns=turns,
        terms=settings.terms,
        now=utc_now,
    )
    executor = EmbeddedExecutor(runner.run_job, runner.reconsider)
    stack.push_async_callback(executor.stop)
    drafts = Drafts(store=database, catalogue=catalogue, writer=writer, now=utc_now)
    stack.push_async_callback(drafts.close)
    studio = Studio(
        store=database,
        live=live,
        outlooks=Outlooks(slots=slots, turns=turns, estimates=estimates, now=utc_now),
        executor=executor,
        catalogue=catalogue,
        drafts=drafts,
        now=utc_now,
    )
    library = Library(store=database, live=live, outputs=storage.outputs, mirror=storage.mirror, now=utc_now)
    await library.sweep()
    return Production(
        database=database,
        studio=studio,
        clips=Clips(studio, catalogue, settings, utc_now),
        library=library,
        catalogue=catalogue,
        outputs=storage.outputs,
        uploads=storage.uploads,
        watch=watches[provider.name],
        live=live,
        executor=executor,
        provider=provider,
        circuits=circuits[provider.name],
        runner=runner,
        unfinished=[snapshot.job.id for snapshot in unfinished],
    )


async def _open_storage(
    settings: Settings, unfinished: Sequence[JobSnapshot], stack: AsyncExitStack
) -> _Storage:
    outputs = Outputs(settings.outputs.dir)
    stack.callback(outputs.close)
    if swept := outputs.open(keep=_results(unfinished)):
        _log.info("outputs.swept", files=swept)
    uploads = Uploads(settings.images.dir)
    stack.callback(uploads.close)
    uploads.open()
    downloader = Downloader(settings.downloads, scratch=outputs.folder)
    stack.push_async_callback(downloader.close)
    await downloader.open()
    mirror = Cloudinary(settings.cloudinary, utc_now) if settings.cloudinary.enabled else None
    if mirror:
        stack.push_async_callback(mirror.close)
        await mirror.open()
    return _Storage(
        outputs=outputs,
        uploads=uploads,
        downloader=downloader,
        workers=MediaWorkers(renders=settings.local.workers or None),
        mirror=mirror,
    )


def _delivery(settings: Settings, storage: _Storage, provider: VideoProvider) -> Delivery:
    return Delivery(
        provider=provider,
        downloader=storage.downloader,
        workers=storage.workers,
        outputs=storage.outputs,
        downloads=settings.downloads,
        mirror=storage.mirror,
        now=utc_now,
    )


def _results(unfinished: Sequence[JobSnapshot]) -> set[Path]:
    """Local results that unfinished scenes still need."""
    scenes = (scene for snapshot in unfinished for scene in snapshot.scenes if not scene.terminal)
    return {Path(scene.result) for scene in scenes if scene.result}


def _provider(settings: Settings, local: LocalProvider) -> tuple[VideoProvider, Writer]:
    if settings.active_provider == "runware":
        runware = RunwareProvider(settings.runware)
        return runware, ModelWriter(runware)
    return local, TemplateWriter()


def _callbacks(settings: Settings) -> Callbacks | None:
    """Webhooks need an address that the provider can reach, and a secret."""
    key, public_url = settings.runware.api_key, settings.server.public_url
    if settings.active_provider != "runware" or not (settings.runware.webhooks and public_url and key):
        return None
    return Callbacks(public_url, key)
