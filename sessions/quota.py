"""How many jobs one user may have under way."""

from __future__ import annotations

from dataclasses import dataclass

from sessions.errors import QuotaReached


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Of one user's jobs under the same terms, counted in the transaction that creates another."""

    running: int  #: jobs that may run side by side; further ones wait
    waiting: int  #: jobs that may wait

    def check(self, unclosed: int) -> None:
        """Raise ``QuotaReached`` if there is no room for one more."""
        if unclosed >= self.running + self.waiting:
            raise QuotaReached(self.running)
