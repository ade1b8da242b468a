"""What the commands of ``scenewright`` have in common: their settings, their end, their database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from service.logs import configure_logging
from service.settings import Settings, load_settings
from sessions.database import Database
from sessions.errors import ConfigError, InvalidInput, NotFound, ScenewrightError
from sessions.store import StoreUnavailable

ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML file laid over the defaults.")]


def settings_of(config: Path | None, arguments: dict[str, Any] | None = None) -> Settings:
    """The settings of this call; ``arguments`` are what the command line says, None where it says nothing."""
    try:
        settings = load_settings(_given(arguments or {}), config=config)
    except ConfigError as error:
        _refuse(error)
    configure_logging(settings.log)
    return settings


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Without what was not said on the command line."""
    nested = {key: _given(value) if isinstance(value, dict) else value for key, value in arguments.items()}
    return {key: value for key, value in nested.items() if value is not None}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Carry out ``work``; what a person can mend ends the program with a line that says so."""
    try:
        return asyncio.run(work)
    except (ConfigError, InvalidInput) as error:
        _refuse(error)
    except NotFound as error:
        _refuse(error, code=1)
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse(error: ScenewrightError, *, code: int = 2) -> NoReturn:
    for line in error.message.splitlines():
        typer.echo(f"scenewright: {line}", err=True)
    sys.exit(code)


@asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[Database]:
    """The database, whether or not a server is using it."""
    database = Database(settings.database.url)
    try:
        await database.open_beside()
        yield database
    except StoreUnavailable as error:
        raise ConfigError(f"database {database.path} cannot be used: {error}") from error
    finally:
        await database.close()
