"""A provider as recipes speak with it: exchanges that end, and pauses between them."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import TypeVar

import structlog

from service.breaker import Refused
from service.providers.base import InDoubt, NoAnswer, TaskStatus, UnknownTask, VideoProvider, VideoTask
from sessions.errors import SceneError

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)

#: longest pause while somebody is away, busy or unclear, in seconds
_LONGEST_PAUSE = 30.0


class Respondent:
    """A provider that is asked; its promises about time are passed on."""

    def __init__(self, provider: VideoProvider) -> None:
        self._provider = provider
        self.name = provider.name
        self.keeps_tasks = provider.keeps_tasks
        self.poll_seconds = provider.poll_seconds
        self.deadline_seconds = provider.deadline_seconds
        self.reconcile_pause_seconds = provider.reconcile_pause_seconds
        self.reconcile_hours = provider.reconcile_hours

    async def submit(self, task: VideoTask) -> None:
        """As the provider's own."""
        await _exchange(self._provider.submit(task))

    async def status(self, task_id: str) -> TaskStatus:
        """Ask once, and once more in the archive for what the provider does not know at the first.

        Raises ``UnknownTask`` or ``InDoubt``.
        """
        try:
            return await _exchange(self._provider.check(task_id))
        except UnknownTask:
            try:
                return await _exchange(self._provider.details(task_id))
            except InDoubt:
                raise UnknownTask(task_id) from None  # the first answer stands


def pauses(first: float, longest: float | None = None) -> Iterator[float]:
    """Pauses in seconds, each twice the one before, up to half a minute or ``longest``."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, longest or _LONGEST_PAUSE)


async def _exchange(exchange: Awaitable[_T]) -> _T:
    """One exchange with a provider; whatever breaks in it unforeseen says nothing of the task."""
    try:
        return await exchange
    except (Refused, UnknownTask, SceneError):
        raise
    except Exception as error:
        _log.exception("provider.broke")
        raise NoAnswer(f"{type(error).__name__} while speaking to it", code="internal") from error
