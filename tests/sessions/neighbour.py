"""Another process on the same database: ``python -m tests.sessions.neighbour FILE WHAT NUMBER``.

It says "ready", waits for a line, does its work, and says what came of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sessions.database import Database
from sessions.errors import InsufficientCredit
from sessions.model import Scene
from sessions.store import Superseded
from tests.sessions.buying import VERBS, clips, granted, purchase


async def spend(database: Database, number: int) -> int:
    """Try to buy ``number`` clips at once; answers how many were bought."""

    async def one() -> bool:
        try:
            await database.create_job(*clips(), purchase=purchase())
        except InsufficientCredit:
            return False
        return True

    return sum(await asyncio.gather(*(one() for _ in range(number))))


async def give(database: Database, number: int) -> int:
    """Grant one token at a time, saying so each time."""
    for done in range(1, number + 1):
        await granted(database, 1)
        print(done, flush=True)  # noqa: T201 - whoever started this reads it
    return number


async def cancel(database: Database, _: int) -> int:
    """Cancel whatever is unfinished; answers how many jobs."""
    jobs = await database.unfinished_jobs()

    async def one(job_id: str) -> None:
        snapshot = await database.job(job_id)
        assert snapshot is not None
        await database.cancel(job_id, [scene.id for scene in snapshot.scenes], snapshot.job.created_at)

    await asyncio.gather(*map(one, jobs))
    return len(jobs)


async def applied(database: Database, verb: str, scenes: list[Scene]) -> int:
    """Let the same happen to all the scenes at once; answers to how many it did."""

    async def one(scene: Scene) -> bool:
        try:
            await database.apply(VERBS[verb](scene))
        except Superseded:
            return False
        return True

    return sum(await asyncio.gather(*map(one, scenes)))


class Neighbour:
    """The other process, as seen from here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def neighbour(database: Database, what: str, number: int = 0) -> AsyncIterator[Neighbour]:
    """Another process that is ready to do ``what``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.sessions.neighbour",
        str(database.path),
        what,
        str(number),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    other = Neighbour(process)
    try:
        assert await other.line() == "ready"
        yield other
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _main(file: str, what: str, number: str) -> None:
    database = Database(f"sqlite:///{file}")
    await database.open_beside()
    print("ready", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)
    work = {"spend": spend, "give": give, "cancel": cancel}[what]
    print("done", await work(database, int(number)), flush=True)  # noqa: T201
    await database.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
