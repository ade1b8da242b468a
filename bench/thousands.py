"""Thousands of scenes at once in one process, beside the SDK alone and beside an obvious FastAPI service.

python -m bench.thousands [--jobs 1000] [--seconds 5] [--rivals PYTHON] [--only NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import hdrs

from bench.house import (
    SCENARIOS,
    Client,
    Process,
    Wire,
    film,
    generating,
    mark,
    median,
    p99,
    scratch,
    service_process,
    table,
)
from bench.proc import Usage

CONNECTIONS = 64
#: jobs whose every change is watched, spread evenly over all; the others are only seen to their end
WATCHED = 100
#: how many of the others are waited for at a time
_TAILS = 8
#: the ends of scenes are spread over one second, so that they do not all fall just before a question
_SHIFTS = 8
_PATIENCE = 900.0
_RIVAL_PAUSE = 0.25
_RIVAL_PACKAGES = "fastapi 'uvicorn[standard]' httpx runware-sdk"


@dataclass(kw_only=True)
class Figures:
    """One contender. Times are seconds of the wall clock, scenes go by their prompt's mark."""

    name: str
    jobs: int
    started: float = 0.0  #: just before the first job was asked for
    finished: float = 0.0  #: by the contender's own clock
    seen: float = 0.0  #: when its client knew
    failed: int = 0  #: scenes
    noticed: dict[str, float] = field(default_factory=dict)  #: it was said that the provider is done
    completed: dict[str, float] = field(default_factory=dict)
    posts: list[float] = field(default_factory=list)  #: latencies of the jobs' POSTs
    pulse: dict[str, float] | None = None
    peak_mib: float | None = None
    cpu: float | None = None
    cpu_of_children: float | None = None
    cpu_of_wire: float | None = None


def tag_of(name: str, number: int) -> str:
    """Names a job in its prompts, and says to the provider how long its scenes take."""
    return f"{name}-{number} +{number % _SHIFTS}"


def seconds_of(prompt_mark: str, seconds: float) -> float:
    """What the provider takes for a scene."""
    return seconds - int(prompt_mark.partition("+")[2][0]) / _SHIFTS


def prompt_of(tag: str, scene: str) -> str:
    return f"A calm shot of the lamp {mark(tag, scene)}"


def mark_in(prompt: str) -> str:
    return prompt[prompt.index("[") : prompt.index("]") + 1]


# ---------------------------------------------------------------------- measuring a process


@contextlib.asynccontextmanager
async def metered(figures: Figures, usage: Usage, wire: Wire) -> AsyncIterator[None]:
    """Processor time of both sides meanwhile, and the contender's peak."""
    before = _cpu(usage, wire)
    yield
    spent = [
        None if a is None or b is None else b - a for a, b in zip(before, _cpu(usage, wire), strict=True)
    ]
    figures.cpu, figures.cpu_of_children, figures.cpu_of_wire = spent
    figures.peak_mib = usage.peak_mib()


def _cpu(usage: Usage, wire: Wire) -> list[float | None]:
    return [usage.cpu_seconds(), usage.cpu_seconds_of_children(), wire.usage.cpu_seconds()]


@contextlib.asynccontextmanager
async def pulse(figures: Figures, address: str, folder: Path) -> AsyncIterator[None]:
    """How long ``/healthz`` lets wait meanwhile."""
    async with Process("bench.pulse", f"{address}/healthz", log=folder / "pulse.log") as asking:
        yield
        figures.pulse = json.loads(await asking.ask())


async def by_workers(count: int, work: Callable[[int], Awaitable[None]], items: Iterable[int]) -> None:
    """All items, so many at a time, in order."""
    line = iter(items)

    async def worker() -> None:
        for item in line:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(worker())


# ---------------------------------------------------------------------- the service


