"""The ``scenewright`` command: serve, demo, migrate, doctor, keys, credits.

Exit codes: 0 done; 1 it did not work out; 2 the configuration or the call is wrong.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from service.app import listening, open_service
from service.cli_credits import credits_
from service.command import ConfigFile, beside, run, settings_of
from service.demo import run_demo
from service.doctor import examine
from service.settings import Settings
from sessions import api_keys
from sessions.api_keys import ApiKey, Scope
from sessions.clock import utc_now
from sessions.database import Database
from sessions.errors import NotFound

_log = structlog.get_logger(__name__)

app = typer.Typer(
    help="Turns one brief into four AI video scenes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

keys = typer.Typer(help="API keys, for batch work and for other services.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(credits_, name="credits")

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
Provider = Annotated[str | None, typer.Option(help="local or runware.")]


@app.command()
def serve(config: ConfigFile = None, host: Host = None, port: Port = None, provider: Provider = None) -> None:
    """Serve the HTTP APIs until SIGTERM or Ctrl-C."""
    settings = settings_of(config, {"server": {"host": host, "port": port}, "provider": provider})
    run(_serve(settings))


@app.command()
def demo(config: ConfigFile = None, provider: Provider = None) -> None:
    """Make four videos from a built-in brief and show where they are."""
    usual = settings_of(config, {"provider": provider, "log": {"level": "warning"}})
    settings = usual.model_copy(update={"server": usual.server.model_copy(update={"port": 0})})
    sys.exit(run(run_demo(settings, usual_port=usual.server.port, command=_command())))


@app.command()
def migrate(config: ConfigFile = None) -> None:
    """Bring the database's schema up to date (serving does so by itself)."""
    settings = settings_of(config)
    typer.echo(run(_migrate(settings)))


@app.command()
def doctor(config: ConfigFile = None, provider: Provider = None) -> None:
    """Check settings, disk, database, renderer and provider; says what to do about each problem."""
    settings = settings_of(config, {"provider": provider})
    sys.exit(run(examine(settings)))


@keys.command("create")
def create_key(
    owner: Annotated[str, typer.Argument(help="The user as whom it acts, as in the claim sub of a token.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given several times.")],
    label: Annotated[str, typer.Option(help="For people: what it is for.")] = "",
    config: ConfigFile = None,
) -> None:
    """Make a key. It is printed this once: only its hash is kept."""
    key, text = run(_create_key(settings_of(config), owner, label, scope))
    typer.echo(text)
    # Not on stdout: KEY=$(scenewright keys create ...) holds the key alone.
    typer.echo(f"Key {key.id} acts as {key.owner}. It is shown only this once; keep it safe.", err=True)


@keys.command("list")
def list_keys(config: ConfigFile = None) -> None:
    """Show which keys there are, oldest first."""
    for key in run(_list_keys(settings_of(config))):
        typer.echo(_line(key))


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    config: ConfigFile = None,
) -> None:
    """Revoke a key; a running server follows within seconds."""
    typer.echo(_line(run(_revoke_key(settings_of(config), key_id))))


def main() -> NoReturn:
    """Entry point."""
    app(prog_name="scenewright")
    sys.exit(0)


def _command() -> str:
    """How this program was called, for telling a person what to call next."""
    called = Path(sys.argv[0])
    found = shutil.which("scenewright")
    on_path = found is not None and called.exists() and called.samefile(found)
    return "scenewright" if on_path or called.name != "scenewright" else os.path.relpath(called)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_service(settings) as service, listening(service, settings.server) as address:
        provider = settings.active_provider
        note = "free local previews; set RUNWARE_API_KEY for real videos" if provider == "local" else "paid"
        access = "this machine only" if settings.auth.mode == "off" else "with tokens and API keys"
        _log.info("serving", address=address, provider=provider, note=note, access=access)
        typer.echo(f"Scenewright listens on {address} ({access}), provider: {provider} ({note})")
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


async def _create_key(settings: Settings, owner: str, label: str, scopes: list[Scope]) -> tuple[ApiKey, str]:
    key, text = api_keys.issue(owner, label=label, scopes=scopes, now=utc_now())
    async with beside(settings) as database:
        await database.add_api_key(key)
    return key, text


async def _list_keys(settings: Settings) -> list[ApiKey]:
    async with beside(settings) as database:
        return await database.api_keys()


async def _revoke_key(settings: Settings, key_id: str) -> ApiKey:
    async with beside(settings) as database:
        key = await database.revoke_api_key(key_id, utc_now())
    if key is None:
        raise NotFound(f"there is no key {key_id!r}; `scenewright keys list` shows those there are")
    return key


def _line(key: ApiKey) -> str:
    """All that is on record of a key, but its hash."""
    since = f"{key.created_at:%Y-%m-%d %H:%M}Z"
    state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}Z" if key.revoked_at else "active"
    return "  ".join([key.id, since, state, ",".join(sorted(key.scopes)), key.owner, key.label]).rstrip()
