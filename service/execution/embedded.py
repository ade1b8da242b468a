"""Jobs as asyncio tasks of this process. The rows are the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

_log = structlog.get_logger(__name__)

#: how long jobs may take to let go, in seconds; whatever they do is on disk
_FAREWELL = 2.0

#: pauses between tries to run a job whose state could not be written, in seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class EmbeddedExecutor:
    """``Executor`` without an engine; at start the unfinished jobs are submitted again."""

    def __init__(
        self,
        run_job: Callable[[str], Awaitable[None]],
        reconsider: Callable[[Collection[str]], None],
    ) -> None:
        self._run_job = run_job
        self._reconsider = reconsider
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def submit(self, job_id: str) -> None:
        if job_id not in self._tasks:
            task = self._tasks[job_id] = asyncio.create_task(self._drive(job_id), name=f"job {job_id}")
            task.add_done_callback(lambda _: self._tasks.pop(job_id, None))

    def reconsider(self, scene_ids: Collection[str]) -> None:
        self._reconsider(scene_ids)

    async def stop(self) -> None:
        left = set(self._tasks.values())
        deadline = asyncio.get_running_loop().time() + _FAREWELL
        while left and asyncio.get_running_loop().time() < deadline:
            for task in left:
                task.cancel()  # again: asyncio.wait_for may swallow one that meets its answer
            _, left = await asyncio.wait(left, timeout=_FAREWELL / 10)
        if left:
            _log.warning("jobs.left_running", jobs=len(left))

    async def _drive(self, job_id: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._run_job(job_id)
            except Exception:  # noqa: BLE001 - whatever it was, the job is on disk and must not be forgotten
                _log.exception("job.not_run", job=job_id, again_in_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
