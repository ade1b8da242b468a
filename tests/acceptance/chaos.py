"""Kill the server at random instants, start it again, and count what was paid.

    python -m tests.acceptance.chaos --seed 1 --kills 100 --jobs 200

A real server process, and a provider in a process of its own that speaks the wire, counts charges
and misbehaves: lost and late answers, dropped sockets, refused handshakes, refusals for want of
capacity, bursts of errors, broken downloads. Every prompt is unique, so that a second charge shows.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from service.media.workers import MediaWorkers, SceneSpec
from tests.acceptance.server import ServerProcess, serving
from tests.house import SCENARIOS
from tests.wire.ledger import Bell
from tests.wire.process import RunwareProcess
from tests.wire.tasks import Json

#: how long the server waits for an answer of the provider
_ACKNOWLEDGE_SECONDS = 3.0

#: what the provider does to a scene: how often out of 100, and one script for each time it is sent until
#: it is accepted
_FAULTS: dict[str, tuple[int, list[dict[str, Any]]]] = {
    "none": (36, [{}]),
    "acknowledgement lost": (6, [{"drop_after_accept": 1}]),
    "submission lost": (6, [{"drop_before_accept": 1}]),
    "acknowledgement late": (6, [{"ack_delay": 0.4}]),
    "too many requests": (
        6,
        [{"refuse_code": "providerRateLimitExceeded", "refuse_retry_after": 0.2}] * 2 + [{}],
    ),
    "no capacity": (5, [{"refuse_code": "noAvailableServer"}] * 2 + [{}]),
    "submission refused for trouble": (5, [{"refuse_code": "serviceUnavailable"}, {}]),
    "reads fail, 500": (4, [{"read_errors": 3}]),
    "reads fail, 503": (4, [{"read_errors": 3, "read_error_code": "serviceUnavailable"}]),
    "read late": (2, [{"read_delay": _ACKNOWLEDGE_SECONDS + 0.5, "late_reads": 1}]),
    "file 500": (4, [{"files": [{"status": 500}] * 3 + [{}]}]),
    "file 503": (4, [{"files": [{"status": 503}] * 3 + [{}]}]),
    "file truncated": (4, [{"files": [{"truncate_to": 900}, {}]}]),
    "file reset": (4, [{"files": [{"reset_after": 700}, {}]}]),
    "file slow": (4, [{"files": [{"chunk_size": 4096, "chunk_delay": 0.05}]}]),
}

#: what the provider does to all connections, at most once in a life, and how often out of 100 lives
_BURSTS = {"none": 70, "sockets dropped": 15, "handshakes refused": 15}

#: where a life of the server ends: the instant the first jobs are answered; while their tasks are sent,
#: waited for, fetched; and while further jobs are being taken in
MOMENTS = ("acknowledged", "submitting", "waiting", "downloading", "intake")

#: for what must happen sooner or later, however slow the machine is
_PATIENCE = 120.0


@dataclass
class Outcome:
    """What came of it."""

    jobs: int = 0
    #: jobs whose creation was answered before the life they began in was ended
    exposed: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    #: scenes that were given each fault, those of jobs that never began too
    faults: Counter[str] = field(default_factory=Counter)
    bursts: Counter[str] = field(default_factory=Counter)
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


@dataclass(frozen=True, kw_only=True)
class _Life:
    """What one life of the server gets to do, drawn before it begins."""

    moment: str
    signal: signal.Signals
    #: of ``_BURSTS``, and how many handshakes with which status
    burst: str
    handshakes: tuple[int, int]
    #: prompts of the jobs that are answered before the end comes near
    first: list[dict[str, str]]
    #: ... and of those that are on their way in when it comes
    late: list[dict[str, str]]
    #: tasks sent, reads or downloads, whichever the moment is about, before the late ones come
    seen: int
    #: answers to the late ones before the end
    heard: int


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
        self._answers = 0
        self._bell = Bell()
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
                "SCENEWRIGHT_RUNWARE__ACKNOWLEDGE_SECONDS": str(_ACKNOWLEDGE_SECONDS),
                "SCENEWRIGHT_LIMITS__BREAKER_PAUSE_SECONDS": "0.1",
                "SCENEWRIGHT_LIMITS__BREAKER_LONGEST_SECONDS": "1",
                "SCENEWRIGHT_LOG__LEVEL": "warning",
            }
            for moment, share in zip(self._moments(), self._shares(), strict=True):
                life = await self._draw(wire, moment, share)
                async with serving(self._folder, **settings) as server:
                    await self._live(server, wire, life)
            async with serving(self._folder, **settings) as server:
                await self._settle(server)
            self._count(wire)
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    def _moments(self) -> list[str]:
        """One for each life; all kinds about equally often."""
        moments = [MOMENTS[number % len(MOMENTS)] for number in range(self._kills)]
        self._random.shuffle(moments)
        return moments

    def _shares(self) -> list[int]:
        """How many jobs each life answers for sure: at least one, together no fewer than wanted."""
        whole, rest = divmod(self._jobs_wanted, self._kills)
        return [max(1, whole + (number < rest)) for number in range(self._kills)]

    async def _draw(self, wire: RunwareProcess, moment: str, share: int) -> _Life:
        # Everything random is drawn here: the order in which answers arrive must not change the rest.
        late = 4 if moment == "intake" else self._random.randint(0, 2)
        [burst] = self._random.choices([*_BURSTS], [*_BURSTS.values()])
        return _Life(
            moment=moment,
            burst=burst,
            handshakes=(self._random.randint(1, 3), self._random.choice((500, 503))),
            signal=self._random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)),
            first=[await self._script(wire) for _ in range(share)],
            late=[await self._script(wire) for _ in range(late)],
            seen=self._random.randint(1, 4),
            heard=self._random.randrange(2 * late) if late else 0,
        )

    async def _live(self, server: ServerProcess, wire: RunwareProcess, life: _Life) -> None:
        """Some jobs, answered; then the end, while further ones are on their way in."""
        before = await wire.state()
        await asyncio.gather(*(self._order(server, prompts) for prompts in life.first))
        self.outcome.exposed += len(life.first)
        await self._burst(wire, life)
        await self._reach(wire, life, before)
        heard = self._answers + life.heard
        late = asyncio.gather(*(self._order_late(server, prompts) for prompts in life.late))
        await self._bell.wait_until(
            lambda: self._answers >= heard or late.done(), what="answers", timeout=_PATIENCE
        )
        self.outcome.kills[life.signal.name] += 1
        self.outcome.moments[life.moment] += 1
        await server.end(life.signal)
        await late

    async def _burst(self, wire: RunwareProcess, life: _Life) -> None:
        if life.burst == "none":
            return
        self.outcome.bursts[life.burst] += 1
        if life.burst == "handshakes refused":
            await wire.refuse_next(*life.handshakes)
        await wire.drop_connections()

    async def _reach(self, wire: RunwareProcess, life: _Life, before: Json) -> None:
        """Wait until the provider has seen work of this life at this stage."""
        count = {"submitting": "submits", "waiting": "reads", "downloading": "downloads"}.get(life.moment)
        if count is None:
            return
        async with asyncio.timeout(_PATIENCE):
            while (await wire.state())[count] < before[count] + life.seen:
                await asyncio.sleep(0.005)

    async def _script(self, wire: RunwareProcess) -> dict[str, str]:
        """Four unique prompts, each with its own fate at the provider."""
        prompts = {name: f"{name} {self._random.getrandbits(64):016x}" for name in SCENARIOS}
        for prompt in prompts.values():
            [fault] = self._random.choices([*_FAULTS], [weight for weight, _ in _FAULTS.values()])
            self.outcome.faults[fault] += 1
            seconds = self._random.uniform(0, 1.5)
            await wire.script(prompt, *({"seconds": seconds, **script} for script in _FAULTS[fault][1]))
        return prompts

    async def _order(self, server: ServerProcess, prompts: dict[str, str]) -> None:
        """What a client does: create, then generate; the answer counts only if it arrives."""
        scenes = {name: {"description": prompt, "approved": True} for name, prompt in prompts.items()}
        body = {"product": "Lamp", "scene_descriptions": scenes}
        session_id = (await server.post("/api/session/create", body))["session_id"]
        self._sessions.append(session_id)
        self._count_answer()
        started = await server.post("/api/videos/generate-scenes", {"session_id": session_id})
        self._jobs[started["job_id"]] = session_id
        self._count_answer()

    async def _order_late(self, server: ServerProcess, prompts: dict[str, str]) -> None:
        # KeyError: a server that is stopping answers with an error instead.
        with suppress(aiohttp.ClientError, ConnectionError, KeyError):
            await self._order(server, prompts)

    def _count_answer(self) -> None:
        self._answers += 1
        self._bell.ring()

    async def _settle(self, server: ServerProcess) -> None:
        """Everything that was acknowledged, or begun unheard, must end."""
        for session_id in self._sessions:
            session = await server.get(f"/api/session/{session_id}")
            for job in session["jobs"]:
                self._jobs[job["job_id"]] = session_id
        self.outcome.jobs = len(self._jobs)
        shown: set[str] = set()
        async for job in self._ended(server):
            if job["overall_status"] != "completed":
                self.outcome.not_completed.append(str(job))
            shown |= {scene["video_url"].rpartition("/")[2] for scene in job["scenes"] if scene["video_url"]}
        outputs = {file.name: file for file in (self._folder / "outputs").iterdir()}
        self.outcome.leftovers = sorted(outputs.keys() - shown)
        self.outcome.broken_files = [
            name for name in shown if name not in outputs or outputs[name].read_bytes() != self._film
        ]

    async def _ended(self, server: ServerProcess) -> AsyncIterator[Any]:
        """The jobs, ended; as they are once none has ended for too long."""
        last = time.monotonic()
        for job_id in self._jobs:
            try:
                yield await server.finished(job_id, patience=last + _PATIENCE - time.monotonic())
                last = time.monotonic()
            except TimeoutError:
                yield await server.get(f"/api/videos/status/{job_id}")

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
    print(f"killed while {dict(outcome.moments)}, {outcome.exposed} jobs answered before")  # noqa: T201
    print(f"faults {dict(outcome.faults)}, bursts {dict(outcome.bursts)}")  # noqa: T201
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
