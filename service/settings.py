"""Settings: config.toml < the user's own file < environment < arguments. Read once, at start.

The packaged ``config.toml`` holds every default, so no default stands twice. Names of
environment variables are ``SCENEWRIGHT_<SECTION>__<KEY>``; those of Runware's and
Cloudinary's own tools are understood too.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

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

ProviderName = Literal["local", "runware"]
Positive = Annotated[float, Field(gt=0)]
PerSecond = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Burst = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=128, le=4096, multiple_of=2)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _origin(given: str) -> str:
    """As browsers write it in ``Origin``; "null", which sandboxed pages send, is nobody in particular."""
    origin = given.strip().lower()
    if origin == "*":
        return origin
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@,*]+", origin):
        raise ValueError('give an origin such as https://app.example.com, without a path, or "*"')
    default = {"http": ":80", "https": ":443"}.get(origin.partition("://")[0])
    return origin.removesuffix(default) if default else origin


Origin = Annotated[str, AfterValidator(_origin)]


def _listed(given: Any) -> Any:
    """The environment has no lists: there it is one text, with commas."""
    return given.split(",") if isinstance(given, str) else given


class ServerSettings(_Section):
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    names: tuple[str, ...]
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$")]
    body_limit_kib: Annotated[int, Field(ge=1, le=65536)]
    body_seconds: Positive
    cors_origins: Annotated[tuple[Origin, ...], BeforeValidator(_listed)]
    shutdown_seconds: Annotated[float, Field(ge=0, le=60)]


class DatabaseSettings(_Section):
    url: str


class OutputsSettings(_Section):
    dir: Path


#: RFC 7518, 3.2: a key for HS256 is at least as long as the hash
_SECRET_BYTES = 32


class AuthSettings(_Section):
    mode: Literal["off", "jwt"]
    jwt_secret: SecretStr | None = None
    jwks_url: str
    issuer: str
    audience: str
    open_scenes: bool
    leeway_seconds: Annotated[float, Field(ge=0, le=300)]
    cookie: Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$")]
    roles: tuple[str, ...]
    link_hours: Annotated[float, Field(ge=1, le=8760)]

    @field_validator("jwt_secret")
    @classmethod
    def _is_a_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        """Whoever guesses a short one makes tokens for everybody; a public key is known to everybody."""
        if secret is not None:
            value = secret.get_secret_value()
            if "-----BEGIN" in value:
                raise ValueError("this is a key file and no shared secret; name the key set in auth.jwks_url")
            if len(value.encode()) < _SECRET_BYTES:
                raise ValueError(f"the secret is shorter than {_SECRET_BYTES} bytes")
        return secret

    @field_validator("jwks_url")
    @classmethod
    def _is_fetched_unspoiled(cls, url: str) -> str:
        """Who can change the keys on their way can be anybody."""
        if not url:
            return url
        try:
            parts = urlsplit(url)
            host, plain = parts.hostname or "", parts.scheme == "http"
            usable = bool(host) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.scheme not in ("http", "https") or re.search(r"[\s@#]", url):
            raise ValueError("give an address such as https://auth.example.com/.well-known/jwks.json")
        if plain and not _is_loopback(host):
            raise ValueError("keys are fetched by https; plain http is for addresses of this machine")
        return url

    @model_validator(mode="after")
    def _can_check_tokens(self) -> Self:
        if self.mode == "jwt" and not (self.jwt_secret or self.jwks_url):
            raise ValueError(
                "mode is jwt, but there is nothing to check tokens with; set auth.jwks_url or "
                "SCENEWRIGHT_AUTH__JWT_SECRET"
            )
        return self


class LogSettings(_Section):
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "console", "json"]


class LimitsSettings(_Section):
    slots: Annotated[int, Field(ge=1)]
    batch_share: Annotated[float, Field(gt=0, le=1)]
    breaker_failures: Annotated[int, Field(ge=1)]
    breaker_pause_seconds: Positive
    breaker_longest_seconds: Positive


class RatesSettings(_Section):
    reads_per_path: PerSecond
    reads_per_path_burst: Burst
    reads: PerSecond
    reads_burst: Burst
    creates: PerSecond
    creates_burst: Burst
    proxies: Annotated[int, Field(ge=0, le=10)]


#: verdicts after which the same order may be placed again: nobody's fault, and not the prompt's
RetryCode = Literal["provider", "rateLimit", "timeout", "serverError", "connection", "notFound", "unknown"]


class RetriesSettings(_Section):
    most: Annotated[int, Field(ge=0, le=20)]
    codes: tuple[RetryCode, ...]
    pause_seconds: Positive


class DownloadsSettings(_Section):
    parallel: Annotated[int, Field(ge=1)]
    give_up_seconds: Annotated[float, Field(ge=0)]
    attempts: Annotated[int, Field(ge=1, le=100)]
    pause_seconds: Positive
    stall_seconds: Positive
    limit_mib: Annotated[int, Field(ge=1)]


class CloudinarySettings(_Section):
    enabled: bool
    cloud_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")]
    api_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")]
    api_secret: SecretStr | None = None
    signature: Literal["sha1", "sha256"]
    folder: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")]
    api_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    delivery_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]*[^\s?#/]$")]
    chunk_mib: Annotated[int, Field(ge=6, le=100)]
    parallel: Annotated[int, Field(ge=1)]
    attempts: Annotated[int, Field(ge=1, le=100)]
    pause_seconds: Positive
    request_seconds: Positive

    @field_validator("api_url", "delivery_url")
    @classmethod
    def _is_fetched_unspoiled(cls, url: str) -> str:
        if urlsplit(url).scheme == "http" and not _is_loopback(urlsplit(url).hostname or ""):
            raise ValueError("this goes by https; plain http is for addresses of this machine")
        return url

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needed = ("cloud_name", "api_key", "api_secret")
        missing = [f"CLOUDINARY_{name.upper()}" for name in needed if not getattr(self, name)]
        if self.enabled and missing:
            raise ValueError(f"it is enabled, but not known well enough; set {' and '.join(missing)}")
        return self


class LocalSettings(_Section):
    default_model: str
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"]
    workers: Annotated[int, Field(ge=0, le=256)]


class RunwareSettings(_Section):
    ws_url: Annotated[str, Field(pattern=r"^wss?://")]
    http_url: Annotated[str, Field(pattern=r"^https?://")]
    api_key: SecretStr | None = None
    default_model: str
    text_model: str
    text_seconds: Positive
    acknowledge_seconds: Positive
    poll_seconds: Positive
    polls_per_second: Positive
    deadline_seconds: Positive
    reconcile_pause_seconds: Positive
    reconcile_hours: Positive
    webhooks: bool


class SecondsRange(_Section):
    """Any whole number of seconds from ``min`` to ``max``."""

    min: int
    max: int


def _seconds(given: Any) -> tuple[float, ...] | SecondsRange:
    """A list of lengths, or {min, max}."""
    if isinstance(given, Mapping) and given.keys() == {"min", "max"}:
        if all(type(value) is int and value > 0 for value in given.values()):
            return SecondsRange(min=given["min"], max=given["max"])
    elif isinstance(given, list | tuple) and given and all(_is_length(value) for value in given):
        return tuple(map(float, given))
    raise ValueError("give a list of seconds, such as [4, 6, 8], or {min, max} in whole seconds")


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


class ModelSettings(_Section):
    """What a video model can do; the comments in config.toml explain the keys."""

    provider: ProviderName
    label: str
    seconds: Annotated[tuple[float, ...] | SecondsRange, BeforeValidator(_seconds)]
    default_seconds: float
    sizes: Annotated[Mapping[str, tuple[Side, Side]], Field(min_length=1)]
    audio: bool
    images: bool
    image_sets_size: bool = False
    prompt_limit: Annotated[int, Field(ge=2)]
    aliases: tuple[str, ...] = ()
    resolutions: Mapping[str, Mapping[str, tuple[Side, Side]]] = Field(default_factory=dict)
    last_image: bool = False
    reference_images: Annotated[int, Field(ge=0, le=20)] = 0
    sound_switch: Annotated[str, Field(pattern=r"^([A-Za-z]+(\.[A-Za-z]+)*)?$")] = ""
    slots: Annotated[int, Field(ge=1)] | None = None
    settings: Mapping[str, Any] = Field(default_factory=dict)

    def allows(self, seconds: float) -> bool:
        """Whether the model makes clips of this length."""
        if isinstance(self.seconds, SecondsRange):
            return self.seconds.min <= seconds <= self.seconds.max and float(seconds).is_integer()
        return seconds in self.seconds

    @property
    def seconds_for_people(self) -> str:
        """The allowed lengths in words."""
        if isinstance(self.seconds, SecondsRange):
            return f"whole seconds from {self.seconds.min} to {self.seconds.max}"
        return ", ".join(f"{value:g}" for value in self.seconds) + " seconds"

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if not self.allows(self.default_seconds):
            raise ValueError("default_seconds is not among seconds")
        return self


class TermsSettings(_Section):
    """What a contract's jobs cost and how many one user may have; see config.toml."""

    model: str = ""
    currency: Literal["tokens", "dust"] | None = None
    price: Annotated[int, Field(ge=0)] = 0
    price_with_image: Annotated[int, Field(ge=0)] | None = None
    running: Annotated[int, Field(ge=1)] | None = None
    waiting: Annotated[int, Field(ge=0)] = 0
    result_hours: Positive | None = None

    @model_validator(mode="after")
    def _price_has_a_currency(self) -> Self:
        if self.currency is None and (self.price or self.price_with_image):
            raise ValueError("a price needs a currency: tokens or dust")
        return self


