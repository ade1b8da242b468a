"""From the request to the provider, and from the provider to the frontend.

python -m bench.main_road
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from runware import Runware

from bench.house import (
    API_KEY,
    SCENARIOS,
    Client,
    film,
    generating,
    mark,
    median,
    p95,
    scratch,
    service_process,
    table,
)
from bench.sdk_alone import video_task
from service.logs import configure_logging
from service.providers.base import VideoTask
from service.providers.runware import RunwareProvider
from service.settings import Settings, load_settings
from tests.wire.process import RunwareProcess

SUBMITTED_JOBS = 50
ALONE_JOBS = 5
CROWD_JOBS = 20
#: what the provider takes for a job's four scenes, before each is shifted (see ``provider_seconds``)
PROVIDER_SECONDS = (1.0, 2.0, 3.0, 4.0)

#: pause between two polls of the watching frontend
_ALONE_PAUSE = 0.02
_CROWD_PAUSE = 0.1

_MODEL = "klingai:kling-video@3-standard"
_STAGES = ("generated", "downloaded", "complete")


def provider_seconds(number: int, jobs: int) -> dict[str, float]:
    """The provider's time for each scene of one job.

    Whole seconds would always end just before the service's next question, which it asks
    once a second. So the ends are spread evenly over such a second.
    """
    spread = {scene: ((number + 0.5) / jobs + 0.25 * at) % 1 - 0.5 for at, scene in enumerate(SCENARIOS)}
    return {scene: PROVIDER_SECONDS[at] + spread[scene] for at, scene in enumerate(SCENARIOS)}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One job as its frontend saw it. Times are seconds of the wall clock."""

    tag: str
    seconds: dict[str, float]  #: scenario -> what the provider takes
    asked: float  #: just before the request to generate
    seen: dict[tuple[str, str], float]  #: (scenario, stage) -> first poll that showed it, or a later one
    closed: float  #: first poll that showed the whole job as completed

    @property
    def wall_ratio(self) -> float:
        return (self.closed - self.asked) / max(self.seconds.values())


# ---------------------------------------------------------------------- from the request to the provider


async def first_half(client: Client, provider: RunwareProvider, wire: RunwareProcess) -> list[list[str]]:
    """Jobs, and the same four submissions without the service, in turns."""
    await wire.script("[sent-", {"fail_code": "providerError"})  # over at once, nothing to download
    asked: dict[str, float] = {}
    answered = []
    for number in range(SUBMITTED_JOBS):
        tag = f"sent-{number}"
        session_id = await client.session(tag)
        asked[tag] = time.time()
        job_id = await client.generate(session_id)
        answered.append(time.time() - asked[tag])
        await client.closed(job_id)
        tag = f"bare-{number}"
        asked[tag] = time.time()
        await asyncio.gather(*(provider.submit(_task(tag, scene)) for scene in SCENARIOS))
    arrived = arrivals(wire)
    ours = [_delays(arrived, asked, f"sent-{number}") for number in range(SUBMITTED_JOBS)]
    bare = [_delays(arrived, asked, f"bare-{number}") for number in range(SUBMITTED_JOBS)]
    return [
        _submit_row("first submit", [it[0] for it in ours], [it[0] for it in bare]),
        _submit_row("all four submits", [it[-1] for it in ours], [it[-1] for it in bare]),
        ["answer to the client", _ms(median(answered)), _ms(p95(answered)), "", ""],
    ]


def arrivals(wire: RunwareProcess) -> dict[str, float]:
    """Bracketed part of a prompt -> when the provider accepted it, by the provider's clock."""
    found = {}
    for charge in wire.charges:
        start = charge.prompt.index("[")
        found[charge.prompt[start : charge.prompt.index("]", start) + 1]] = charge.at.timestamp()
    return found


def _delays(arrived: dict[str, float], asked: dict[str, float], tag: str) -> list[float]:
    return sorted(arrived[mark(tag, scene)] - asked[tag] for scene in SCENARIOS)


