"""The Executor port: who runs jobs, and when. Its unit is the job."""

from __future__ import annotations

from typing import Protocol


class Executor(Protocol):
    """Runs every job at least once, until it is closed."""

    def submit(self, job_id: str) -> None:
        """Run a job that is on disk. Submitting it again while it runs changes nothing."""

    async def stop(self) -> None:
        """Let go of all jobs at once; what is unfinished goes on after the next start."""
