"""The Executor port: who runs jobs, and when. Its unit is the job."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class Executor(Protocol):
    """Runs every job at least once, until it is closed."""

    def submit(self, job_id: str) -> None:
        """Run a job that is on disk. Submitting it again while it runs changes nothing."""

    def reconsider(self, scene_ids: Collection[str]) -> None:
        """The scenes were changed by somebody else than their runner: it shall read them again."""

    async def stop(self) -> None:
        """Let go of all jobs at once; what is unfinished goes on after the next start."""