def _task(tag: str, scene: str) -> VideoTask:
    prompt = f"A calm shot of the lamp {mark(tag, scene)}"
    return VideoTask(
        id=str(uuid.uuid4()),
        prompt=prompt,
        model=_MODEL,
        seconds=5.0,
        width=1280,
        height=720,
        scenario=scene,
        take=1,
    )


def _submit_row(name: str, ours: Sequence[float], bare: Sequence[float]) -> list[str]:
    ratio = median(ours) / median(bare)
    return [name, _ms(median(ours)), _ms(p95(ours)), _ms(median(bare)), f"{ratio:.1f}"]


# ---------------------------------------------------------------------- whole jobs


async def alone(client: Client, wire: RunwareProcess) -> tuple[list[Run], list[float]]:
    """Jobs one after another; beside each, the same four scenes by the SDK's ``run()`` alone."""
    runs, walls = [], []
    async with Runware(api_key=API_KEY, ws_base_url=wire.ws_url, http_base_url=wire.http_url) as sdk:
        beside: list[asyncio.Task[float]] = []
        for number in range(ALONE_JOBS):
            seconds = provider_seconds(number, ALONE_JOBS)
            tag = f"alone-{number}"
            await _script(wire, tag, seconds)
            await _script(wire, f"sdk-{number}", seconds)
            session_id = await client.session(tag)
            beside.append(asyncio.create_task(_sdk_wall(sdk, f"sdk-{number}"), name="sdk"))
            runs.append(await watch(client, tag, session_id, seconds, pause=_ALONE_PAUSE))
        for run, wall in zip(runs, await asyncio.gather(*beside), strict=True):
            walls.append(wall / max(run.seconds.values()))
    return runs, walls


async def called_back(client: Client, wire: RunwareProcess) -> list[Run]:
    """Jobs one after another, with the provider calling when a task has ended."""
    runs = []
    for number in range(ALONE_JOBS):
        seconds, tag = provider_seconds(number, ALONE_JOBS), f"called-{number}"
        await _script(wire, tag, seconds)
        runs.append(await watch(client, tag, await client.session(tag), seconds, pause=_ALONE_PAUSE))
    return runs


async def crowd(client: Client, wire: RunwareProcess) -> list[Run]:
    """Jobs at once."""
    ready = []
    for number in range(CROWD_JOBS):
        seconds, tag = provider_seconds(number, CROWD_JOBS), f"crowd-{number}"
        await _script(wire, tag, seconds)
        ready.append((tag, await client.session(tag), seconds))
    return await asyncio.gather(*(watch(client, *it, pause=_CROWD_PAUSE) for it in ready))


async def watch(client: Client, tag: str, session_id: str, seconds: dict[str, float], *, pause: float) -> Run:
    """Generate and poll until it is over."""
    asked = time.time()
    job_id = await client.generate(session_id)
    seen: dict[tuple[str, str], float] = {}
    async with asyncio.timeout(50):
        while generating(status := await client.status(job_id)):
            _note(seen, status)
            await asyncio.sleep(pause)
    _note(seen, status)
    if status["overall_status"] != "completed":
        raise SystemExit(f"{tag}: {status}")
    return Run(tag=tag, seconds=seconds, asked=asked, seen=seen, closed=time.time())


def _note(seen: dict[tuple[str, str], float], status: dict[str, Any]) -> None:
    """A stage that no poll saw counts as seen together with the next."""
    now = time.time()
    for scene in status["scenes"]:
        if scene["stage"] in _STAGES:
            for stage in _STAGES[: _STAGES.index(scene["stage"]) + 1]:
                seen.setdefault((scene["scenario"], stage), now)


async def _script(wire: RunwareProcess, tag: str, seconds: dict[str, float]) -> None:
    for scene, value in seconds.items():
        await wire.script(mark(tag, scene), {"seconds": value})


async def _sdk_wall(sdk: Runware, tag: str) -> float:
    """How long four scenes take with the SDK's own waiting, without download or anything kept."""
    started = time.time()
    await asyncio.gather(
        *(sdk.run(video_task(f"A calm shot of the lamp {mark(tag, scene)}")) for scene in SCENARIOS)
    )
    return time.time() - started


