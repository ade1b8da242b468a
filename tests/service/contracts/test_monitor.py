"""The feed of the public monitor: everybody's jobs, and nothing that is only somebody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.contracts import monitor
from service.contracts.video_jobs_replies import MonitorFeed
from tests.house import House
from tests.service.contracts.kit import reached
from tests.service.contracts.test_identity import ANN, ON
from tests.service.contracts.test_status_poll import statements
from tests.service.contracts.video_jobs_kit import PATH, ended, ordered, problem, small_house, state

FEED = f"{PATH}/all"
SECRET = "a token that opens the monitor"
KEPT = {"credits": {"opening_tokens": 1000}}


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_GOOD_FOR", 0.0)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on; the monitor is open all the same."""
    async with small_house(tmp_path, ON, KEPT) as opened:
        yield opened


async def watched(house: House, **how: Any) -> dict[str, Any]:
    answer = await house.get(FEED, **how)
    assert answer.status == 200, answer.json
    MonitorFeed.model_validate(answer.json)
    found: dict[str, Any] = answer.json
    return found


async def test_everybody_may_watch(house: House) -> None:
    job_id = (await ordered(house, ANN, prompt="A sunset [[slow 20s]]"))["id"]
    await reached(house, job_id, lambda it: it.scenes[0].stage.value == "sent")
    feed = await watched(house)
    (job,) = feed["jobs"]
    assert job["id"] == job_id[:8]
    assert (job["status"], job["statusMessage"]) == ("RUNNING", "Video generation in progress...")
    assert job["progressPercentage"] >= 30
    assert (job["model"], job["resolution"]) == ("veo-3.1-fast-generate-preview", "1080p")
    assert (job["aspectRatio"], job["durationSeconds"]) == ("16:9", 4)
    assert [line["message"] for line in job["logs"]][:2] == ["📝 Job created", "🚀 Starting video generation"]
    assert feed["counts"] == {"PENDING": 0, "RUNNING": 1, "SUCCEEDED": 0, "FAILED": 0, "CANCELLED": 0}
    assert feed["queueLength"] == 0
    await house.post(f"{PATH}/{job_id}/cancel", None, headers=ANN)
    assert (await watched(house))["counts"]["CANCELLED"] == 1


async def test_nothing_that_is_somebodys_is_told(house: House) -> None:
    long = "My own words, forty of them and then some that nobody shall see [[nsfw]]"
    failed = (await ordered(house, ANN, prompt=long))["id"]
    made = (await ordered(house, ANN))["id"]
    session = await house.session()
    scenes = await house.generate(session)
    for job_id in (failed, made, scenes):
        await ended(house, job_id)
    feed = await watched(house)
    text = json.dumps(feed, ensure_ascii=False)
    for word in ('"ann"', "anonymous", failed, made, scenes, session, "content policy", "/outputs/", "sig="):
        assert word not in text
    told = {job["id"]: job for job in feed["jobs"]}
    assert told[failed[:8]]["prompt"] == "My own words, forty of them and then som…"
    assert told[failed[:8]]["logs"][-1]["message"] == "❌ Video generation failed"
    assert not {"userId", "errorMessage", "tokensConsumed", "cloudinaryUrl", "videoUrl"} & {
        name for job in feed["jobs"] for name in job
    }
    assert "completedAt" in told[made[:8]]
    assert feed["counts"]["FAILED"] == 1
    assert feed["averageSeconds"] > 0


async def test_deleted_jobs_are_not_there(house: House) -> None:
    job_id = (await ordered(house, ANN))["id"]
    await ended(house, job_id)
    await house.ask("DELETE", f"{PATH}/{job_id}", headers=ANN)
    assert (await watched(house))["jobs"] == []


