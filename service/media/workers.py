"""Media work for the service: rendering and probing, each in a short-lived process of its own.

A codec that crashes, leaks or never ends takes its process with it and nothing else.
Nothing here loads libav, numpy or Pillow.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from service.media.facts import VideoFacts
from service.media.process import Listener, Message, Order, refusal, run
from service.media.spec import SceneSpec
from sessions.errors import MediaError

__all__ = ["MediaWorkers", "SceneSpec", "VideoFacts", "media_missing"]

#: import name and package of what the ``media`` extra brings
_EXTRA = {"av": "av", "numpy": "numpy", "PIL": "pillow"}
#: files in one probing process: its start costs as much as a look at dozens of them
_TOGETHER = 200


@functools.cache
def media_missing() -> str | None:
    """What is missing for media work and what to do about it; None if it is all there."""
    missing = [package for module, package in _EXTRA.items() if find_spec(module) is None]
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return f'{_and(missing)} {verb} not installed; run: pip install "scenewright[media]"'


@dataclass(eq=False)
class _Call:
    """One call of ``probe``."""

    path: Path
    answer: asyncio.Future[VideoFacts]
    #: a process for several files failed on this one or before it: the next is for this one only
    alone: bool = False
    #: the latest it was in
    batch: _Batch | None = None

    def settle(self, outcome: VideoFacts | Exception) -> None:
        """Answer, unless the caller has gone."""
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


@dataclass(eq=False)
class _Batch:
    """Calls that share a process, in the order of its verdicts."""

    calls: list[_Call]
    task: asyncio.Task[None]

    @property
    def unheard(self) -> bool:
        """Whether nobody waits for it any more."""
        return all(call.answer.done() for call in self.calls)


class MediaWorkers:
    """Runs media work, a bounded number of pieces at a time; the rest waits in line.

    Probes that had to wait go together into the next process, whose start is most of their cost.

    Errors are MediaError with one of the codes ``input``, ``corrupt``, ``memory``,
    ``timeout``, ``killed`` and ``internal``. Cancelling the call ends the work at once.
    """

    def __init__(
        self,
        *,
        renders: int | None = None,
        probes: int = 2,
        render_timeout: float = 300.0,
        probe_timeout: float = 30.0,
        memory_mb: int = 1500,
        nice: int = 10,
    ) -> None:
        #: one encoder thread a render: as many renders as processors fill the machine
        self._renders = asyncio.Semaphore(renders or os.cpu_count() or 1)
        #: apart from the renders, so that a look at a file never waits for one of them
        self._free_probes = probes
        #: probes without a process; those that must be alone stand in front
        self._waiting: deque[_Call] = deque()
        self._render_timeout, self._probe_timeout = render_timeout, probe_timeout
        self._memory, self._nice = memory_mb << 20, nice

    async def render_scene(
        self, spec: SceneSpec, out: Path, on_progress: Callable[[float], None] | None = None
    ) -> VideoFacts:
        """Render to ``out``, which appears whole or not at all; its folder must exist.

        ``on_progress`` hears the part that is done, 0..1, at most five times a second.
        """
        part = out.with_name(f"{out.name}.{uuid4().hex[:12]}.part")

        def hear(message: Message) -> None:
            if on_progress:
                on_progress(message["progress"])

        try:
            async with self._renders:
                facts = await self._run("scene", self._render_timeout, hear, out=str(part), spec=asdict(spec))
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
        return facts

    async def probe(self, path: Path) -> VideoFacts:
        """The facts of a complete video; ``corrupt`` for any other file."""
        call = _Call(path, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._start_probes()
        try:
            return await call.answer
        except asyncio.CancelledError:
            if call.batch and call.batch.unheard:
                call.batch.task.cancel()
                await call.batch.task  # a further cancellation is passed on and hurries it
            raise

    def _start_probes(self) -> None:
        """Start as many processes as may be and as the waiting calls need."""
        while self._free_probes and (calls := self._next_calls()):
            self._free_probes -= 1
            task = asyncio.create_task(self._probe_all(calls), name="media-probe")
            # Not the task's own business: one that is cancelled at once never runs.
            task.add_done_callback(self._probes_ended)
            batch = _Batch(calls, task)
            for call in calls:
                call.batch = batch

    def _probes_ended(self, _: asyncio.Task[None]) -> None:
        self._free_probes += 1
        self._start_probes()

    def _next_calls(self) -> list[_Call]:
        calls: list[_Call] = []
        while self._waiting and len(calls) < _TOGETHER and not (calls and calls[0].alone):
            call = self._waiting.popleft()
            if not call.answer.done():
                calls.append(call)
        return calls

    async def _probe_all(self, calls: list[_Call]) -> None:
        """Answer the calls out of one process; if it fails, those without answer get one each."""
        left = deque(calls)

        def hear(message: Message) -> None:
            verdict = message["verdict"]
            left.popleft().settle(
                VideoFacts.from_json(verdict["result"]) if "result" in verdict else refusal(verdict)
            )
            if all(call.answer.done() for call in left):
                raise asyncio.CancelledError  # nobody waits for the rest

        try:
            facts = await self._run("probe", self._probe_timeout, hear, paths=[str(c.path) for c in calls])
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is the callers'
            if len(calls) == 1:
                calls[0].settle(exc)
                return
            for call in left:
                call.alone = True
            self._waiting.extendleft(reversed(left))
        else:
            left.pop().settle(facts)

    async def _run(self, op: str, seconds: float, listener: Listener, **job: object) -> VideoFacts:
        if missing := media_missing():
            raise MediaError(
                f"This machine cannot do media work: {missing}", code="internal", retryable=False
            )
        # A look at a file stands between a person and a finished video; a render can wait.
        nice = self._nice if op == "scene" else 0
        order = Order(op=op, job=job, nice=nice, memory=self._memory)
        return VideoFacts.from_json(await run(order, seconds, listener))


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
