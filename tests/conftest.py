from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.media.workers import MediaWorkers, SceneSpec
from tests.house import House, open_house, runware_layer, settings_for
from tests.wire.runware_server import RunwareServer


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[House]:
    """A service with the local renderer."""
    async with open_house(settings_for(tmp_path)) as house:
        yield house


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a real, small video."""
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    spec = SceneSpec(prompt="film", scenario="hook", seconds=1.0, width=256, height=144, preset="ultrafast")
    asyncio.run(MediaWorkers().render_scene(spec, file))
    return file.read_bytes()


@pytest.fixture
async def wire(film: bytes) -> AsyncIterator[RunwareServer]:
    """A server that speaks Runware's protocol and counts charges."""
    async with RunwareServer() as server:
        server.video = film
        yield server


@pytest.fixture
async def paid(tmp_path: Path, wire: RunwareServer) -> AsyncIterator[House]:
    """A service that generates through the real SDK, against ``wire``."""
    async with open_house(settings_for(tmp_path, runware_layer(wire))) as house:
        yield house
