"""The service as tests use it: real sockets, real SQLite, small pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from service.app import Service, listening, open_service
from service.settings import Settings, load_settings
from tests.wire.runware_server import RunwareServer

SCENARIOS = ("hook", "problem", "solution", "cta")

#: previews that render in a third of a second
_SMALL = {"sizes": {"16:9": [256, 144], "9:16": [144, 256], "1:1": [144, 144]}, "default_seconds": 1}


def settings_for(folder: Path, *layers: Mapping[str, Any]) -> Settings:
    """Settings of a server that keeps everything below ``folder``; later layers win."""
    values: dict[str, Any] = {
        "server": {"port": 0, "shutdown_seconds": 2},
        "database": {"url": f"sqlite:///{folder / 'test.db'}"},
        "outputs": {"dir": str(folder / "outputs")},
        "images": {"dir": str(folder / "uploads")},
        "local": {"preset": "ultrafast"},
        "rates": {"reads_per_path": 0, "reads": 0, "creates": 0},  # tests are in a hurry
        "downloads": {"pause_seconds": 0.02, "attempts": 3, "stall_seconds": 2, "give_up_seconds": 1},
        "models": {"local:preview@1": _SMALL},
    }
    for layer in layers:
        for section, changes in layer.items():
            below = values.get(section)
            values[section] = {**below, **changes} if isinstance(below, dict) else changes
    return load_settings(values, environ={})


def runware_layer(wire: RunwareServer, **changes: Any) -> dict[str, Any]:
    """Settings for the real SDK against the protocol server."""
    section = {"api_key": "test-key", "ws_url": wire.ws_url, "http_url": wire.http_url, "poll_seconds": 0.02}
    return {"runware": {**section, **changes}}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


@dataclass(frozen=True, kw_only=True)
class House:
    """A running service and a client of it."""

    address: str
    service: Service
    settings: Settings
    client: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **how: Any) -> Answer:
        async with self.client.request(method, path, **how) as response:
            body = await response.read()
            is_json = response.content_type == "application/json" and body
            parsed = await response.json() if is_json else None
            return Answer(status=response.status, headers=response.headers, body=body, json=parsed)

    async def get(self, path: str, **how: Any) -> Answer:
        return await self.ask("GET", path, **how)

    async def post(self, path: str, body: Any, **how: Any) -> Answer:
        return await self.ask("POST", path, json=body, **how)

    async def put(self, path: str, body: Any, **how: Any) -> Answer:
        return await self.ask("PUT", path, json=body, **how)

    async def session(self, prompts: Mapping[str, str] | None = None, **brief: Any) -> str:
        """A session with four approved descriptions; ``prompts`` replaces some of them."""
        texts = {**{name: f"A calm {name} shot of the lamp" for name in SCENARIOS}, **(prompts or {})}
        scenes = {name: {"description": text, "approved": True} for name, text in texts.items()}
        answer = await self.post(
            "/api/session/create", {"product": "Lamp", "scene_descriptions": scenes, **brief}
        )
        assert answer.status == 200, answer.json
        return str(answer.json["session_id"])

    async def generate(self, session_id: str) -> str:
        """Start all scenes; answers the job."""
        answer = await self.post("/api/videos/generate-scenes", {"session_id": session_id})
        assert answer.status == 200, answer.json
        return str(answer.json["job_id"])

    async def status(self, job_id: str) -> Any:
        return (await self.get(f"/api/videos/status/{job_id}")).json

    async def finished(self, job_id: str) -> Any:
        """The status of the job once it is over."""
        async with asyncio.timeout(30):
            await self.service.live.until(job_id, lambda snapshot: snapshot.job.closed)
        return await self.status(job_id)


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    async with (
        open_service(settings) as service,
        listening(service, settings.server) as address,
        aiohttp.ClientSession(base_url=address) as client,
    ):
        yield House(address=address, service=service, settings=settings, client=client)