def wall_row(name: str, ratios: Sequence[float]) -> list[str]:
    return [name, str(len(ratios)), f"{median(ratios):.2f}", f"{max(ratios):.2f}"]


def lag_rows(name: str, runs: Iterable[Run], arrived: dict[str, float], pause: float) -> list[list[str]]:
    """What the service adds before and after the provider; the ratio is to the pause between questions."""
    before, whole, parts = [], [], {stage: list[float]() for stage in _STAGES}
    for run in runs:
        for scene, seconds in run.seconds.items():
            accepted = arrived[mark(run.tag, scene)]
            before.append(accepted - run.asked)
            last = done = accepted + seconds
            for stage in _STAGES:
                at = run.seen[scene, stage]
                parts[stage].append(at - last)
                last = at
            whole.append(last - done)
    names = ("noticed", "downloaded, checked, on disk", "put on record")
    return [
        _lag_row(f"{name}: asked to submitted", before, pause),
        _lag_row(f"{name}: done to completed", whole, pause),
        *(_lag_row(f"  {text}", parts[stage], pause) for text, stage in zip(names, _STAGES, strict=True)),
    ]


def _lag_row(name: str, lags: Sequence[float], pause: float) -> list[str]:
    return [name, str(len(lags)), _ms(median(lags)), _ms(p95(lags)), f"{median(lags) / pause:.2f}"]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}" if seconds >= 0.1 else f"{seconds * 1000:.1f}"


# ---------------------------------------------------------------------- all of it


@contextlib.asynccontextmanager
async def _adapter(settings: Settings) -> AsyncIterator[RunwareProvider]:
    provider = RunwareProvider(settings.runware)
    await provider.open()
    try:
        yield provider
    finally:
        await provider.close()


async def bench(folder: Path) -> None:
    video = await film(folder)
    async with RunwareProcess(folder, "--video", str(video)) as wire:
        runware = {"api_key": API_KEY, "ws_url": wire.ws_url, "http_url": wire.http_url}
        settings = load_settings({"runware": runware, "log": {"level": "error"}}, environ={})
        configure_logging(settings.log)
        async with (
            service_process(folder, wire) as service,
            aiohttp.ClientSession(base_url=service.address) as http,
        ):
            client = Client(http)
            async with _adapter(settings) as provider:
                submits = await first_half(client, provider, wire)
            one_by_one, sdk = await alone(client, wire)
            at_once = await crowd(client, wire)
        (folder / "called").mkdir()
        async with (
            service_process(folder / "called", wire, called_back=True) as service,
            aiohttp.ClientSession(base_url=service.address) as http,
        ):
            called = await called_back(Client(http), wire)
        arrived = arrivals(wire)
    head = ("POST generate-scenes until", "median ms", "p95 ms", "adapter alone ms", "ratio")
    table(f"{SUBMITTED_JOBS} jobs, each beside four submissions by the adapter alone", head, submits)
    walls = [
        wall_row("one job at a time", [run.wall_ratio for run in one_by_one]),
        wall_row(f"{CROWD_JOBS} jobs at once", [run.wall_ratio for run in at_once]),
        wall_row("the SDK's run(), no download", sdk),
    ]
    slowest = PROVIDER_SECONDS[-1]
    title = f"Wall time of a job / its slowest scene's time at the provider, {slowest:g} s +- 0.5"
    table(title, ("", "jobs", "median", "worst"), walls)
    pause = settings.runware.poll_seconds
    lags = [
        *lag_rows("one job at a time", one_by_one, arrived, pause),
        *lag_rows(f"{CROWD_JOBS} jobs at once", at_once, arrived, pause),
        *lag_rows("one job at a time, with webhooks", called, arrived, pause),
    ]
    head = ("before and after the provider", "scenes", "median ms", "p95 ms", f"median / {pause:g} s")
    table(f"The service asks the provider every {pause:g} s", head, lags)


def main() -> None:
    with scratch() as folder:
        asyncio.run(bench(folder))


if __name__ == "__main__":
    main()
