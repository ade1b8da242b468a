"""Settings: config.toml < the user's own file < environment < arguments. Read once, at start.

The packaged ``config.toml`` holds every default, so no default stands twice. Names of
environment variables are ``SCENEWRIGHT_<SECTION>__<KEY>``; those of Runware's and
Cloudinary's own tools are understood too.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails

from service import sections
from service.sections import ProviderName, Section, is_loopback
from sessions.errors import ConfigError
from sessions.ledger import Currency

_PREFIX = "SCENEWRIGHT_"
#: names a file to read; not a setting itself
_CONFIG_VARIABLE = "SCENEWRIGHT_CONFIG"

#: names of others for settings of ours; our own name wins
_FOREIGN = {
    "RUNWARE_API_KEY": ("runware", "api_key"),
    "USE_CLOUDINARY": ("cloudinary", "enabled"),
    "CLOUDINARY_CLOUD_NAME": ("cloudinary", "cloud_name"),
    "CLOUDINARY_API_KEY": ("cloudinary", "api_key"),
    "CLOUDINARY_API_SECRET": ("cloudinary", "api_secret"),
    "MOCK_MODE_REQUIRED": ("video_jobs", "mock_mode_required"),
}

#: what an account opens with where identity is off, which means on this machine only
_PLENTY = 10_000


class Settings(Section):
    """Everything that can be configured."""

    provider: ProviderName | None = None
    server: sections.ServerSettings
    database: sections.DatabaseSettings
    outputs: sections.OutputsSettings
    auth: sections.AuthSettings
    log: sections.LogSettings
    limits: sections.LimitsSettings
    rates: sections.RatesSettings
    retries: sections.RetriesSettings
    terms: sections.AllTermsSettings
    credits: sections.CreditsSettings
    images: sections.ImagesSettings
    monitor: sections.MonitorSettings
    video_jobs: sections.VideoJobsSettings
    downloads: sections.DownloadsSettings
    cloudinary: sections.CloudinarySettings
    local: sections.LocalSettings
    runware: sections.RunwareSettings
    models: Mapping[str, sections.ModelSettings]

    def opening(self, currency: Currency) -> int:
        """What an account of this currency opens with."""
        given = self.credits.opening_tokens if currency is Currency.TOKENS else self.credits.opening_dust
        if given is None:
            return _PLENTY if self.auth.mode == "off" else 0
        return given

    @property
    def active_provider(self) -> ProviderName:
        """The chosen provider; without a choice, Runware if a key is set."""
        return self.provider or ("runware" if self.runware.api_key else "local")

    @property
    def default_model(self) -> str:
        """The model for briefs that name none."""
        return self.runware.default_model if self.active_provider == "runware" else self.local.default_model

    @model_validator(mode="after")
    def _keeps_to_this_machine(self) -> Self:
        """Without authentication nobody but this machine may ask."""
        if self.auth.mode == "off" and not is_loopback(self.server.host):
            raise ValueError(
                f"server.host {self.server.host!r} can be reached from outside, and there is no "
                'authentication; set auth.mode to "jwt", or use 127.0.0.1, behind a proxy that asks who '
                "is there"
            )
        return self

    @model_validator(mode="after")
    def _invites_nobody_by_mistake(self) -> Self:
        """A page of anybody's, open in a browser here, reaches this machine."""
        if self.auth.mode == "off" and "*" in self.server.cors_origins:
            raise ValueError(
                'server.cors_origins has "*", and there is no authentication: every page could make videos '
                "here; list the origins instead"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.active_provider == "runware" and not self.runware.api_key:
            raise ValueError("provider is runware, but no key is set; set RUNWARE_API_KEY")
        for section, name in (("local", self.local.default_model), ("runware", self.runware.default_model)):
            if name not in self.models or self.models[name].provider != section:
                raise ValueError(f"{section}.default_model {name!r} is not a {section} model of [models]")
        return self


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check all settings.

    ``arguments`` are nested like the sections; ``config`` is the user's own file. Raises
    ``ConfigError`` with one readable line for each thing that is wrong.
    """
    environ = os.environ if environ is None else environ
    layers = [_read(_defaults_file())]
    if (own := _own_file(config, environ)) is not None:
        layers.append(_read(own))
    layers += [_environment(environ), dict(arguments or {})]
    try:
        return Settings.model_validate(functools.reduce(_laid_over, layers))
    except ValidationError as error:
        raise ConfigError("\n".join(map(_line, error.errors()))) from None


def _defaults_file() -> Path:
    """The packaged config.toml; in a source checkout it stands beside the package."""
    packaged = Path(__file__).resolve().with_name("config.toml")
    return packaged if packaged.exists() else packaged.parent.parent / "config.toml"


def _own_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = config or (Path(environ[_CONFIG_VARIABLE]) if environ.get(_CONFIG_VARIABLE) else None)
    if named is not None and not os.path.isfile(named):  # noqa: PTH113 - False for impossible names too
        raise ConfigError(f"there is no configuration file {named}")
    here = Path("config.toml")
    return named or (here if here.is_file() else None)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """SCENEWRIGHT_SERVER__PORT=9000 as {"server": {"port": "9000"}}; empty values count as unset."""
    found: dict[str, Any] = {}
    for name, (section, key) in _FOREIGN.items():
        if environ.get(name):
            found.setdefault(section, {})[key] = environ[name]
    for name, value in environ.items():
        if name.startswith(_PREFIX) and name != _CONFIG_VARIABLE and value:
            nested: Any = value
            for part in reversed(name.removeprefix(_PREFIX).lower().split("__")):
                nested = {part: nested}
            found = _laid_over(found, nested)
    return found


def _laid_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Sections key by key; models and terms key by key too, and what one of them says, it says anew."""
    merged = _merged(lower, upper)
    for section in ("models", "terms"):
        if isinstance(lower.get(section), Mapping) and isinstance(upper.get(section), Mapping):
            merged[section] = _merged(lower[section], upper[section])
    return merged


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """``upper`` laid over ``lower``, one level of tables deep."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = {**below, **value} if both else value  # type: ignore[dict-item]
    return merged


def _line(error: ErrorDetails) -> str:
    """One problem on one line, without the value: it may be a secret."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{place}: there is no such setting; config.toml lists them all"
    reason = error["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason
