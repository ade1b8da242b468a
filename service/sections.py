"""The sections of the configuration, each with what it accepts. ``config.toml`` explains every key."""

from __future__ import annotations

import ipaddress
import re
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
    field_validator,
    model_validator,
)

from sessions.ledger import LARGEST

ProviderName = Literal["local", "runware"]
Positive = Annotated[float, Field(gt=0)]
PerSecond = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Burst = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=128, le=4096, multiple_of=2)]
Credits = Annotated[int, Field(ge=0, le=LARGEST)]

#: a hundred years; calendars end somewhere
_LONGEST_HOURS = 876_600


class Section(BaseModel):
    """What all have in common: nothing unknown is taken, and nothing changes."""

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
    return [item.strip() for item in given.split(",")] if isinstance(given, str) else given


class ServerSettings(Section):
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    names: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$")]
    body_limit_kib: Annotated[int, Field(ge=1, le=65536)]
    body_seconds: Positive
    cors_origins: Annotated[tuple[Origin, ...], BeforeValidator(_listed)]
    shutdown_seconds: Annotated[float, Field(ge=0, le=60)]


class DatabaseSettings(Section):
    url: str


class OutputsSettings(Section):
    dir: Path


#: RFC 7518, 3.2: a key for HS256 is at least as long as the hash
_SECRET_BYTES = 32


class AuthSettings(Section):
    mode: Literal["off", "jwt"]
    jwt_secret: SecretStr | None = None
    jwks_url: str
    issuer: str
    audience: str
    open_scenes: bool
    leeway_seconds: Annotated[float, Field(ge=0, le=300)]
    cookie: Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$")]
    roles: Annotated[tuple[str, ...], BeforeValidator(_listed)]
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
        if plain and not is_loopback(host):
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


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "console", "json"]


class LimitsSettings(Section):
    slots: Annotated[int, Field(ge=1)]
    batch_share: Annotated[float, Field(gt=0, le=1)]
    breaker_failures: Annotated[int, Field(ge=1)]
    breaker_pause_seconds: Positive
    breaker_longest_seconds: Positive


class RatesSettings(Section):
    reads_per_path: PerSecond
    reads_per_path_burst: Burst
    reads: PerSecond
    reads_burst: Burst
    creates: PerSecond
    creates_burst: Burst
    proxies: Annotated[int, Field(ge=0, le=10)]


#: verdicts after which the same order may be placed again: nobody's fault, and not the prompt's
RetryCode = Literal["provider", "rateLimit", "timeout", "serverError", "connection", "notFound", "unknown"]


class RetriesSettings(Section):
    most: Annotated[int, Field(ge=0, le=20)]
    codes: Annotated[tuple[RetryCode, ...], BeforeValidator(_listed)]
    pause_seconds: Positive


class DownloadsSettings(Section):
    parallel: Annotated[int, Field(ge=1)]
    give_up_seconds: Annotated[float, Field(ge=0)]
    attempts: Annotated[int, Field(ge=1, le=100)]
    pause_seconds: Positive
    stall_seconds: Positive
    limit_mib: Annotated[int, Field(ge=1)]


class CloudinarySettings(Section):
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
        if urlsplit(url).scheme == "http" and not is_loopback(urlsplit(url).hostname or ""):
            raise ValueError("this goes by https; plain http is for addresses of this machine")
        return url

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needed = ("cloud_name", "api_key", "api_secret")
        missing = [f"CLOUDINARY_{name.upper()}" for name in needed if not getattr(self, name)]
        if self.enabled and missing:
            raise ValueError(f"it is enabled, but not known well enough; set {' and '.join(missing)}")
        return self


class LocalSettings(Section):
    default_model: str
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"]
    workers: Annotated[int, Field(ge=0, le=256)]


class RunwareSettings(Section):
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


class SecondsRange(Section):
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


class ModelSettings(Section):
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


class TermsSettings(Section):
    """What a contract's jobs cost and how many one user may have; see config.toml."""

    model: str = ""
    currency: Literal["tokens", "dust"] | None = None
    price: Credits = 0
    price_with_image: Credits | None = None
    running: Annotated[int, Field(ge=1)] | None = None
    waiting: Annotated[int, Field(ge=0)] = 0
    result_hours: Annotated[float, Field(gt=0, le=_LONGEST_HOURS)] | None = None

    @model_validator(mode="after")
    def _price_has_a_currency(self) -> Self:
        if self.currency is None and (self.price or self.price_with_image):
            raise ValueError("a price needs a currency: tokens or dust")
        return self


class AllTermsSettings(Section):
    """The terms of each contract."""

    scenes: TermsSettings
    gallery: TermsSettings
    video_jobs: TermsSettings
    credits: TermsSettings

    @field_validator("scenes")
    @classmethod
    def _are_free(cls, terms: TermsSettings) -> TermsSettings:
        """Whoever has set a price shall not find out later that nobody paid it."""
        if terms.price or terms.price_with_image or terms.model or terms.waiting:
            raise ValueError(
                "the scenes API charges nothing, lets any number of jobs wait, and has its model from the "
                "session; leave price, price_with_image, waiting and model out"
            )
        return terms

    def of(self, name: str) -> TermsSettings:
        """The terms under which a job was ordered; those of old jobs may be gone."""
        found: TermsSettings = getattr(self, name, None) or TermsSettings()
        return found


class CreditsSettings(Section):
    opening_tokens: Credits | None = None
    opening_dust: Credits | None = None


class ImagesSettings(Section):
    dir: Path
    limit_mib: Annotated[int, Field(ge=1, le=100)]
    limit_megapixels: Annotated[int, Field(ge=1, le=100)]
    fetch_seconds: Positive


class MonitorSettings(Section):
    open: bool
    token: SecretStr | None = None
    preview: bool


class VideoJobsSettings(Section):
    mock_mode_required: bool


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