class Crowd:
    """The clients of the service: they ask for the jobs, watch some, and see all to their end."""

    def __init__(self, figures: Figures, http: aiohttp.ClientSession) -> None:
        self._figures = figures
        self._http = http
        self._client = Client(http)
        step = max(1, figures.jobs // WATCHED)
        self._watched = set(range(0, figures.jobs, step))
        self._sessions: dict[int, str] = {}
        self._jobs: dict[int, str] = {}

    async def sessions(self) -> float:
        """All sessions, before the clock runs; seconds it took."""
        started = time.time()

        async def create(number: int) -> None:
            self._sessions[number] = await self._client.session(tag_of(self._figures.name, number))

        await by_workers(CONNECTIONS, create, range(self._figures.jobs))
        return time.time() - started

    async def run(self) -> None:
        """From the first POST until every job is over."""
        self._figures.started = time.time()
        async with asyncio.TaskGroup() as group:

            async def generate(number: int) -> None:
                asked = time.time()
                self._jobs[number] = await self._client.generate(self._sessions[number])
                self._figures.posts.append(time.time() - asked)
                if number in self._watched:
                    group.create_task(self._see(number))

            await by_workers(CONNECTIONS, generate, range(self._figures.jobs))
            others = (number for number in range(self._figures.jobs) if number not in self._watched)
            await by_workers(_TAILS, self._see, others)
        self._figures.seen = time.time()

    async def _see(self, number: int) -> None:
        """Wait for one change after the other until the job is over."""
        path, known = f"/api/videos/status/{self._jobs[number]}", ""
        while True:
            headers = {hdrs.IF_NONE_MATCH: known} if known else {}
            async with self._http.get(
                path, params={"wait": "25"} if known else {}, headers=headers
            ) as answer:
                answer.raise_for_status()
                known = answer.headers[hdrs.ETAG]
                if answer.status == HTTPStatus.NOT_MODIFIED:
                    continue
                status = await answer.json()
            self._note(number, status)
            if not generating(status):
                break
        ended = datetime.fromisoformat(status["finished_at"]).timestamp()
        self._figures.finished = max(self._figures.finished, ended)
        self._figures.failed += sum(scene["status"] != "completed" for scene in status["scenes"])

    def _note(self, number: int, status: dict[str, Any]) -> None:
        if number not in self._watched:
            return
        now, tag = time.time(), tag_of(self._figures.name, number)
        for scene in status["scenes"]:
            known_as = mark(tag, scene["scenario"])
            if scene["stage"] in {"generated", "downloaded", "complete"}:
                self._figures.noticed.setdefault(known_as, now)
            if scene["status"] == "completed":
                self._figures.completed.setdefault(known_as, now)


async def the_service(folder: Path, wire: Wire, jobs: int) -> Figures:
    figures = Figures(name="the service", jobs=jobs)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS + WATCHED * 2)
    async with (
        service_process(folder, wire) as service,
        aiohttp.ClientSession(
            service.address, connector=connector, timeout=aiohttp.ClientTimeout(total=None)
        ) as http,
    ):
        crowd = Crowd(figures, http)
        took = await crowd.sessions()
        print(f"{jobs} sessions created in {took:.1f} s", flush=True)
        async with metered(figures, service.usage, wire), pulse(figures, service.address, folder):
            await crowd.run()
    return figures


# ---------------------------------------------------------------------- the SDK alone


async def the_sdk(folder: Path, wire: Wire, jobs: int, *, download: bool) -> Figures:
    figures = Figures(name="SDK and download" if download else "SDK run()", jobs=jobs)
    here = folder / figures.name
    here.mkdir()
    prompts, result, log = here / "prompts.txt", here / "result.json", here / "log.txt"
    tags = (tag_of(figures.name, number) for number in range(jobs))
    lines = [prompt_of(tag, scene) for tag in tags for scene in SCENARIOS]
    prompts.write_text("\n".join(lines), encoding="utf-8")
    arguments = [f"127.0.0.1:{wire.port}", str(result), str(prompts), *([str(here)] if download else [])]
    async with (
        Process("bench.sdk_alone", *arguments, log=log) as alone,
        metered(figures, alone.usage, wire),
    ):
        await alone.ask()
        figures.seen = time.time()
    told = json.loads(result.read_text(encoding="utf-8"))
    figures.started, figures.failed = told["started"], told["failed"]
    figures.noticed = {mark_in(prompt): at for prompt, at in told["noticed"].items()}
    figures.completed = {mark_in(prompt): at for prompt, at in told["completed"].items()}
    figures.finished = max((told["completed"] or told["noticed"]).values(), default=figures.seen)
    if figures.failed:
        print(f"{figures.name}: {log.read_text(encoding='utf-8')[:1000]}", file=sys.stderr)
    return figures


# ---------------------------------------------------------------------- the obvious service


async def the_obvious(folder: Path, wire: Wire, jobs: int, python: str) -> Figures:
    figures = Figures(name="obvious FastAPI", jobs=jobs)
    here = folder / "obvious"
    here.mkdir()
    arguments = (f"127.0.0.1:{wire.port}", str(here))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with (
        Process("bench.obvious_fastapi", *arguments, log=here / "log.txt", python=python) as rival,
        aiohttp.ClientSession(rival.address, connector=connector) as http,
        metered(figures, rival.usage, wire),
        pulse(figures, rival.address, folder),
    ):
        await _crowd_of_rival(figures, http)
    return figures


async def _crowd_of_rival(figures: Figures, http: aiohttp.ClientSession) -> None:
    started: dict[int, str] = {}

    async def generate(number: int) -> None:
        tag, asked = tag_of(figures.name, number), time.time()
        prompts = {scene: prompt_of(tag, scene) for scene in SCENARIOS}
        async with http.post("/api/videos/generate-scenes", json={"prompts": prompts}) as answer:
            answer.raise_for_status()
            started[number] = (await answer.json())["job_id"]
        figures.posts.append(time.time() - asked)

    async def see(number: int) -> None:
        while True:
            async with http.get(f"/api/videos/status/{started[number]}") as answer:
                status = await answer.json()
            if not generating(status):
                break
            await asyncio.sleep(_RIVAL_PAUSE)
        for scene in status["scenes"]:
            known_as = mark(tag_of(figures.name, number), scene["scenario"])
            if scene["status"] != "completed":
                if not figures.failed:
                    print(f"{figures.name}: {scene['error'][:1000]}", file=sys.stderr)
                figures.failed += 1
                continue
            figures.noticed[known_as] = scene["generated_at"]
            figures.completed[known_as] = scene["completed_at"]

    figures.started = time.time()
    await by_workers(CONNECTIONS, generate, range(figures.jobs))
    await by_workers(_TAILS, see, range(figures.jobs))
    figures.seen = time.time()
    figures.finished = max(figures.completed.values(), default=figures.seen)


