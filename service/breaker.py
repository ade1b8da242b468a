"""A circuit breaker: calls are kept away from a part that refuses them, and let in again with care.

Closed: calls pass. Open: calls wait. When the pause is over one of them tries; its outcome
closes the circuit, or opens it again for twice as long.
(https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog

from sessions.store import StoreUnavailable, Superseded

_log = structlog.get_logger(__name__)

#: what a refusal is about: the provider as a whole, or one of its models
Scope = Literal["provider", "model"]


class Refused(Exception):
    """Base of what counts against the part that was called."""

    scope: Scope = "provider"
    #: how long the part asks to be left alone, in seconds
    retry_after: float | None = None


class Breaker:
    """Guards the calls to one part."""

    def __init__(
        self, name: str, scope: Scope, *, failures: int, pause_seconds: float, longest_seconds: float
    ) -> None:
        self._name = name
        self._scope = scope
        self._failures = failures  #: in a row that open the circuit
        self._first_pause = pause_seconds
        self._longest_pause = longest_seconds
        self._pause = pause_seconds
        self._in_a_row = 0
        self._reason = ""
        self._open_until: float | None = None
        self._next_try = datetime.max.replace(tzinfo=UTC)
        self._openings = 0
        self._trying = False
        self._changed = asyncio.Event()

    @property
    def trouble(self) -> str | None:
        """Why calls wait, for people; None while they pass."""
        if self._open_until is None:
            return None
        return f"{self._name} refuses work ({self._reason}); next try at {self._next_try:%H:%M:%S} UTC"

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Wait until a call may be made; what the body raises tells how it went.

        Only a ``Refused`` of its scope counts against the part: any other answer shows that it works.
        A cancelled call tells nothing.
        """
        trial = await self._admitted()
        openings = self._openings
        try:
            yield
        except (StoreUnavailable, Superseded):
            raise  # troubles of ours: nothing was asked of the part
        except Exception as error:
            self._heard(error, openings)
            raise
        else:
            self._heard(None, openings)
        finally:
            if trial:
                self._trying = False
                self._ring()

    @property
    def is_passable(self) -> bool:
        """Whether a call that is made now would not have to wait."""
        return self._open_until is None or (self._left <= 0 and not self._trying)

    async def passable(self) -> None:
        """Wait until a call may be made."""
        while not self.is_passable:
            changed, left = self._changed, self._left
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if left > 0 else None):
                    await changed.wait()

    @property
    def _left(self) -> float:
        """Seconds until somebody may try."""
        return 0.0 if self._open_until is None else self._open_until - time.monotonic()

    async def _admitted(self) -> bool:
        """Whether the call that may now be made is the one that tries."""
        await self.passable()
        self._trying = self._trying or self._open_until is not None
        return self._open_until is not None

    def _heard(self, error: Exception | None, openings: int) -> None:
        """Learn from a call that was let in after so many openings."""
        if openings != self._openings:
            return  # one of many that left before the circuit opened: good or bad, it is old news
        if not isinstance(error, Refused):
            self._passed()
        elif error.scope == self._scope:
            self._refused(error)
        elif self._scope == "provider":
            self._passed()  # it has refused a model; a provider that refuses tells nothing of its models

    def _refused(self, refusal: Refused) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self._failures:  # a trial goes on with the row that opened the circuit
            self._reason = str(refusal)[:200]
            self._openings += 1
            pause = max(self._pause, min(refusal.retry_after or 0.0, self._longest_pause))
            self._open_until = time.monotonic() + pause
            self._next_try = datetime.now(UTC) + timedelta(seconds=pause)
            self._pause = min(2 * self._pause, self._longest_pause)
            _log.warning("breaker.open", part=self._name, reason=self._reason, seconds=round(pause, 1))

    def _passed(self) -> None:
        self._in_a_row = 0
        self._pause = self._first_pause
        if self._open_until is not None:
            self._open_until = None
            _log.info("breaker.closed", part=self._name)

    def _ring(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
