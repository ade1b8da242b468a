"""What documents 000, 001 and 004 promise of polls and of time: at their pace nobody is refused, however
long a video takes it comes, and a status waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.rates import Rates
from service.settings import load_settings
from sessions.model import SceneState
from tests.house import House, open_house, runware_layer, settings_for
from tests.service.contracts import credits_kit, gallery_kit, video_jobs_kit
from tests.service.contracts.kit import reached
from tests.service.test_rates import Clock
from tests.wire.runware_server import RunwareServer, Script

#: the limits as they are delivered
DELIVERED = {"rates": load_settings({}, environ={}).rates.model_dump()}

PROMPT = "A lighthouse in a storm"

#: contract -> where it is ordered, with what, and under which name the answer has the job
ORDERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "gallery": (gallery_kit.GENERATE, {"prompt": PROMPT}, "videoId"),
    "video_jobs": (video_jobs_kit.PATH, video_jobs_kit.order(prompt=PROMPT, mockMode=None), "id"),
    "credits": ("/videos/generate", {"prompt": PROMPT}, "job_id"),
}

STATUSES = {
    "gallery": gallery_kit.GENERATE + "?videoId={}",
    "video_jobs": video_jobs_kit.PATH + "/{}",
    "credits": "/videos/jobs/{}/status",
}

#: how long a video takes at most, as the documents say
MINUTES = {"gallery": 3, "video_jobs": 10, "credits": 4}

#: what a client goes on polling for
UNDER_WAY = ("PROCESSING", "PENDING", "RUNNING", "queued", "starting", "processing")


async def ordered(house: House, contract: str) -> str:
    path, body, name = ORDERS[contract]
    answer = await house.post(path, body)
    assert answer.status in (200, 202), answer.json
    return str(answer.json[name])


async def status(house: House, contract: str, job_id: str) -> str:
    answer = await house.get(STATUSES[contract].format(job_id))
    assert answer.status == 200, answer.json
    return str(answer.json["status"])


@asynccontextmanager
async def at_work(folder: Path, wire: RunwareServer, *layers: dict[str, Any]) -> AsyncIterator[House]:
    """A service whose provider works until it is released."""
    wire.script_default(Script(hold=True))
    async with open_house(settings_for(folder, runware_layer(wire), *layers)) as house:
        yield house
        wire.release()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """By which requests are counted, and nothing else goes."""
    clock = Clock()
    monkeypatch.setattr("service.http_api.Rates", partial(Rates, tick=clock))
    return clock


# ---------------------------------------------------------------------- how often


@pytest.mark.parametrize(
    ("contract", "pause"),
    [("gallery", 3), ("video_jobs", 3), ("video_jobs", 5), ("credits", 5), ("credits", 10)],
)
async def test_who_polls_at_the_documented_pace_is_never_refused(
    tmp_path: Path, wire: RunwareServer, clock: Clock, contract: str, pause: int
) -> None:
    """With the limits as delivered, for as long as the document says a video may take, three at a time."""
    async with at_work(tmp_path, wire, DELIVERED) as house:
        jobs = [await ordered(house, contract) for _ in range(3)]
        for _ in range(0, MINUTES[contract] * 60, pause):
            for job_id in jobs:
                assert await status(house, contract, job_id) in UNDER_WAY
            clock.seconds += pause


async def test_who_does_not_pause_is_refused_in_the_gallerys_words(
    tmp_path: Path, wire: RunwareServer, clock: Clock
) -> None:
    async with at_work(tmp_path, wire, DELIVERED) as house:
        first, second = await ordered(house, "gallery"), await ordered(house, "gallery")
        path = STATUSES["gallery"].format(first)
        for _ in range(60):
            assert (await house.get(path)).status == 200
        refused = await house.get(path)
        assert gallery_kit.problem(refused, 429)
        assert await status(house, "gallery", second) == "PROCESSING", "each video is counted on its own"
        clock.seconds += int(refused.headers["Retry-After"])
        assert (await house.get(path)).status == 200


# ---------------------------------------------------------------------- how soon


async def test_a_status_is_sooner_there_than_the_documents_although_everything_behind_it_hangs(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Document 000's own log has 2.0 to 3.3 seconds; here neither provider nor database is asked."""

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    async with at_work(tmp_path, wire) as house:
        video_id, task_id = await gallery_kit.ordered(house)
        await reached(house, video_id, lambda it: it.scenes[0].stage.value == "sent")
        database = gallery_kit.database_of(house)
        with monkeypatch.context() as patch:
            for name in ("job", "job_of_scene", "job_of_task", "events"):
                patch.setattr(database, name, never)
            wire.refuse_connections = True
            await wire.drop_connections()
            for _ in range(10):
                async with asyncio.timeout(2.0):
                    answer = await gallery_kit.asked(house, video_id, task_id)
                assert (answer.status, answer.json["status"]) == (200, "PROCESSING")
        wire.refuse_connections = False


# ---------------------------------------------------------------------- how long


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        ("gallery", ["PROCESSING", "SUCCEEDED"]),
        ("video_jobs", ["RUNNING", "SUCCEEDED"]),
        ("credits", ["processing", "completed"]),
    ],
)
async def test_a_video_that_takes_longer_than_any_deadline_comes_all_the_same(
    tmp_path: Path, wire: RunwareServer, contract: str, words: list[str]
) -> None:
    """A deadline ends nothing, it only makes questions rarer; and as delivered it is beyond the document's
    longest video.
    """
    delivered, minutes = load_settings({}, environ={}).runware, MINUTES[contract]
    assert delivered.deadline_seconds > minutes * 60
    assert delivered.reconcile_hours * 60 > 10 * minutes
    hasty = {"runware": {"deadline_seconds": 0.05, "reconcile_pause_seconds": 0.02}}
    async with at_work(tmp_path, wire, hasty) as house:
        job_id = await ordered(house, contract)
        await reached(house, job_id, lambda it: it.scenes[0].state is SceneState.RECONCILING)
        said = [await status(house, contract, job_id)]
        wire.release()
        await credits_kit.over(house, job_id)
        assert [*said, await status(house, contract, job_id)] == words
    assert len(wire.charges) == 1
