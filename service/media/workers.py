"""Media work for the service: rendering and probing, each in a short-lived process of its own.

A codec that crashes, leaks or never ends takes its process with it and nothing else.
Nothing here loads libav, numpy or Pillow.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from service.media.facts import VideoFacts
from service.media.process import Order, run
from service.media.spec import SceneSpec
from sessions.errors import MediaError

__all__ = ["MediaWorkers", "SceneSpec", "VideoFacts", "media_missing"]

#: import name and package of what the ``media`` extra brings
_EXTRA = {"av": "av", "numpy": "numpy", "PIL": "pillow"}


def media_missing() -> str | None:
    """What is missing for media work and what to do about it; None if it is all there."""
    missing = [package for module, package in _EXTRA.items() if find_spec(module) is None]
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return f'{_and(missing)} {verb} not installed; run: pip install "scenewright[media]"'


class MediaWorkers:
    """Runs media work, a bounded number of pieces at a time; the rest waits in line.

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
        self._probes = asyncio.Semaphore(probes)
        self._render_timeout, self._probe_timeout = render_timeout, probe_timeout
        self._memory, self._nice = memory_mb << 20, nice

    async def render_scene(
        self, spec: SceneSpec, out: Path, on_progress: Callable[[float], None] | None = None
    ) -> VideoFacts:
        """Render to ``out``, which appears whole or not at all; its folder must exist.

        ``on_progress`` hears the part that is done, 0..1, at most five times a second.
        """
        part = out.with_name(f"{out.name}.{uuid4().hex[:12]}.part")
        try:
            async with self._renders:
                facts = await self._run(
                    "scene", self._render_timeout, on_progress, out=str(part), spec=asdict(spec)
                )
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
        return facts

    async def probe(self, path: Path) -> VideoFacts:
        """The facts of a complete video; ``corrupt`` for any other file."""
        async with self._probes:
            return await self._run("probe", self._probe_timeout, None, path=str(path))

    async def _run(
        self, op: str, seconds: float, on_progress: Callable[[float], None] | None, **job: object
    ) -> VideoFacts:
        if missing := media_missing():
            raise MediaError(
                f"This machine cannot do media work: {missing}", code="internal", retryable=False
            )
        # A look at a file stands between a person and a finished video; a render can wait.
        nice = self._nice if op == "scene" else 0
        order = Order(op=op, job=job, nice=nice, memory=self._memory)
        return VideoFacts.from_json(await run(order, seconds, on_progress or (lambda _: None)))


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