class AllTermsSettings(_Section):
    """The terms of each contract."""

    scenes: TermsSettings
    gallery: TermsSettings
    video_jobs: TermsSettings
    credits: TermsSettings

    def of(self, name: str) -> TermsSettings:
        """The terms under which a job was ordered; those of old jobs may be gone."""
        found: TermsSettings = getattr(self, name, None) or TermsSettings()
        return found


#: what an account opens with where identity is off, which means on this machine only
_PLENTY = 10_000


class CreditsSettings(_Section):
    opening_tokens: Annotated[int, Field(ge=0)] | None = None
    opening_dust: Annotated[int, Field(ge=0)] | None = None


class ImagesSettings(_Section):
    dir: Path
    limit_mib: Annotated[int, Field(ge=1, le=100)]
    limit_megapixels: Annotated[int, Field(ge=1, le=100)]
    fetch_seconds: Positive


class MonitorSettings(_Section):
    open: bool
    token: SecretStr | None = None
    preview: bool


class VideoJobsSettings(_Section):
    mock_mode_required: bool


class Settings(_Section):
    """Everything that can be configured."""

    provider: ProviderName | None = None
    server: ServerSettings
    database: DatabaseSettings
    outputs: OutputsSettings
    auth: AuthSettings
    log: LogSettings
    limits: LimitsSettings
    rates: RatesSettings
    retries: RetriesSettings
    terms: AllTermsSettings
    credits: CreditsSettings
    images: ImagesSettings
    monitor: MonitorSettings
    video_jobs: VideoJobsSettings
    downloads: DownloadsSettings
    cloudinary: CloudinarySettings
    local: LocalSettings
    runware: RunwareSettings
    models: Mapping[str, ModelSettings]

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
        if self.auth.mode == "off" and not _is_loopback(self.server.host):
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
