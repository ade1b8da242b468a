"""What the benches share: the service as a process of its own, a film, and tables."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from bench.proc import Usage
from service.media.workers import MediaWorkers, SceneSpec
from tests.wire.process import RunwareProcess

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = ("hook", "problem", "solution", "cta")
API_KEY = "test-key"

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class Process:
    """A server as a child process; the first line of its output that names an address tells that it is up."""

    def __init__(self, module: str, *arguments: str, log: Path, python: str = sys.executable) -> None:
        self.address = ""
        self._command = (python, "-m", module, *arguments)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                env=_environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        async with asyncio.timeout(_START_SECONDS):
            while not (found := _ADDRESS.search(await self._line())):
                pass
        self.address = found.group()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        process = self._running
        if process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process

    async def ask(self, question: str = "") -> str:
        """A line on its standard input, and the line it answers."""
        assert self._running.stdin is not None
        self._running.stdin.write(f"{question}\n".encode())
        await self._running.stdin.drain()
        return (await self._line()).strip()

    @property
    def usage(self) -> Usage:
        """Processor time and memory of it."""
        return Usage(self._running.pid)

    async def _line(self) -> str:
        assert self._running.stdout is not None
        line = await self._running.stdout.readline()
        if not line:
            raise SystemExit(f"{self._command[2]} ended:\n{self._log.read_text(encoding='utf-8')[-2000:]}")
        return line.decode()


class Wire(RunwareProcess):
    """The provider, and what it costs."""

    @property
    def usage(self) -> Usage:
        assert self._process is not None
        return Usage(self._process.pid)


def service_process(folder: Path, wire: RunwareProcess, *, called_back: bool = False) -> Process:
    """``scenewright serve``, its settings at their defaults but for the rates, against ``wire``."""
    arguments = ("serve", "--config", str(service_config(folder, wire, called_back=called_back)))
    return Process("service", *arguments, log=folder / "service.log")


def service_config(folder: Path, wire: RunwareProcess, *, called_back: bool = False) -> Path:
    """A file with nothing in it but where things are, and no rates; ``called_back``: the provider knows the
    address.
    """
    config = folder / "bench.toml"
    port = _free_port() if called_back else 0
    public_url = f"http://127.0.0.1:{port}" if called_back else ""
    config.write_text(
        f'provider = "runware"\n'
        f'[server]\nport = {port}\npublic_url = "{public_url}"\n'
        f'[database]\nurl = "sqlite:///{folder / "bench.db"}"\n'
        f'[outputs]\ndir = "{folder / "outputs"}"\n'
        f'[images]\ndir = "{folder / "uploads"}"\n'
        "[rates]\nreads_per_path = 0\nreads = 0\ncreates = 0\n"  # one client here is a crowd elsewhere
        f'[runware]\nws_url = "{wire.ws_url}"\nhttp_url = "{wire.http_url}"\n',
        encoding="utf-8",
    )
    return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """A frontend of the scenes contract."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._http = session

    async def session(self, tag: str) -> str:
        """A session whose four prompts carry ``tag`` and their scenario in brackets."""
        texts = {name: f"A calm shot of the lamp {mark(tag, name)}" for name in SCENARIOS}
        scenes = {name: {"description": text, "approved": True} for name, text in texts.items()}
        body = await self._post("/api/session/create", {"product": "Lamp", "scene_descriptions": scenes})
        return str(body["session_id"])

    async def generate(self, session_id: str) -> str:
        """Starts all scenes; answers the job."""
        return str((await self._post("/api/videos/generate-scenes", {"session_id": session_id}))["job_id"])

    async def status(self, job_id: str) -> dict[str, Any]:
        """One poll."""
        async with self._http.get(f"/api/videos/status/{job_id}") as response:
            response.raise_for_status()
            found: dict[str, Any] = await response.json()
        return found

    async def closed(self, job_id: str) -> None:
        """Returns once no scene is generating any more."""
        async with asyncio.timeout(30):
            while generating(await self.status(job_id)):  # noqa: ASYNC110 - that is what a frontend does
                await asyncio.sleep(0.01)

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._http.post(path, json=body) as response:
            answer: dict[str, Any] = await response.json()
            if response.status != 200:
                raise SystemExit(f"{path}: {response.status} {answer}")
        return answer


def mark(tag: str, scenario: str) -> str:
    """Part of a prompt by which the provider's script and journal know the scene."""
    return f"[{tag} {scenario}]"


def generating(status: Mapping[str, Any]) -> bool:
    return bool(status["overall_status"] == "generating")


async def film(folder: Path, *, small: bool = False) -> Path:
    """A real video for the provider to deliver: 1280x720, two seconds; small: 256x144, one second."""
    file = folder / "film.mp4"
    seconds, width, height = (1.0, 256, 144) if small else (2.0, 1280, 720)
    spec = SceneSpec(
        prompt="film", scenario="hook", seconds=seconds, width=width, height=height, preset="ultrafast"
    )
    await MediaWorkers().render_scene(spec, file)
    return file


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="scenewright-bench-") as folder:
        yield Path(folder)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[18]


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table; the first column to the left, figures to the right."""
    widths = [max(3, *(len(line[column]) for line in (head, *rows))) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    print(f"\n{title}\n")
    for first, *others in (head, rule, *rows):
        figures = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print("|", " | ".join((first.ljust(widths[0]), *figures)), "|")


def _environment() -> dict[str, str]:
    """Ours without any setting of the service, and with a key that only the wire server knows."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCENEWRIGHT_")}
    return {**kept, "RUNWARE_API_KEY": API_KEY}
