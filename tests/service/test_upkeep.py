"""Chores are done again and again, and one that breaks is no reason to leave the others."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest

from service import upkeep as upkeep_room
from service.upkeep import upkeep
from sessions.clock import utc_now
from sessions.model import Frames
from tests.house import open_house, settings_for
from tests.sessions.making import an_order


async def test_a_chore_that_breaks_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_room, "_FIRST", 0.0)
    monkeypatch.setattr(upkeep_room, "_ROUND", 0.0)
    done: list[str] = []
    twice = asyncio.Event()

    async def broken() -> None:
        done.append("broken")
        raise ValueError

    async def whole() -> None:
        done.append("whole")
        if done.count("whole") == 2:
            twice.set()

    rounds = asyncio.create_task(upkeep({"broken": broken, "whole": whole}))
    async with asyncio.timeout(5):
        await twice.wait()
    rounds.cancel()
    await asyncio.wait({rounds})
    assert done[:4] == ["broken", "whole", "broken", "whole"]


async def test_images_that_no_job_needs_go_after_a_day(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path)) as house:
        production = house.service.production
        wanted, old, young = [
            await production.uploads.keep(f"image {number}".encode()) for number in range(3)
        ]
        session = await production.studio.drafts.session(await house.session())
        await production.database.create_job(*an_order(session, frames=Frames(first=wanted)))
        before = (utc_now() - timedelta(days=2)).timestamp()
        for name in (wanted, old):
            os.utime(production.uploads.folder / name, (before, before))
        await production.sweep_uploads()
        assert {file.name for file in production.uploads.folder.iterdir()} == {wanted, young}