async def test_many_who_watch_are_one_who_reads(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_GOOD_FOR", 1000.0)
    job_id = (await ordered(house, ANN))["id"]
    await ended(house, job_id)
    with statements(house) as alone:
        first = await house.get(FEED)
    with statements(house) as seen:
        answers = await asyncio.gather(*(house.get(FEED, headers={"X": str(turn)}) for turn in range(20)))
    assert alone
    assert seen == []
    assert {answer.body for answer in answers} == {first.body}


async def test_who_comes_at_the_same_time_waits_for_one_reading(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_GOOD_FOR", 1000.0)
    with statements(house) as alone:
        answers = await asyncio.gather(*(house.get(FEED) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    counting = "SELECT count(*) AS count_1 \nFROM jobs"
    assert sum(statement.startswith(counting) for statement in alone) == 1


async def test_what_is_known_already_is_304(house: House) -> None:
    first = await house.get(FEED)
    assert first.headers["ETag"].startswith('W/"')
    again = await house.get(FEED, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    await ordered(house, ANN)
    later = await house.get(FEED, headers={"If-None-Match": first.headers["ETag"]})
    assert later.status == 200


async def test_only_the_newest_hundred_are_listed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_JOBS", 2)
    jobs = [(await ordered(house, ANN, prompt="A sunset [[fail@10]]"))["id"] for _ in range(3)]
    for job_id in jobs:
        await ended(house, job_id)
    feed = await watched(house)
    assert [job["id"] for job in feed["jobs"]] == [job_id[:8] for job_id in jobs[:0:-1]]
    assert feed["counts"]["FAILED"] == 3


async def test_the_queue_is_counted(tmp_path: Path) -> None:
    terms = {"terms": {"video_jobs": {"running": 1, "waiting": 5}}}
    async with small_house(tmp_path, terms) as house:
        jobs = [(await ordered(house, prompt="A sunset [[slow 20s]]"))["id"] for _ in range(3)]
        await state(house, jobs[0], "running")
        feed = await watched(house)
        assert (feed["queueLength"], feed["counts"]["RUNNING"]) == (2, 1)
        for job_id in reversed(jobs):
            await house.post(f"{PATH}/{job_id}/cancel", None)


# ---------------------------------------------------------------------- previews


@pytest.mark.parametrize("identity", [True, False])
async def test_videos_are_shown_where_the_server_is_told_to(tmp_path: Path, identity: bool) -> None:
    shown: dict[str, Any] = {"monitor": {"preview": True}, **({**ON, **KEPT} if identity else {})}
    async with small_house(tmp_path, shown) as house:
        made = (await ordered(house, ANN))["id"]
        scenes = await house.generate(await house.session())
        for job_id in (made, scenes):
            await ended(house, job_id)
        told = {job["id"]: job.get("videoUrl") for job in (await watched(house))["jobs"]}
        video = await house.get(told[made[:8]] or "")
        assert (video.status, video.headers["Content-Type"]) == (200, "video/mp4")
        # What is nobody's is for those who know its id, where not everything is for everybody.
        assert (told[scenes[:8]] is None) is identity


# ---------------------------------------------------------------------- closed


@pytest.fixture(params=[True, False], ids=["identity", "nobody is asked"])
async def closed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    layer: dict[str, Any] = {"monitor": {"open": False, "token": SECRET}, **(ON if request.param else {})}
    async with small_house(tmp_path, layer) as opened:
        yield opened


async def test_a_closed_monitor_wants_its_token(closed: House) -> None:
    for given in (
        {},
        {"headers": ANN},
        {"headers": {"Authorization": f"Bearer {SECRET}x"}},
        {"headers": {"Authorization": f"Basic {SECRET}"}},
        {"headers": {"Authorization": "Bearer "}},
        {"params": {"token": ""}},
        {"params": {"token": SECRET[:-1]}},
        {"params": {"token": "ü\udcff"}},
    ):
        answer = await closed.get(FEED, **given)
        assert problem(answer, 401) == "Not authenticated"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    await watched(closed, headers={"Authorization": f"Bearer {SECRET}"})
    await watched(closed, headers={"Authorization": f"bearer {SECRET}"})
    await watched(closed, params={"token": SECRET})


async def test_a_closed_monitor_without_a_token_opens_for_nobody(tmp_path: Path) -> None:
    async with small_house(tmp_path, {"monitor": {"open": False}}) as house:
        for given in ({}, {"params": {"token": ""}}, {"headers": {"Authorization": "Bearer "}}):
            problem(await house.get(FEED, **given), 401)


async def test_who_watches_too_often_is_told_so(tmp_path: Path) -> None:
    layer = {"rates": {"reads_per_path": 0.001, "reads_per_path_burst": 2}}
    async with small_house(tmp_path, ON, layer) as house:
        answers = [await house.get(FEED) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert list(answers[-1].json) == ["detail"]
