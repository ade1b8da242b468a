"""A real ``scenewright serve`` process, to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.house import Answer

#: the file of the process, in its folder
DATABASE = "process.db"

_ADDRESS = re.compile(r"listens on (\S+)")

#: previews that render in a third of a second
SMALL_PREVIEWS = """
[models."local:preview@1"]
default_seconds = 1
sizes = { "16:9" = [256, 144] }
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What the process sees: nothing of ours but the settings."""
    (folder / "small.toml").write_text(SMALL_PREVIEWS)
    return {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SCENEWRIGHT", "RUNWARE"))
        },
        "SCENEWRIGHT_CONFIG": str(folder / "small.toml"),
        "SCENEWRIGHT_SERVER__PORT": "0",
        "SCENEWRIGHT_DATABASE__URL": f"sqlite:///{folder / DATABASE}",
        "SCENEWRIGHT_OUTPUTS__DIR": str(folder / "outputs"),
        "SCENEWRIGHT_LOCAL__PRESET": "ultrafast",
        "SCENEWRIGHT_DOWNLOADS__PAUSE_SECONDS": "0.05",
        "SCENEWRIGHT_RUNWARE__POLL_SECONDS": "0.05",
        **more,
    }


async def scenewright(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Run the command to its end: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service",
        *arguments,
        env=environment(folder, **more),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), timeout=90)
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


class ServerProcess:
    """One life of the server."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.address = address

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; a body that is no bytes goes as JSON."""
        how: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with (
            aiohttp.ClientSession(self.address) as client,
            client.request(method, path, headers=headers, **how) as answer,
        ):
            text = await answer.read()
            content = json.loads(text) if answer.content_type == "application/json" and text else None
            return Answer(status=answer.status, headers=answer.headers, body=text, json=content)

    async def post(
        self, path: str, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> Any:
        return (await self.ask("POST", path, body=body, headers=headers)).json

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Any:
        return (await self.ask("GET", path, headers=headers)).json

    async def finished(
        self, job_id: str, *, patience: float = 60.0, headers: Mapping[str, str] | None = None
    ) -> Any:
        path = f"/api/videos/status/{job_id}"
        async with asyncio.timeout(patience):
            while (job := await self.get(path, headers=headers))["overall_status"] == "generating":
                await asyncio.sleep(0.05)
        return job

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; answers the exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), timeout=15)


@asynccontextmanager
async def serving(folder: Path, **more: str) -> AsyncIterator[ServerProcess]:
    with (folder / "serve.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service",
            "serve",
            env=environment(folder, **more),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), timeout=30)).decode()
        found = _ADDRESS.search(line)
        assert found, (line, (folder / "serve.log").read_text()[-2000:])
        yield ServerProcess(process, found[1])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "serve.log").read_text().splitlines()]
