"""The service with its SQL statements counted, and with as many live jobs as one likes.

    python -m bench.served CONFIG

Lines on standard input, each answered with one line:

(empty)         the number of SQL statements so far
JOB COUNT       there are COUNT more live jobs like JOB, called ``like(JOB, 1)`` to ``like(JOB, COUNT)``;
                they are as that one is in memory, but nobody works on them
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from service.app import listening, open_service
from service.live import Live
from service.logs import configure_logging
from service.settings import Settings, load_settings


def like(job_id: str, number: int) -> str:
    """The id of one of the jobs that were made like another."""
    return str(uuid.uuid5(uuid.UUID(job_id), str(number)))


def _multiply(live: Live, job_id: str, count: int) -> None:
    found = live.get(job_id)
    assert found is not None, "a job that runs"
    for number in range(1, count + 1):
        job = replace(found.snapshot.job, id=like(job_id, number))
        scenes = tuple(replace(it, id=str(uuid.uuid4()), job_id=job.id) for it in found.snapshot.scenes)
        live.add(replace(found.snapshot, job=job, scenes=scenes))


async def _serve(settings: Settings) -> None:
    counter = itertools.count(1)
    executed = 0

    @event.listens_for(Engine, "before_cursor_execute")
    def count(*_: Any) -> None:
        nonlocal executed
        executed = next(counter)

    async with open_service(settings) as service, listening(service, settings.server) as address:
        print(address, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if order := line.split():
                _multiply(service.live, order[0], int(order[1]))
            print(executed, flush=True)


def main() -> None:
    settings = load_settings(config=Path(sys.argv[1]))
    configure_logging(settings.log)
    asyncio.run(_serve(settings))


if __name__ == "__main__":
    main()
