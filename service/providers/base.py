"""The provider port: who turns a prompt into a video file.

Contract of every provider:

* A task is known by a UUID that we choose. Submitting the same UUID twice makes, and
  bills, one video.
* ``submit`` and ``check`` are one exchange each, which a transport may repeat over a
  reconnect. They do not wait for the video: the loops in ``service.recipes.clip`` do.
* Times are seconds, sizes pixels, prices US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.breaker import Refused
from service.health import Health
from sessions.errors import ProviderError
from sessions.model import NO_FRAMES, Frames


class InDoubt(Refused):
    """No answer, or none that says anything: the task may or may not have been accepted.

    Never a reason to choose a new UUID.
    """

    def __init__(self, reason: str = "", *, code: str = "") -> None:
        super().__init__(reason)
        self.code = code  #: what stood in the way, as an error code (``ProviderError.code``); may be empty


class NoAnswer(InDoubt):
    """The provider can be reached, and does not answer for this task."""


class NotNow(Refused):
    """The provider has surely not accepted the task, and may accept it later under the same UUID."""

    def __init__(
        self, reason: str = "", *, code: str = "", retry_after: float | None = None, model_only: bool = False
    ) -> None:
        super().__init__(reason)
        self.code = code  #: the provider's own word for it
        self.retry_after = retry_after
        self.scope = "model" if model_only else "provider"


class UnknownTask(Exception):
    """The provider says that it has never accepted this UUID."""


@dataclass(frozen=True, kw_only=True)
class VideoTask:
    """One video to make."""

    id: str  #: UUID version 4, already on record
    prompt: str
    model: str  #: a key of the catalogue
    seconds: float
    width: int
    height: int
    frames: Frames = NO_FRAMES  #: addresses or data URIs of images, for models that take them
    scenario: str  #: shown in previews
    take: int  #: shown in previews
    settings: Mapping[str, Any] = field(default_factory=dict)  #: the catalogue's extra parameters
    webhook_url: str | None = None  #: where the provider is to call when the task ends, if it can


@dataclass(frozen=True, kw_only=True)
class Running:
    """The task is known and not finished."""

    fraction: float | None = None  #: done, 0 to 1, where the provider says


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The video is made."""

    location: str  #: an ``http(s)`` URL, or the absolute path of a local file
    cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The task has ended without a video; it will never have one under this UUID."""

    error: ProviderError


TaskStatus = Running | Finished | Failed


class VideoProvider(Protocol):
    """Turns prompts into video files."""

    name: str
    #: whether tasks live on when this process ends (and are paid for)
    keeps_tasks: bool
    #: pause between two questions for one task, in seconds
    poll_seconds: float
    #: longest time a task that is asked for may go without a verdict, in seconds; time during which
    #: the provider cannot be reached does not count
    deadline_seconds: float
    #: first pause between two questions after the deadline, in seconds
    reconcile_pause_seconds: float
    #: age at which a task without a verdict is given up
    reconcile_hours: float

    async def open(self) -> None:
        """Get ready. Does not raise when the provider cannot be reached: ``health`` tells."""

    async def close(self) -> None:
        """Let go of everything; tasks at the provider go on."""

    async def submit(self, task: VideoTask) -> None:
        """Hand the task over; returns when it is accepted, now or earlier under the same UUID.

        Raises ``ProviderError`` if it was refused (nothing is billed), ``NotNow`` if the provider
        is too busy, ``InDoubt`` if nobody knows.
        """

    async def check(self, task_id: str) -> TaskStatus:
        """Ask once. Raises ``UnknownTask`` or ``InDoubt``."""

    async def details(self, task_id: str) -> TaskStatus:
        """Look into the provider's records for a task that ``check`` does not know any more.

        ``Running`` if it is on record without an outcome. Raises ``UnknownTask`` only if the provider
        surely does not know it, ``InDoubt`` otherwise.
        """

    async def health(self) -> Health:
        """Whether a task could be taken now."""


class TextModel(Protocol):
    """Answers a prompt with text."""

    async def complete(self, *, system: str, prompt: str) -> str:
        """One answer. Raises ``ProviderError``."""