def missing(python: str) -> str | None:
    """Why the rival cannot run."""
    test = [python, "-c", "import fastapi, uvicorn, httpx, runware"]
    asked = subprocess.run(test, capture_output=True, text=True, check=False)
    return asked.stderr.strip().rpartition("\n")[2] if asked.returncode else None


# ---------------------------------------------------------------------- all of it


def report(contenders: Sequence[Figures], wire: Wire, jobs: int, seconds: float) -> None:
    ends = {
        known_as: charge.at.timestamp() + seconds_of(known_as, seconds)
        for charge in wire.charges
        for known_as in [mark_in(charge.prompt)]
    }
    title = f"{jobs} jobs, {4 * jobs} scenes of {seconds:g} s at once"
    use = ("wall", "x S", "client saw", "failed", "peak MiB", "CPU s", "children s", "CPU ms/scene")
    table(title, ("contender", *use, "provider CPU s"), [_use(it, seconds) for it in contenders])
    lags = ("scenes", "noticed: median", "p99", "completed: median", "p99")
    table("After the provider is done, ms", ("contender", *lags), [_lags(it, ends) for it in contenders])
    answers = ("POST: median", "p99", "healthz: median", "p99", "worst")
    table("Answers meanwhile, ms", ("contender", *answers), [_answers(it) for it in contenders if it.posts])


def _use(it: Figures, seconds: float) -> list[str]:
    wall, cpu = it.finished - it.started, (it.cpu or 0) + (it.cpu_of_children or 0)
    line = [it.name, f"{wall:.1f}", f"{wall / seconds:.2f}", f"{it.seen - it.started:.1f}", str(it.failed)]
    line += [_figure(it.peak_mib), _figure(it.cpu), _figure(it.cpu_of_children)]
    return [*line, f"{cpu / it.jobs / 4 * 1000:.1f}", _figure(it.cpu_of_wire)]


def _lags(it: Figures, ends: dict[str, float]) -> list[str]:
    noticed = [at - ends[known_as] for known_as, at in it.noticed.items()]
    completed = [at - ends[known_as] for known_as, at in it.completed.items()]
    return [it.name, str(len(noticed)), *_median_and_p99(noticed), *_median_and_p99(completed)]


def _answers(it: Figures) -> list[str]:
    beats = (
        [f"{it.pulse[name] * 1000:,.0f}" for name in ("median", "p99", "worst")] if it.pulse else ["-"] * 3
    )
    return [it.name, *_median_and_p99(it.posts), *beats]


def _median_and_p99(lags: Sequence[float]) -> list[str]:
    return [f"{value(lags) * 1000:,.0f}" for value in (median, p99)] if len(lags) > 1 else ["-", "-"]


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


async def bench(folder: Path, jobs: int, seconds: float, rivals: str, only: str) -> None:
    video = await film(folder, small=True)
    contenders: list[tuple[str, Callable[[Wire], Awaitable[Figures]]]] = [
        ("service", lambda wire: the_service(folder, wire, jobs)),
        ("sdk", lambda wire: the_sdk(folder, wire, jobs, download=False)),
        ("sdk-download", lambda wire: the_sdk(folder, wire, jobs, download=True)),
    ]
    if reason := missing(rivals):
        print(f"SKIPPED: obvious FastAPI, because {rivals} says: {reason}")
        print(f"         In a venv of its own: pip install {_RIVAL_PACKAGES}; then --rivals VENV/bin/python")
    else:
        contenders.append(("fastapi", lambda wire: the_obvious(folder, wire, jobs, rivals)))
    async with Wire(folder, "--video", str(video)) as wire, asyncio.timeout(_PATIENCE):
        for shift in range(_SHIFTS):
            await wire.script(f" +{shift} ", {"seconds": seconds_of(f"+{shift}", seconds)})
        figures = [await run(wire) for name, run in contenders if only in {"", name}]
        report(figures, wire, jobs, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.thousands")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0, help="S, what the slowest scenes take")
    parser.add_argument("--rivals", default=sys.executable, help="a Python that has FastAPI")
    parser.add_argument("--only", default="", help="service, sdk, sdk-download or fastapi")
    given = parser.parse_args()
    with scratch() as folder:
        asyncio.run(bench(folder, given.jobs, given.seconds, given.rivals, given.only))


if __name__ == "__main__":
    main()
