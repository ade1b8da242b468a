"""The ``scenewright`` command: serve, demo, migrate, doctor.

Exit codes: 0 done; 1 it did not work out; 2 the configuration or the call is wrong.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer

from service.app import listening, open_service
from service.demo import run_demo
from service.doctor import examine
from service.logs import configure_logging
from service.settings import Settings, load_settings
from sessions.database import Database
from sessions.errors import ConfigError

_log = structlog.get_logger(__name__)

app = typer.Typer(
    help="Turns one brief into four AI video scenes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file laid over the defaults.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
Provider = Annotated[str | None, typer.Option(help="local or runware.")]


@app.command()
def serve(config: ConfigFile = None, host: Host = None, port: Port = None, provider: Provider = None) -> None:
    """Serve the HTTP APIs until SIGTERM or Ctrl-C."""
    settings = _settings(config, {"server": {"host": host, "port": port}, "provider": provider})
    _run(_serve(settings))


@app.command()
def demo(config: ConfigFile = None, provider: Provider = None) -> None:
    """Make four videos from a built-in brief and show where they are."""
    usual = _settings(config, {"provider": provider, "log": {"level": "warning"}})
    settings = usual.model_copy(update={"server": usual.server.model_copy(update={"port": 0})})
    sys.exit(_run(run_demo(settings, usual_port=usual.server.port, command=_command())))


@app.command()
def migrate(config: ConfigFile = None) -> None:
    """Bring the database's schema up to date (serving does so by itself)."""
    settings = _settings(config, {})
    typer.echo(_run(_migrate(settings)))


@app.command()
def doctor(config: ConfigFile = None, provider: Provider = None) -> None:
    """Check settings, disk, database, renderer and provider; says what to do about each problem."""
    settings = _settings(config, {"provider": provider})
    sys.exit(_run(examine(settings)))


def main() -> NoReturn:
    """Entry point."""
    app(prog_name="scenewright")
    sys.exit(0)


def _settings(config: Path | None, arguments: dict[str, Any]) -> Settings:
    try:
        settings = load_settings(_given(arguments), config=config)
    except ConfigError as error:
        _refuse(error)
    configure_logging(settings.log)
    return settings


def _command() -> str:
    """How this program was called, for telling a person what to call next."""
    called = Path(sys.argv[0])
    found = shutil.which("scenewright")
    on_path = found is not None and called.exists() and called.samefile(found)
    return "scenewright" if on_path or called.name != "scenewright" else os.path.relpath(called)


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Without what was not said on the command line."""
    nested = {key: _given(value) if isinstance(value, dict) else value for key, value in arguments.items()}
    return {key: value for key, value in nested.items() if value is not None}


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except ConfigError as error:
        _refuse(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse(error: ConfigError) -> NoReturn:
    for line in error.message.splitlines():
        typer.echo(f"scenewright: {line}", err=True)
    sys.exit(2)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_service(settings) as service, listening(service, settings.server) as address:
        provider = settings.active_provider
        note = "free local previews; set RUNWARE_API_KEY for real videos" if provider == "local" else "paid"
        _log.info("serving", address=address, provider=provider, note=note, access="this machine only")
        typer.echo(f"Scenewright listens on {address} (this machine only), provider: {provider} ({note})")
        await stop.wait()
        _log.info("stopping")
    _log.info("stopped")


async def _migrate(settings: Settings) -> str:
    database = Database(settings.database.url)
    try:
        before, after = await database.open()
    finally:
        await database.close()
    return f"{database.path}: schema {after}" + (
        " already" if before == after else f", was {before or 'empty'}"
    )
