"""Asking for tasks: when, and how often, for all scenes in flight together.

Each scene knows when it wants to be asked for; here the pace is set for all: a bounded
number of questions a second however many scenes are in flight, few of them early in a clip
whose duration has been learned, and one at once when the provider calls back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.estimates import Estimate
from service.providers.base import VideoProvider
from service.recipes.callbacks import Callbacks
from sessions.errors import NotFound

#: pauses stay below this while a clip is not due yet, in seconds: models get faster
_LONGEST_EARLY: Final = 5.0

#: the first question before the fastest known end: at this part of the way
_EARLY: Final = 0.8

#: a clip that is overdue is asked for with pauses that grow by this part of the delay, up to a limit
_OVERDUE_GROWTH, _LONGEST_OVERDUE = 0.02, 10.0

#: with webhooks polling is only the fallback: pauses are this much longer
_WITH_WEBHOOKS: Final = 10.0

#: the provider's own word may be ahead of its answers: asked again so soon after a call, in seconds
_AFTER_CALL: Final = (0.1, 0.3, 1.0)


class Watched:
    """One task that is waited for."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.questions_after_call: Iterator[float] = iter(())


class Watch:
    """All tasks of one provider that are waited for."""

    def __init__(
        self, provider: VideoProvider, *, polls_per_second: float, callbacks: Callbacks | None = None
    ) -> None:
        self._provider = provider
        self._polls_per_second = polls_per_second
        self._callbacks = callbacks
        self._tasks: dict[str, Watched] = {}

    @contextmanager
    def over(self, task_id: str) -> Iterator[Watched]:
        """Count the task among those in flight, and listen for calls about it."""
        watched = self._tasks[task_id] = Watched()
        try:
            yield watched
        finally:
            if self._tasks.get(task_id) is watched:
                del self._tasks[task_id]

    def webhook_url(self, task_id: str) -> str | None:
        """Where the provider shall call when the task has ended; None to be asked instead."""
        return None if self._callbacks is None else self._callbacks.url(task_id)

    def called(self, task_id: str, token: str) -> None:
        """Somebody says that something has happened to the task: it is asked for at once if it is waited for.

        Nothing else is believed. Raises ``NotFound`` for anybody but the provider.
        """
        if self._callbacks is None or not self._callbacks.genuine(task_id, token):
            raise NotFound
        watched = self._tasks.get(task_id)
        if watched is not None:
            watched.questions_after_call = iter(_AFTER_CALL)
            watched.called.set()

    async def pause(self, watched: Watched, seconds: float) -> None:
        """Wait before the next question: longer in a crowd, shorter if the provider calls."""
        seconds = next(watched.questions_after_call, max(seconds, self._crowd))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await watched.called.wait()
        watched.called.clear()

    @property
    def _crowd(self) -> float:
        """The pause that keeps all tasks together to the permitted number of questions, in seconds."""
        return len(self._tasks) / self._polls_per_second

    def seconds_between(self, elapsed: float, estimate: Estimate | None) -> float:
        """The pause that suits a task submitted ``elapsed`` seconds ago."""
        stretch = _WITH_WEBHOOKS if self._callbacks else 1.0
        usual = max(self._provider.poll_seconds * stretch, self._crowd)
        if estimate is None:
            return usual
        early = min(_EARLY * estimate.low - elapsed, _LONGEST_EARLY)
        overdue = min(_OVERDUE_GROWTH * (elapsed - estimate.high), _LONGEST_OVERDUE)
        return max(usual, early, overdue)
