"""Finished videos: looked at, marked, removed for good; and their copies at a delivery network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.clips import Order
from service.library import Library
from service.providers.catalogue import Wish
from service.settings import Settings
from sessions.clock import utc_now
from sessions.errors import Conflict, NotFound
from sessions.model import JobState, SceneState, Stage, Video
from sessions.viewer import Viewer
from tests.house import House, open_house, settings_for
from tests.sessions.making import sql
from tests.wire.cloudinary import CLOUD, KEY, SECRET, CloudinaryServer, Fault

ANN, BOB, NOBODY = Viewer(owner="ann"), Viewer(owner="bob"), Viewer()


def _library(house: House) -> Library:
    return house.service.production.library


async def _made(house: House, prompt: str = "A lamp", owner: str | None = "ann") -> Video:
    """A clip that is finished."""
    order = Order(wish=Wish(prompt=prompt), terms="gallery")
    ticket = await house.service.production.clips.order(order, owner)
    async with asyncio.timeout(20):
        await house.service.live.until(ticket.job_id, lambda it: it.job.closed)
    return await _library(house).video(ticket.job_id)


async def _page(library: Library, **changes: Any) -> tuple[list[Video], int]:
    how: dict[str, Any] = {"favorites_only": False, "from_image": None, "limit": 10, "offset": 0}
    return await library.videos(**{**how, **changes})


def _file(house: House, video: Video) -> Path:
    return house.service.production.outputs.folder / video.take.file


# ---------------------------------------------------------------------- looking and marking


async def test_a_video_is_found_by_its_own_id_and_by_its_scenes(local: House) -> None:
    video = await _made(local)
    library = _library(local)
    assert await library.video(video.take.id) == await library.video(video.scene.id) == video
    assert (video.scene.state, video.job.state) == (SceneState.SUCCEEDED, JobState.SUCCEEDED)
    for nothing in (video.scene.task_id, "", "x" * 1000, "../" + video.take.file):
        with pytest.raises(NotFound):
            await library.video(nothing)


async def test_somebody_elses_video_is_not_there(local: House) -> None:
    video, nobodys = await _made(local), await _made(local, owner=None)
    theirs = _library(local).seen_by(BOB)
    for attempt in (
        theirs.video(video.take.id),
        theirs.mark(video.take.id, favorite=True),
        theirs.remove(video.scene.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert _file(local, video).exists()
    assert await _page(theirs) == ([], 0), "what is nobody's is listed for nobody"
    assert (await theirs.video(nobodys.take.id)).take == nobodys.take
    assert [it.take.id for it in (await _page(_library(local).seen_by(ANN)))[0]] == [video.take.id]


async def test_a_mark_is_kept_and_taken_back(local: House) -> None:
    video = await _made(local)
    library = _library(local).seen_by(ANN)
    assert (video.take.favorite, video.take.changed_at) == (False, None)
    before = utc_now()
    marked = await library.mark(video.scene.id, favorite=True)
    assert marked.take.favorite
    assert marked.take.changed_at is not None
    assert before <= marked.take.changed_at <= utc_now()
    assert await _page(library, favorites_only=True) == ([marked], 1)
    assert not (await library.mark(video.take.id, favorite=False)).take.favorite
    assert await _page(library, favorites_only=True) == ([], 0)


# ---------------------------------------------------------------------- removal


async def test_a_removed_video_is_gone_everywhere(local: House) -> None:
    video, other = await _made(local), await _made(local, "Another lamp")
    library = _library(local).seen_by(ANN)
    assert await library.remove(video.take.id)
    assert (_file(local, video).exists(), _file(local, other).exists()) == (False, True)
    for name in (video.take.id, video.scene.id):
        with pytest.raises(NotFound):
            await library.video(name)
        with pytest.raises(NotFound):
            await library.mark(name, favorite=True)
        with pytest.raises(NotFound):
            await library.remove(name)
    assert [it.take.id for it in (await _page(library))[0]] == [other.take.id]
    assert (await local.get(f"/outputs/{video.take.file}")).status == 404
    job = await local.service.studio.job(video.job.id)
    assert job.snapshot.scenes[0].removed_at is not None
    assert job.snapshot.job.state is JobState.SUCCEEDED, "what it came to stays true"
    assert not await local.service.studio.seen_by(ANN).shows_file(video.take.file)


async def test_of_many_who_remove_a_video_at_once_nobody_breaks_anything(local: House) -> None:
    video = await _made(local)
    outcomes = await asyncio.gather(
        *(_library(local).remove(video.take.id) for _ in range(10)), return_exceptions=True
    )
    assert all(outcome is True or isinstance(outcome, NotFound) for outcome in outcomes)
    assert True in outcomes
    assert not _file(local, video).exists()


async def test_a_video_of_a_job_that_left_the_memory_is_removed_for_those_who_read_it_just_now(
    local: House,
) -> None:
    video = await _made(local)
    live, studio = local.service.live, local.service.studio
    live._closed.clear()
    _, *jobs = await asyncio.gather(
        _library(local).remove(video.take.id), *(studio.job(video.job.id) for _ in range(20))
    )
    assert jobs
    assert (await studio.job(video.job.id)).snapshot.scenes[0].removed_at is not None


async def test_a_video_that_is_being_watched_is_watched_to_its_end(local: House) -> None:
    video = await _made(local)
    content = _file(local, video).read_bytes()
    async with local.client.get(f"/outputs/{video.take.file}") as answer:
        await _library(local).remove(video.take.id)
        assert await answer.read() == content
    assert (await local.get(f"/outputs/{video.take.file}")).status == 404


async def test_what_a_stop_left_of_removed_videos_goes_at_the_next_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with open_house(settings) as house:
        video, other = await _made(house), await _made(house, "Another lamp")
        await house.service.production.database.remove_video(video.scene.id, utc_now())
    assert (settings.outputs.dir / video.take.file).exists(), "killed between the record and the file"
    async with open_house(settings) as house:
        assert (_file(house, video).exists(), _file(house, other).exists()) == (False, True)
        assert (await house.service.studio.job(video.job.id)).snapshot.scenes[0].removed_at is not None
        with pytest.raises(NotFound):
            await _library(house).video(video.take.id)


async def test_a_file_that_went_first_is_no_obstacle(local: House) -> None:
    video = await _made(local)
    _file(local, video).unlink()
    assert await _library(local).remove(video.take.id)


async def test_a_file_that_cannot_be_deleted_is_deleted_at_the_next_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with open_house(settings) as house:
        video = await _made(house)
        file = _file(house, video)
        content = file.read_bytes()
        file.unlink()
        file.mkdir()  # what is no file cannot be unlinked
        assert not await _library(house).remove(video.take.id)
        file.rmdir()
        file.write_bytes(content)
    async with open_house(settings) as house:
        assert not _file(house, video).exists()
        assert await house.service.production.database.removed_scenes() == []


async def test_a_deleted_jobs_video_stays_and_can_be_removed(local: House) -> None:
    video = await _made(local)
    await local.service.studio.delete(video.job.id)
    library = _library(local).seen_by(ANN)
    assert (await library.video(video.take.id)).take == video.take
    assert [it.take.id for it in (await _page(library))[0]] == [video.take.id]
    assert (await local.get(f"/outputs/{video.take.file}")).status == 200
    await library.remove(video.scene.id)
    assert not _file(local, video).exists()
    with pytest.raises(NotFound):
        await local.service.studio.job(video.job.id)


# ---------------------------------------------------------------------- videos of sessions


async def test_a_sessions_removed_video_gives_way_to_the_take_before_and_numbers_go_on(local: House) -> None:
    session_id = await local.session()
    await local.finished(await local.generate(session_id))
    again = (
        await local.post("/api/videos/regenerate-scene", {"session_id": session_id, "scenario": "hook"})
    ).json
    assert again["success"]
    studio, library = local.service.studio, _library(local)
    first, second = (
        take for take in (await studio.drafts.session(session_id)).takes if take.scenario == "hook"
    )
    assert (first.number, second.number) == (1, 2)

    await library.remove(second.scene_id)
    session = await studio.drafts.session(session_id)
    assert next(take for take in session.videos if take.scenario == "hook") == first
    await library.remove(first.id)
    session = await studio.drafts.session(session_id)
    assert [take.scenario for take in session.videos] == ["problem", "solution", "cta"]

    await local.post("/api/videos/regenerate-scene", {"session_id": session_id, "scenario": "hook"})
    session = await studio.drafts.session(session_id)
    assert [take.number for take in session.takes if take.scenario == "hook"] == [3]


async def test_a_video_may_be_removed_while_its_job_moves(local: House) -> None:
    session_id = await local.session({"cta": "A slow one [[slow 60s]]"})
    job_id = await local.generate(session_id)
    live = local.service.live
    async with asyncio.timeout(20):
        await live.until(job_id, lambda it: sum(scene.terminal for scene in it.scenes) == 3)
    hook = next(
        take
        for take in (await local.service.studio.drafts.session(session_id)).takes
        if take.scenario == "hook"
    )
    await _library(local).remove(hook.id)
    await local.service.studio.cancel(job_id)
    snapshot = await live.until(job_id, lambda it: it.job.closed)
    assert snapshot.job.state is JobState.PARTIAL
    assert [scene.removed_at is not None for scene in snapshot.scenes] == [True, False, False, False]
    stored = await local.service.production.database.job(job_id)
    assert stored is not None
    assert [scene.removed_at is not None for scene in stored.scenes] == [True, False, False, False]


async def test_a_removed_video_is_not_what_a_job_is_missing(local: House) -> None:
    session_id = await local.session()
    job_id = await local.generate(session_id)
    await local.finished(job_id)
    hook = next(
        take
        for take in (await local.service.studio.drafts.session(session_id)).takes
        if take.scenario == "hook"
    )
    await _library(local).remove(hook.id)
    with pytest.raises(Conflict, match="Nothing is missing"):
        await local.service.studio.resume(job_id)


# ---------------------------------------------------------------------- copies at a delivery network


def _mirrored(folder: Path, cloud: CloudinaryServer) -> Settings:
    account = {"cloud_name": CLOUD, "api_key": KEY, "api_secret": SECRET, "api_url": cloud.address}
    hasty = {"attempts": 2, "pause_seconds": 0.01, "request_seconds": 20}
    return settings_for(folder, {"cloudinary": {"enabled": True, **account, **hasty}})


@pytest.fixture
async def cloud() -> AsyncIterator[CloudinaryServer]:
    async with CloudinaryServer() as cloud:
        yield cloud


async def test_a_finished_video_has_a_copy_which_goes_with_it(
    tmp_path: Path, cloud: CloudinaryServer
) -> None:
    async with open_house(_mirrored(tmp_path, cloud)) as house:
        video = await _made(house)
        (asset,) = cloud.assets.values()
        assert asset.public_id.endswith(f"/{video.scene.id}")
        assert asset.upload.body == _file(house, video).read_bytes()
        assert video.scene.mirror_url is not None
        assert video.scene.mirror_url.endswith(f"/{asset.public_id}.mp4")
        await _library(house).remove(video.take.id)
        assert cloud.assets == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=401, body=b'{"error": {"message": "no"}}'),
        Fault(status=400),
        Fault(reset=True),
        Fault(body=b"<html>"),
        Fault(changes={"secure_url": "https://evil.example.com/x.mp4"}),
        Fault(changes={"secure_url": None}),
    ],
    ids=["500", "refused", "400", "reset", "page", "elsewhere", "nowhere"],
)
async def test_a_copy_that_cannot_be_made_is_no_reason_to_fail(
    tmp_path: Path, cloud: CloudinaryServer, fault: Fault
) -> None:
    cloud.faults = [fault] * 10
    async with open_house(_mirrored(tmp_path, cloud)) as house:
        video = await _made(house)
        assert (video.scene.state, video.scene.mirror_url) == (SceneState.SUCCEEDED, None)
        assert (await house.get(f"/outputs/{video.take.file}")).status == 200


async def test_a_copy_whose_answer_met_a_stop_is_made_again_in_its_place(
    tmp_path: Path, cloud: CloudinaryServer
) -> None:
    settings = _mirrored(tmp_path, cloud)
    cloud.faults = [Fault(silent=True, stored=True)]
    async with open_house(settings) as house:
        order = Order(wish=Wish(prompt="A lamp"), terms="gallery")
        job_id = (await house.service.production.clips.order(order, "ann")).job_id
        async with asyncio.timeout(20):
            await cloud.arrived.wait()
        assert sql(house.service.production.database, "SELECT stage FROM scenes") == [
            (Stage.GENERATED.value,)
        ]
    async with open_house(settings) as house:
        async with asyncio.timeout(20):
            await house.service.live.until(job_id, lambda it: it.job.closed)
        video = await _library(house).video(job_id)
        assert video.scene.mirror_url is not None
    assert [request.action for request in cloud.requests] == ["upload", "upload"]
    assert len(cloud.assets) == 1


async def test_a_copy_that_cannot_be_removed_keeps_nothing_else(
    tmp_path: Path, cloud: CloudinaryServer
) -> None:
    async with open_house(_mirrored(tmp_path, cloud)) as house:
        video = await _made(house)
        cloud.faults = [Fault(status=500)] * 10
        await _library(house).remove(video.take.id)
        assert not _file(house, video).exists()
        with pytest.raises(NotFound):
            await _library(house).video(video.take.id)
        assert cloud.assets, "it is there still"
    cloud.faults = []
    async with open_house(_mirrored(tmp_path, cloud)) as house:
        await house.service.production.library.sweep_copies()
        assert await house.service.production.database.removed_scenes() == []
        assert not cloud.assets


async def test_who_listens_hears_of_a_removal(local: House) -> None:
    video = await _made(local)
    job = await local.service.studio.job(video.job.id)
    await _library(local).remove(video.take.id)
    assert job.changed.is_set()
