"""``scenewright demo``: the main road, end to end, as a client of the service's own HTTP API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.app import listening, open_service
from service.settings import Settings

#: pause between two looks at the job, in seconds
_LOOK = 0.25

BRIEF = {
    "product": "Dawn, the lamp that wakes you like a sunrise",
    "audience": "people who hate their alarm clock",
    "tone": "warm, a little funny",
    "offer": "30 nights free",
}


class DemoFailed(Exception):
    """The service answered with an error."""


async def run_demo(settings: Settings, *, usual_port: int, command: str) -> int:
    """Make four videos from the built-in brief; answers the exit code.

    The demo serves on a port of its own; ``usual_port`` is where ``command`` would serve.
    """
    console = Console()
    where = (
        "rendered on this machine, free" if settings.active_provider == "local" else "made by Runware, paid"
    )
    console.print(f"[bold]Scenewright demo[/] · provider: {settings.active_provider} ({where})")
    async with (
        open_service(settings) as service,
        listening(service, settings.server) as address,
        aiohttp.ClientSession(base_url=address) as client,
    ):
        console.print(f"Serving on {address}")
        try:
            session_id = await _prepare(client, console)
            job_id = (await _post(client, "/api/videos/generate-scenes", {"session_id": session_id}))[
                "job_id"
            ]
            job = await _watch(client, console, job_id)
        except DemoFailed as error:
            console.print(f"[red]It did not work out:[/] {escape(str(error))}")
            return 1
    code = _report(console, settings, job)
    page = f"http://{settings.server.host}:{usual_port}/?session={session_id}"
    console.print(f"Watch them: run `{command} serve`, then open {page}", soft_wrap=True, highlight=False)
    return code


async def _prepare(client: aiohttp.ClientSession, console: Console) -> str:
    """A session with four approved descriptions."""
    session_id: str = (await _post(client, "/api/session/create", BRIEF))["session_id"]
    console.print(f"Brief: {BRIEF['product']} · {BRIEF['audience']} · {BRIEF['offer']}")
    written = await _post(client, "/api/scenes/generate-descriptions", {"session_id": session_id})
    for scene in written["scene_descriptions"]:
        console.print(f"  [bold]{scene['scenario']:9}[/]{escape(scene['description'])}")
    await _post(client, f"/api/session/{session_id}/approve", {})
    return session_id


async def _watch(client: aiohttp.ClientSession, console: Console, job_id: str) -> dict[str, Any]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[scenario]:9}"),
        BarColumn(bar_width=40),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[stage]:12}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars: dict[str, Any] = {}
        while True:
            async with client.get(f"/api/videos/status/{job_id}") as answer:
                job: dict[str, Any] = await answer.json()
            for scene in job["scenes"]:
                name = scene["scenario"]
                if name not in bars:
                    bars[name] = progress.add_task("", total=100, scenario=name, stage="")
                stage = "failed" if scene["status"] == "failed" else scene["stage"]
                progress.update(bars[name], completed=scene["progress"], stage=stage)
            if job["overall_status"] != "generating":
                return job
            await asyncio.sleep(_LOOK)


def _report(console: Console, settings: Settings, job: dict[str, Any]) -> int:
    for scene in job["scenes"]:
        if scene["video_url"]:
            file = settings.outputs.dir.absolute() / scene["video_url"].rpartition("/")[2]
            console.print(f"  {scene['scenario']:9} {escape(str(file))}", soft_wrap=True, highlight=False)
        else:
            console.print(f"  {scene['scenario']:9} [red]{escape(scene['error'])}[/]", highlight=False)
    costs = [scene["cost_usd"] for scene in job["scenes"] if scene["cost_usd"]]
    if costs:
        console.print(f"The provider charged ${sum(costs):.2f}")
    return 0 if job["overall_status"] == "completed" else 1


async def _post(client: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with client.post(path, json=body) as answer:
        found: dict[str, Any] = json.loads(await answer.read())
    if not found.get("success"):
        raise DemoFailed(found.get("error"))
    return found
