"""``scenewright doctor``: is everything here that the service needs, and what to do if not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from service.health import Health
from service.media.workers import MediaWorkers, SceneSpec, media_missing
from service.providers.runware import RunwareProvider
from service.settings import Settings
from sessions.database import Database
from sessions.errors import ConfigError, MediaError
from sessions.store import StoreUnavailable

#: below this much free disk a job's files may not fit, in bytes
_LITTLE_DISK = 1 << 30


async def examine(settings: Settings) -> int:
    """Run all checks, print one line for each, and answer the exit code."""
    console = Console()
    checks: list[tuple[str, Callable[[Settings], Awaitable[Health]]]] = [
        ("settings", _settings),
        ("database", _database),
        ("outputs", _outputs),
        ("renderer", _renderer),
        ("provider", _provider),
    ]
    well = True
    for name, check in checks:
        health = await check(settings)
        well = well and health.ok
        mark = "[green]ok  [/]" if health.ok else "[red]FAIL[/]"
        console.print(f"{mark} {name:9} {escape(health.detail)}", soft_wrap=True, highlight=False)
    return 0 if well else 1


async def _settings(settings: Settings) -> Health:
    detail = f"provider {settings.active_provider}, default model {settings.default_model}"
    return Health(ok=True, detail=f"{detail}, {len(settings.models)} models in the catalogue")


async def _database(settings: Settings) -> Health:
    try:
        database = Database(settings.database.url)
    except ConfigError as error:
        return Health(ok=False, detail=error.message)
    if not database.path.exists():
        return Health(ok=True, detail=f"{database.path} will be made at the first start")
    try:
        _, revision = await database.open()
        unfinished = len(await database.unfinished_jobs())
    except ConfigError as error:
        if error.code == "database_in_use":  # a running server is no illness
            return Health(ok=True, detail=f"{database.path} is in use by a server that is running")
        return Health(ok=False, detail=error.message)
    except (StoreUnavailable, OSError) as error:
        return Health(ok=False, detail=f"{database.path}: {error}")
    finally:
        await database.close()
    return Health(ok=True, detail=f"{database.path}, schema {revision}, {unfinished} unfinished jobs")


async def _outputs(settings: Settings) -> Health:
    folder = settings.outputs.dir.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Health(
            ok=False, detail=f"{folder}: {error.strerror}; set SCENEWRIGHT_OUTPUTS__DIR to another folder"
        )
    room = f"{folder}, {free / 2**30:.1f} GiB free"
    return Health(ok=free > _LITTLE_DISK, detail=room if free > _LITTLE_DISK else f"{room}; make room")


async def _renderer(settings: Settings) -> Health:
    if missing := media_missing():
        needed = settings.active_provider == "local"
        return Health(ok=not needed, detail=f"{missing} (needed for previews and for checking downloads)")
    spec = SceneSpec(
        prompt="doctor", scenario="hook", take=1, seconds=0.5, width=256, height=144, preset="ultrafast"
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = await MediaWorkers().render_scene(spec, Path(folder) / "probe.mp4")
        except MediaError as error:
            return Health(ok=False, detail=error.message)
    return Health(ok=True, detail=f"rendered {facts.frames} frames of {facts.video_codec}")


async def _provider(settings: Settings) -> Health:
    if settings.active_provider == "local":
        return Health(ok=True, detail="local, free; set RUNWARE_API_KEY for real videos")
    provider = RunwareProvider(settings.runware)
    try:
        health = await provider.health()
    finally:
        await provider.close()
    return Health(ok=health.ok, detail=f"{settings.runware.ws_url}: {health.detail}")
