"""Everything that can go wrong, in one tree.

    ScenewrightError
    ├── InvalidInput          the caller sent something that cannot be done as asked
    │   ├── NotReady          descriptions are missing or not approved
    │   └── UnsupportedByModel  the chosen model cannot do it
    ├── NotFound              no such session, job, scene or file (for this caller)
    ├── Conflict              it clashes with work that is under way
    ├── QuotaReached          the user has as many jobs under way as the terms allow
    ├── InsufficientCredit    the caller cannot pay for it
    ├── Unauthenticated       what was presented does not say who is asking
    ├── IdentityUnavailable   who is asking cannot be established at the moment
    ├── TooMany               the caller asks too often; says when to come back
    ├── Stopping              the server is shutting down; the work goes on after the next start
    ├── WriterFailed          the description writer gave nothing usable
    ├── ConfigError           the configuration cannot be used
    └── SceneError            one scene cannot be finished; carries ``retryable``
        ├── ProviderError     the provider refused or failed the task
        ├── DownloadError     the provider made a file that could not be fetched
        └── MediaError        a file could not be rendered, read or believed

A class's docstring is its default message. Nothing here knows about HTTP: the
contracts translate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ScenewrightError(Exception):
    """Something went wrong."""

    #: stable machine-readable word; each class has its own, a raiser may refine it
    code: str = "error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        if code:
            self.code = code
        self.details: dict[str, Any] = dict(details or {})
        super().__init__(self.message)


class InvalidInput(ScenewrightError):
    """The request cannot be carried out as it stands."""

    code = "invalid"


class NotReady(InvalidInput):
    """The session is not ready for generation."""

    code = "not_ready"


class UnsupportedByModel(InvalidInput):
    """The chosen model cannot do this."""

    code = "unsupported"


class NotFound(ScenewrightError):
    """There is no such thing."""

    code = "not_found"


class Conflict(ScenewrightError):
    """The request clashes with work that is under way."""

    code = "conflict"


class QuotaReached(ScenewrightError):
    """There is no room for one more job."""

    code = "quota"

    def __init__(self, running: int) -> None:
        super().__init__(
            f"Maximum {running} concurrent video jobs allowed. Please wait for existing jobs to complete.",
            details={"running": running},
        )


class InsufficientCredit(ScenewrightError):
    """There is not enough credit."""

    code = "insufficient_credit"

    def __init__(self, *, currency: str, cost: int, available: int) -> None:
        # Worded by document 001 ("Common Errors").
        super().__init__(
            f"Insufficient {currency}. Operation 'video_generation' costs {cost} {currency} "
            f"but you have {available}.",
            details={"currency": currency, "cost": cost, "available": available},
        )
        self.currency = currency
        #: of all scenes that were asked for, in the currency's units
        self.cost = cost
        #: what could have been spent
        self.available = available


class Unauthenticated(ScenewrightError):
    """The credentials are missing or not valid."""

    code = "unauthenticated"

    def __init__(self, message: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(message)
        #: RFC 6750's word for what is wrong with what was presented; None if nothing was
        self.reason = reason


class Forbidden(ScenewrightError):
    """These credentials do not allow this."""

    code = "forbidden"


class IdentityUnavailable(ScenewrightError):
    """Who is asking cannot be established at the moment; try again."""

    code = "identity_unavailable"


class TooMany(ScenewrightError):
    """Too many requests; try again a little later."""

    code = "too_many"

    def __init__(self, message: str | None = None, *, retry_after: float) -> None:
        super().__init__(message)
        #: when there will be room again, in seconds
        self.retry_after = retry_after


class Stopping(ScenewrightError):
    """The server is shutting down; the work goes on when it is back."""

    code = "stopping"


class WriterFailed(ScenewrightError):
    """The description writer gave nothing usable."""

    code = "writer_failed"


class ConfigError(ScenewrightError):
    """The configuration cannot be used."""

    code = "config"


class SceneError(ScenewrightError):
    """The scene could not be finished."""

    code = "scene_failed"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        retryable: bool = True,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        #: whether pressing "regenerate" unchanged has a chance
        self.retryable = retryable


class ProviderError(SceneError):
    """The provider failed to make the video."""

    code = "provider"


class DownloadError(SceneError):
    """The finished video could not be downloaded."""

    code = "download"


class MediaError(SceneError):
    """The video file could not be made or read."""

    code = "media"
