"""Kill the server at random instants, start it again, and count what was paid.

    python -m tests.acceptance.chaos --seed 1 --kills 100 --jobs 200

A real server process, and a provider in a process of its own that speaks the wire, counts charges
and misbehaves: lost acknowledgements, dropped sockets, busy answers, broken downloads. Every
prompt is unique, so that a second charge shows.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from service.media.workers import MediaWorkers, SceneSpec
from tests.acceptance.server import ServerProcess, serving
from tests.house import SCENARIOS
from tests.wire.process import RunwareProcess

#: what the provider does to a scene, and how often out of 100
_FAULTS: tuple[tuple[int, dict[str, Any]], ...] = (
    (50, {}),
    (8, {"drop_after_accept": 1}),
    (8, {"drop_before_accept": 1}),
    (8, {"ack_delay": 0.4}),
    (8, {"files": [{"status": 503}, {}]}),
    (8, {"files": [{"truncate_to": 900}, {}]}),
    (5, {"files": [{"reset_after": 700}, {}]}),
    (5, {"files": [{"chunk_size": 4096, "chunk_delay": 0.05}]}),
)


@dataclass
class Outcome:
    """What came of it."""

    jobs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    charges: int = 0
    paid_twice: list[str] = field(default_factory=list)
    unpaid: int = 0
    not_completed: list[str] = field(default_factory=list)
    broken_files: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not (
            self.paid_twice or self.unpaid or self.not_completed or self.broken_files or self.leftovers
        )


class Chaos:
    """One seeded run."""

    def __init__(self, folder: Path, *, seed: int, kills: int, jobs: int, film: bytes) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._kills = kills
        self._jobs_wanted = jobs
        self._film = film
        self._sessions: list[str] = []
        self._jobs: dict[str, str] = {}  # job -> session
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        started = time.monotonic()
        video = self._folder / "film.mp4"
        video.write_bytes(self._film)
        async with RunwareProcess(self._folder, "--video", str(video)) as wire:
            settings = {
                "RUNWARE_API_KEY": "test-key",
                "SCENEWRIGHT_RUNWARE__WS_URL": wire.ws_url,
                "SCENEWRIGHT_RUNWARE__HTTP_URL": wire.http_url,
                "SCENEWRIGHT_RUNWARE__ACKNOWLEDGE_SECONDS": "3",
                "SCENEWRIGHT_LOG__LEVEL": "warning",
            }
            for kill in range(self._kills):
                async with serving(self._folder, **settings) as server:
                    await self._live(server, wire, kill)
            async with serving(self._folder, **settings) as server:
                await self._settle(server)
            self._count(wire)
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    async def _live(self, server: ServerProcess, wire: RunwareProcess, kill: int) -> None:
        """Some new jobs, then the end at a random instant, most often while they are being taken in."""
        number = self._random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        share = -(-(self._jobs_wanted - len(self._jobs)) // (self._kills - kill))
        wanted = [await self._script(wire) for _ in range(share)]
        work = asyncio.gather(*(self._request(server, prompts) for prompts in wanted), return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(work), timeout=self._random.uniform(0.01, 0.1))
        await asyncio.sleep(self._random.choice((0.0, self._random.uniform(0, 1.5))))
        self.outcome.kills[number.name] += 1
        await server.end(number)
        await work

    async def _script(self, wire: RunwareProcess) -> dict[str, str]:
        """Four unique prompts, each with its own fate at the provider."""
        prompts = {name: f"{name} {self._random.getrandbits(64):016x}" for name in SCENARIOS}
        for prompt in prompts.values():
            fault = self._random.choices([kind for _, kind in _FAULTS], [weight for weight, _ in _FAULTS])[0]
            await wire.script(prompt, {"seconds": self._random.uniform(0, 1.5), **fault})
        return prompts

    async def _request(self, server: ServerProcess, prompts: dict[str, str]) -> None:
        """What a client does: create, then generate; the answer counts only if it arrives."""
        scenes = {name: {"description": prompt, "approved": True} for name, prompt in prompts.items()}
        with suppress(aiohttp.ClientError, ConnectionError):
            body = {"product": "Lamp", "scene_descriptions": scenes}
            session_id = (await server.post("/api/session/create", body))["session_id"]
            self._sessions.append(session_id)
            started = await server.post("/api/videos/generate-scenes", {"session_id": session_id})
            if started.get("success"):
                self._jobs[started["job_id"]] = session_id

    async def _settle(self, server: ServerProcess) -> None:
        """Everything that was acknowledged, or begun unheard, must end."""
        for session_id in self._sessions:
            session = await server.get(f"/api/session/{session_id}")
            for job in session["jobs"]:
                self._jobs[job["job_id"]] = session_id
        self.outcome.jobs = len(self._jobs)
        shown: set[str] = set()
        for job_id in self._jobs:
            job = await server.finished(job_id)
            if job["overall_status"] != "completed":
                self.outcome.not_completed.append(str(job))
            shown |= {scene["video_url"].rpartition("/")[2] for scene in job["scenes"] if scene["video_url"]}
        outputs = {file.name: file for file in (self._folder / "outputs").iterdir()}
        self.outcome.leftovers = sorted(outputs.keys() - shown)
        self.outcome.broken_files = [
            name for name in shown if name not in outputs or outputs[name].read_bytes() != self._film
        ]

    def _count(self, wire: RunwareProcess) -> None:
        paid = Counter(charge.prompt for charge in wire.charges)
        self.outcome.charges = paid.total()
        self.outcome.paid_twice = [prompt for prompt, times in paid.items() if times > 1]
        self.outcome.unpaid = 4 * len(self._jobs) - len(paid)


async def make_film(folder: Path) -> bytes:
    """A small, real video."""
    spec = SceneSpec(prompt="film", scenario="hook", seconds=1.0, width=256, height=144, preset="ultrafast")
    await MediaWorkers().render_scene(spec, folder / "made.mp4")
    return (folder / "made.mp4").read_bytes()


async def _main(seed: int, kills: int, jobs: int) -> int:
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        film = await make_film(folder)
        outcome = await Chaos(folder, seed=seed, kills=kills, jobs=jobs, film=film).run()
    print(f"seed {seed}: {outcome.jobs} jobs, kills {dict(outcome.kills)}, {outcome.charges} charges")  # noqa: T201
    print(f"paid twice {len(outcome.paid_twice)}, scenes never paid {outcome.unpaid}")  # noqa: T201
    print(f"jobs not completed {len(outcome.not_completed)}, broken files {len(outcome.broken_files)}")  # noqa: T201
    print(f"files nobody knows {len(outcome.leftovers)}, {outcome.seconds:.0f} s")  # noqa: T201
    for trouble in outcome.not_completed + outcome.leftovers + outcome.paid_twice:
        print(" ", trouble)  # noqa: T201
    return 0 if outcome.good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=200)
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(_main(arguments.seed, arguments.kills, arguments.jobs)))
