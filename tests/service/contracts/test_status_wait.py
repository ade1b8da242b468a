"""``?wait=``: the same status, when it changes."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.house import House, open_house, runware_layer, settings_for
from tests.wire.runware_server import RunwareServer, Script


@pytest.fixture
async def held(paid: House, wire: RunwareServer) -> str:
    """A job whose scenes are all with the provider."""
    wire.script_default(Script(hold=True))
    job_id = await paid.generate(await paid.session())
    await paid.service.live.until(job_id, lambda job: all(scene.progress == 30 for scene in job.scenes))
    return job_id


async def test_the_answer_comes_with_the_change(paid: House, wire: RunwareServer, held: str) -> None:
    now = await paid.get(f"/api/videos/status/{held}")
    waiting = asyncio.create_task(
        paid.get(f"/api/videos/status/{held}?wait=30", headers={"If-None-Match": now.headers["ETag"]})
    )
    wire.release("hook")
    answer = await asyncio.wait_for(waiting, timeout=10)
    assert answer.status == 200
    assert answer.json["scenes"][0]["progress"] > 30
    wire.release()
    await paid.finished(held)


async def test_a_client_that_is_behind_does_not_wait(paid: House, wire: RunwareServer, held: str) -> None:
    asked = paid.get(f"/api/videos/status/{held}?wait=30", headers={"If-None-Match": '"older"'})
    assert (await asyncio.wait_for(asked, timeout=5)).status == 200
    wire.release()
    await paid.finished(held)


async def test_nothing_new_is_304_after_the_wait(paid: House, wire: RunwareServer, held: str) -> None:
    now = await paid.get(f"/api/videos/status/{held}")
    started = time.monotonic()
    same = await paid.get(f"/api/videos/status/{held}?wait=1", headers={"If-None-Match": now.headers["ETag"]})
    assert (same.status, time.monotonic() - started >= 1) == (304, True)
    wire.release()
    await paid.finished(held)


async def test_a_finished_job_is_answered_at_once(paid: House) -> None:
    job_id = await paid.generate(await paid.session())
    done = await paid.finished(job_id)
    answer = await asyncio.wait_for(paid.get(f"/api/videos/status/{job_id}?wait=30"), timeout=5)
    assert answer.json == done


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1.5", ""])
async def test_a_wait_that_is_no_number_of_seconds_is_refused(
    paid: House, wire: RunwareServer, held: str, wait: str
) -> None:
    answer = await paid.get(f"/api/videos/status/{held}?wait={wait}")
    assert (answer.status, answer.json["detail"]["field"]) == (400, "wait")
    wire.release()
    await paid.finished(held)


async def test_a_stop_sends_those_who_wait_home(
    wire: RunwareServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wire.script_default(Script(hold=True))
    async with open_house(settings_for(tmp_path_factory.mktemp("stop"), runware_layer(wire))) as house:
        job_id = await house.generate(await house.session())
        await house.service.live.until(job_id, lambda job: all(scene.progress == 30 for scene in job.scenes))
        waiting = asyncio.create_task(house.get(f"/api/videos/status/{job_id}?wait=60"))
        while not house.service.live._moving[job_id].changed._waiters:
            await asyncio.sleep(0.01)
        house.service.live.stop()
        assert (await asyncio.wait_for(waiting, timeout=5)).status == 200
