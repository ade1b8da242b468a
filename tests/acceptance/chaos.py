"""Kill the server at random instants, start it again, and count what was paid.

    python -m tests.acceptance.chaos --seed 1 --kills 100 --jobs 200

A real server process, and a provider in a process of its own that speaks the wire, counts charges
and misbehaves: lost and late answers, dropped sockets, refused handshakes, refusals for want of
capacity, bursts of errors, broken downloads. Every prompt is unique, so that a second charge shows.

Beside jobs of four scenes, users order clips that cost credits, repeat what was not answered, cancel
and delete. At every kill some of them wait for their turn.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp

from service.media.workers import MediaWorkers, SceneSpec
from tests.acceptance import books
from tests.acceptance.books import Books
from tests.acceptance.customers import SECRET, USERS, Customers, token
from tests.acceptance.lives import ACKNOWLEDGE_SECONDS, FourScenes, Life, Lives, held_mark
from tests.acceptance.outcome import Outcome
from tests.acceptance.server import ServerProcess, scenewright, serving
from tests.wire.ledger import Bell
from tests.wire.process import RunwareProcess
from tests.wire.tasks import Json

#: for what must happen sooner or later, however slow the machine is
_PATIENCE = 120.0


class Chaos:
    """One seeded run."""

    def __init__(self, folder: Path, *, seed: int, kills: int, jobs: int, film: bytes) -> None:
        self._folder = folder
        self._lives = Lives(seed).draw(kills, jobs)
        self._film = film
        self._tokens = {user: token(user) for user in USERS}
        self._sessions: dict[str, str] = {}  # session -> user
        self._jobs: dict[str, str] = {}  # job -> user
        self._answers = 0
        self._bell = Bell()
        self._customers = Customers(self._count_answer)
        self._books = Books(folder)
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
                "SCENEWRIGHT_RUNWARE__ACKNOWLEDGE_SECONDS": str(ACKNOWLEDGE_SECONDS),
                "SCENEWRIGHT_LIMITS__BREAKER_PAUSE_SECONDS": "0.1",
                "SCENEWRIGHT_LIMITS__BREAKER_LONGEST_SECONDS": "1",
                "SCENEWRIGHT_LOG__LEVEL": "warning",
                "SCENEWRIGHT_AUTH__MODE": "jwt",
                "SCENEWRIGHT_AUTH__JWT_SECRET": SECRET,
                **books.SETTINGS,
            }
            for life in self._lives:
                await self._prepare(wire, life)
                async with serving(self._folder, **settings) as server:
                    await self._live(server, wire, life)
                await self._look_at_books()
            async with serving(self._folder, **settings) as server:
                await self._settle(server, wire)
                await self._compare(server, wire, settings)
            self._count(wire)
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    async def _prepare(self, wire: RunwareProcess, life: Life) -> None:
        for prompt, scripts in life.scripts.items():
            await wire.script(prompt, *scripts)
        self.outcome.faults.update(life.faults)
        # In each life again: some may not have been at the provider in the one before.
        await wire.release(held_mark(life.group - 1))

    async def _live(self, server: ServerProcess, wire: RunwareProcess, life: Life) -> None:
        """Some jobs, answered; then the end, while further ones are on their way in."""
        before = await wire.counts()
        await self._customers.catch_up(server)
        await asyncio.gather(
            *(self._order(server, job) for job in life.jobs), self._customers.place(server, life.clips)
        )
        await self._customers.place(server, life.clips_behind)
        self.outcome.exposed += len(life.jobs) + len(life.clips) + len(life.clips_behind)
        await self._burst(wire, life)
        await self._reach(wire, life, before)
        ended, twice = self._customers.wanted_endings(), [plan for plan in life.clips if plan.twice]
        requests = 2 * len(life.late_jobs) + len(ended) + len(twice) + len(life.late_clips)
        heard = self._answers + int(life.heard * requests)
        late = asyncio.gather(
            *(self._order_late(server, job) for job in life.late_jobs),
            self._customers.end(server, ended),
            self._customers.place(server, [*twice, *life.late_clips]),
        )
        await self._bell.wait_until(
            lambda: self._answers >= heard or late.done(), what="answers", timeout=_PATIENCE
        )
        self.outcome.kills[life.signal.name] += 1
        self.outcome.moments[life.moment] += 1
        await server.end(life.signal)
        await late

    async def _burst(self, wire: RunwareProcess, life: Life) -> None:
        if life.burst == "none":
            return
        self.outcome.bursts[life.burst] += 1
        if life.burst == "handshakes refused":
            await wire.refuse_next(*life.handshakes)
        await wire.drop_connections()

    async def _reach(self, wire: RunwareProcess, life: Life, before: Json) -> None:
        """Wait until the provider has seen work of this life at this stage."""
        count = {"submitting": "submits", "waiting": "reads", "downloading": "downloads"}.get(life.moment)
        if count is None:
            return
        async with asyncio.timeout(_PATIENCE):
            while (await wire.counts())[count] < before[count] + life.seen:
                await asyncio.sleep(0.005)

    async def _order(self, server: ServerProcess, job: FourScenes) -> None:
        """What a client does: create, then generate; the answer counts only if it arrives."""
        scenes = {name: {"description": prompt, "approved": True} for name, prompt in job.prompts.items()}
        body, shown = {"product": "Lamp", "scene_descriptions": scenes}, self._tokens[job.user]
        session_id = (await server.post("/api/session/create", body, headers=shown))["session_id"]
        self._sessions[session_id] = job.user
        self._count_answer()
        wanted = {"session_id": session_id}
        started = await server.post("/api/videos/generate-scenes", wanted, headers=shown)
        self._jobs[started["job_id"]] = job.user
        self._count_answer()

    async def _order_late(self, server: ServerProcess, job: FourScenes) -> None:
        # KeyError: a server that is stopping answers with an error instead.
        with suppress(aiohttp.ClientError, ConnectionError, KeyError):
            await self._order(server, job)

    def _count_answer(self) -> None:
        self._answers += 1
        self._bell.ring()

    async def _look_at_books(self) -> None:
        waiting, wrong = await self._books.when_killed()
        self.outcome.waiting = min(self.outcome.waiting, waiting)
        self.outcome.contradictions += [it for it in wrong if it not in self.outcome.contradictions]

    async def _settle(self, server: ServerProcess, wire: RunwareProcess) -> None:
        """Everything that was acknowledged, or begun unheard, must end."""
        await self._customers.catch_up(server)
        await self._customers.end(server, self._customers.wanted_endings())
        for session_id, user in self._sessions.items():
            session = await server.get(f"/api/session/{session_id}", headers=self._tokens[user])
            for job in session["jobs"]:
                self._jobs[job["job_id"]] = user
        self.outcome.jobs = len(self._jobs)
        left, last = self._books.unsettled(), time.monotonic()
        while left and time.monotonic() < last + _PATIENCE:
            await wire.release(held_mark())
            await asyncio.sleep(0.05)
            if (now := self._books.unsettled()) != left:
                left, last = now, time.monotonic()

    async def _compare(
        self, server: ServerProcess, wire: RunwareProcess, settings: Mapping[str, str]
    ) -> None:
        """What users are shown, what is on record, and what the provider has made."""
        shown: set[str] = set()
        for job_id, user in self._jobs.items():
            job = await server.get(f"/api/videos/status/{job_id}", headers=self._tokens[user])
            if job["overall_status"] != "completed":
                self.outcome.not_completed.append(str(job))
            shown |= {_file_in(scene["video_url"]) for scene in job["scenes"] if scene["video_url"]}
        orders, clips = self._customers.orders, self._books.clips()
        for prompt, state in (await self._customers.states(server)).items():
            if state not in orders[prompt].possible:
                self.outcome.not_completed.append(f"{state}: {orders[prompt]}")
        shown |= {clip.file for clip in clips if clip.file}
        self._look_at_files(shown)
        told, due = await self._customers.balances(server), books.balances(clips, USERS)
        self.outcome.contradictions += [
            *self._customers.surprises,
            *books.contradictions(clips, orders, {charge.prompt for charge in wire.charges}),
            *(
                f"{account}: {told.get(account)}, not {due[account]}"
                for account in due
                if told[account] != due[account]
            ),
        ]
        code, said, errors = await scenewright(self._folder, "credits", "check", **settings)
        if code:
            self.outcome.contradictions.append(said + errors)
        self.outcome.side_by_side = most = self._books.side_by_side(wire.charges)
        if most > books.RUNNING:
            self.outcome.contradictions.append(f"{most} video jobs of one user side by side")
        self.outcome.clips = Counter(clip.terms for clip in clips)
        self.outcome.holds = Counter(clip.hold for clip in clips if clip.hold)
        self.outcome.replayed, self.outcome.endings = self._customers.replayed, self._customers.endings

    def _look_at_files(self, shown: set[str]) -> None:
        outputs = {file.name: file for file in (self._folder / "outputs").iterdir()}
        self.outcome.leftovers = sorted(outputs.keys() - shown)
        self.outcome.broken_files = [
            name for name in shown if name not in outputs or outputs[name].read_bytes() != self._film
        ]

    def _count(self, wire: RunwareProcess) -> None:
        paid = Counter(charge.prompt for charge in wire.charges)
        self.outcome.charges = paid.total()
        self.outcome.paid_twice = [prompt for prompt, times in paid.items() if times > 1]
        self.outcome.unpaid = 4 * len(self._jobs) - len(paid.keys() - self._customers.orders.keys())


def _file_in(address: str) -> str:
    """The name of the file; users' addresses are signed."""
    return address.partition("?")[0].rpartition("/")[2]


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
    print(f"seed {seed}")  # noqa: T201
    for line in outcome.report():
        print(line)  # noqa: T201
    return 1 if outcome.troubles else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=200)
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(_main(arguments.seed, arguments.kills, arguments.jobs)))
