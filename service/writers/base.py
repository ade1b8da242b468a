"""The writer port: who turns a brief into scene descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sessions.model import Brief, Scenario


class Writer(Protocol):
    """Writes what the scenes shall show."""

    name: str

    async def write(
        self,
        brief: Brief,
        scenarios: Sequence[Scenario],
        *,
        wish: str | None = None,
        variant: int = 0,
        longest: int = 4000,
    ) -> Mapping[Scenario, str]:
        """A description for each of ``scenarios``.

        ``wish`` is what the person wants different; ``variant`` counts the times the same was
        asked, so that a further one differs; ``longest`` is how many characters the video model
        takes. Raises ``WriterFailed``.
        """
