"""The service as a whole: production, the HTTP side, and the socket on which it listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from service.contracts.health import HealthContract
from service.execution.base import Executor
from service.http_api import open_http_api
from service.live import Live
from service.production import Production, open_production
from service.sections import ServerSettings
from service.settings import Settings
from service.studio import Studio
from service.upkeep import upkeep
from sessions.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Service:
    """Everything that runs, apart from the listening socket."""

    production: Production
    app: web.Application
    health: HealthContract

    @property
    def studio(self) -> Studio:
        return self.production.studio

    @property
    def live(self) -> Live:
        return self.production.live

    @property
    def executor(self) -> Executor:
        return self.production.executor


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Open every resource; close in reverse order."""
    async with AsyncExitStack() as stack:
        production = await open_production(settings, stack)
        http_api = await open_http_api(settings, production, stack)
        chores = {
            "forget old idempotency keys": http_api.idempotency.forget_old,
            "sweep uploads": production.sweep_uploads,
            "delete copies of removed videos": production.library.sweep_copies,
        }
        rounds = asyncio.create_task(upkeep(chores), name="upkeep")
        stack.push_async_callback(_ended, rounds)
        yield Service(production=production, app=http_api.app, health=http_api.health)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel the task and see it end."""
    task.cancel()
    await asyncio.wait({task})


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
        service.production.resume()
        host, port = runner.addresses[0][:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        service.health.drain()
        service.live.stop()
        await runner.cleanup()
