"""How often somebody may ask: token buckets in memory.

A bucket is one number, the time at which it is full again (the generic cell rate algorithm,
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm); one that is full is no number at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from service.sections import RatesSettings

#: buckets of one kind that are remembered in one generation, of two; a flood of strangers makes
#: the service forget early rather than grow
_REMEMBERED = 100_000


class Buckets:
    """One token bucket for each key: ``burst`` tokens, ``per_second`` of which come back.

    A rate of 0 switches the limit off. ``tick`` is a clock that never goes back, in seconds.
    """

    def __init__(
        self,
        per_second: float,
        burst: int,
        tick: Callable[[], float] = time.monotonic,
        most: int = _REMEMBERED,
    ) -> None:
        self._each = 1 / per_second if per_second else 0.0  # a token comes back after this long
        self._slack = self._each * (burst - 1) + 1e-9  # what is lost in adding seconds up
        self._fills = self._each * burst  # every bucket is full again after this long
        self._tick = tick
        self._most = most
        # Generations instead of a search for idle keys: what was not touched during a whole one is full.
        self._full_at: dict[Hashable, float] = {}
        self._before: dict[Hashable, float] = {}
        self._turns_at = tick() + self._fills

    def __len__(self) -> int:
        """Buckets in memory."""
        return len(self._full_at) + len(self._before)

    def take(self, key: Hashable) -> float:
        """Take a token: 0 if there was one, else the seconds until there is one."""
        if not self._each:
            return 0.0
        now = self._tick()
        if now >= self._turns_at or len(self._full_at) >= self._most:
            self._turn(now)
        full_at = self._full_at.get(key) or self._before.get(key, now)
        full_at = max(full_at, now)
        wait = full_at - now - self._slack
        if wait > 0:
            return wait
        self._full_at[key] = full_at + self._each
        return 0.0

    def _turn(self, now: float) -> None:
        """Forget the older generation; every bucket in it is full, unless there are too many."""
        idle = now >= self._turns_at + self._fills
        self._before, self._full_at = {} if idle else self._full_at, {}
        self._turns_at = now + self._fills


class Rates:
    """What one client may do. Each method answers 0, or in how many seconds it may be tried again."""

    def __init__(self, settings: RatesSettings, tick: Callable[[], float] = time.monotonic) -> None:
        self._paths = Buckets(settings.reads_per_path, settings.reads_per_path_burst, tick)
        self._reads = Buckets(settings.reads, settings.reads_burst, tick)
        self._creates = Buckets(settings.creates, settings.creates_burst, tick)

    def read(self, client: str, path: str) -> float:
        """One look at an address that is looked at again and again."""
        # In this order: a window that asks like mad does not use up what the client's others need. Of the
        # address only its hash is remembered: whoever makes up long ones must not fill the memory.
        return self._paths.take((client, hash(path))) or self._reads.take(client)

    def fetch(self, client: str) -> float:
        """One read of something else: part of a file, or what does not exist."""
        return self._reads.take(client)

    def create(self, client: str) -> float:
        """One request that makes or changes something."""
        return self._creates.take(client)
