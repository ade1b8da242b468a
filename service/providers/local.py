"""Free previews, rendered on this machine: the default without a provider key.

Every prompt becomes a real, playable clip. Switches in the prompt let a frontend meet
its unhappy paths without paying:

    [[fail]]        the provider fails the task
    [[fail@50]]     ... once its progress has reached 50 (below 30: refused at once;
                    from 70: made, but the file cannot be fetched)
    [[nsfw]]        refused by the content policy
    [[slow 20s]]    takes 20 seconds longer
    [[corrupt]]     the file is cut short
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.health import Health
from service.media.workers import MediaWorkers, SceneSpec, media_missing
from service.providers.base import (
    Failed,
    Finished,
    Running,
    TaskStatus,
    UnknownTask,
    VideoTask,
)
from sessions.errors import ProviderError, SceneError
from sessions.model import Stage
from sessions.progress import CLIP

_SWITCH = re.compile(
    r"\[\[\s*(?P<word>fail|nsfw|corrupt|slow)(?:\s*@\s*(?P<at>\d{1,3})|\s+(?P<seconds>\d{1,4}(?:\.\d+)?)\s*s?)?\s*\]\]",
    re.IGNORECASE,
)


#: ended renders whose verdict can still be asked for
_VERDICTS_KEPT = 200


@dataclass(frozen=True, kw_only=True)
class Switches:
    """What the prompt's switches ask for."""

    text: str  #: the prompt without switches
    fail_at: int | None = None  #: percent
    nsfw: bool = False
    corrupt: bool = False
    slow_seconds: float = 0

    @classmethod
    def of(cls, prompt: str) -> Self:
        found = {match["word"].lower(): match for match in _SWITCH.finditer(prompt)}
        fail, slow = found.get("fail"), found.get("slow")
        return cls(
            text=_SWITCH.sub("", prompt).strip(),
            fail_at=None if fail is None else int(fail["at"] or CLIP[Stage.SENT]),
            nsfw="nsfw" in found,
            corrupt="corrupt" in found,
            slow_seconds=float(slow["seconds"] or 0) if slow else 0,
        )


class _Run:
    """One render under way."""

    def __init__(self) -> None:
        self.fraction = 0.0
        self.task: asyncio.Task[Finished] | None = None

    def status(self) -> TaskStatus:
        if self.task is None or not self.task.done():
            return Running(fraction=self.fraction)
        if self.task.cancelled():
            return Failed(error=ProviderError("The render was stopped", code="internal"))
        error = self.task.exception()
        if error is None:
            return self.task.result()
        if isinstance(error, SceneError):
            failure = ProviderError(error.message, code=error.code, retryable=error.retryable)
        else:
            failure = ProviderError(f"The renderer broke ({type(error).__name__})", code="internal")
        return Failed(error=failure)


class LocalProvider:
    """``VideoProvider`` that renders in subprocesses. Nothing is ever billed."""

    name = "local"
    keeps_tasks = False
    poll_seconds = 0.1
    deadline_seconds = 3600.0
    reconcile_pause_seconds = 15.0
    reconcile_hours = 24.0

    def __init__(self, workers: MediaWorkers, *, scratch: Path, preset: str) -> None:
        self._workers = workers
        self._scratch = scratch
        self._preset = preset
        self._runs: dict[str, _Run] = {}

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        tasks = [run.task for run in self._runs.values() if run.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runs.clear()

    async def health(self) -> Health:
        missing = media_missing()
        return Health(ok=missing is None, detail=missing or "renders free previews on this machine")

    async def submit(self, task: VideoTask) -> None:
        if task.id in self._runs:
            return
        if missing := media_missing():
            raise ProviderError(missing, code="media_missing", retryable=False)
        switches = Switches.of(task.prompt)
        if switches.fail_at is not None and switches.fail_at < CLIP[Stage.SENT]:
            raise ProviderError("Refused on request: the prompt says [[fail]]", code="provider")
        self._forget_some()
        run = self._runs[task.id] = _Run()
        run.task = asyncio.create_task(self._make(task, switches, run), name=f"render {task.id}")

    async def check(self, task_id: str) -> TaskStatus:
        run = self._runs.get(task_id)
        if run is None:
            raise UnknownTask(task_id)
        return run.status()

    async def details(self, task_id: str) -> TaskStatus:
        return await self.check(task_id)  # there are no other records

    def _forget_some(self) -> None:
        """Verdicts can be asked for again, but not for ever."""
        ended = [task_id for task_id, run in self._runs.items() if run.task and run.task.done()]
        for task_id in ended[:-_VERDICTS_KEPT]:
            del self._runs[task_id]

    async def _make(self, task: VideoTask, switches: Switches, run: _Run) -> Finished:
        await asyncio.sleep(switches.slow_seconds)
        if switches.nsfw:
            raise ProviderError(
                "The prompt was refused by the content policy; change the wording, then regenerate",
                code="safety",
                retryable=False,
            )
        if switches.fail_at is not None:
            return await self._fail(switches.fail_at, run)
        spec = SceneSpec(
            prompt=switches.text,
            scenario=task.scenario,
            take=task.take,
            seconds=task.seconds,
            width=task.width,
            height=task.height,
            preset=self._preset,
        )
        file = self._scratch / f"{task.id}.local.part"

        def on_progress(fraction: float) -> None:
            run.fraction = fraction

        await self._workers.render_scene(spec, file, on_progress)
        if switches.corrupt:
            await asyncio.to_thread(_cut_short, file)
        return Finished(location=str(file), cost_usd=0.0)

    async def _fail(self, percent: int, run: _Run) -> Finished:
        sent, made = CLIP[Stage.SENT], CLIP[Stage.GENERATED]
        if percent >= made:
            return Finished(location=str(self._scratch / "lost-on-request.part"))
        run.fraction = (percent - sent) / (made - sent)
        await asyncio.sleep(3 * self.poll_seconds)  # so that a poller sees how far it came
        raise ProviderError("Failed on request: the prompt says [[fail]]", code="provider")


def _cut_short(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size * 6 // 10)
