"""Every state in the words of document 000: the pure function, and the route."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.contracts import gallery_views as views
from service.contracts.videos import VideoAddresses
from service.links import Links
from sessions.clock import utc_now
from sessions.model import JobState, SceneState
from tests.house import open_house, settings_for
from tests.service.contracts.gallery_kit import (
    NOT_FOUND,
    asked,
    database_of,
    history,
    made,
)
from tests.service.contracts.golden_gallery import BASE, GOLDEN, scene_id, video

PLAIN = VideoAddresses(None, BASE)


@pytest.mark.parametrize("state", GOLDEN)
def test_each_state_has_its_body(state: str) -> None:
    _, snapshot = history(GOLDEN[state])
    said = views.status_body(snapshot, BASE, PLAIN)
    assert json.dumps(said) == json.dumps(GOLDEN[state].body), "to the letter, and in the same order"


def test_no_state_is_forgotten() -> None:
    snapshots = [history(golden)[1] for golden in GOLDEN.values()]
    assert {it.job.state for it in snapshots} == set(JobState)
    assert {scene.state for it in snapshots for scene in it.scenes} == set(SceneState)


@pytest.mark.parametrize("state", ["queued", "running", "succeeded", "expired", "failed", "partial"])
async def test_the_route_says_the_same(tmp_path: Path, state: str) -> None:
    async with open_house(settings_for(tmp_path, {"server": {"public_url": BASE}})) as house:
        snapshot = await made(database_of(house), GOLDEN[state])
        answer = await asked(house, snapshot.job.id, snapshot.scenes[-1].task_id)
    assert answer.status == (404 if GOLDEN[state].body is None else 200)
    assert answer.json == (GOLDEN[state].body or NOT_FOUND)


def test_one_scene_of_four_is_a_video_of_its_own() -> None:
    """Not what the job is as a whole, which is partial."""
    _, snapshot = history(GOLDEN["partial"])
    alone = [views.only(snapshot, scene.id) for scene in snapshot.scenes]
    said = [views.status_body(it, BASE, PLAIN) or {} for it in alone]
    assert [(it["status"], it["videoUrl"], it["progress"]) for it in said] == [
        ("FAILED", None, 30),
        ("SUCCEEDED", video(1), 100),
        ("SUCCEEDED", video(2), 100),
        ("FAILED", None, 0),
    ]
    assert [it["errorMessage"] for it in said][1:] == [None, None, "Cancelled by user"]


def test_a_known_users_video_has_a_signed_address() -> None:
    links = Links(bytes(32), hours=24, now=utc_now)
    _, hers = history(GOLDEN["succeeded"], owner="ann")
    said = views.status_body(hers, BASE, VideoAddresses(links, BASE))
    assert said is not None
    path, _, query = said["videoUrl"].removeprefix(BASE).partition("?")
    assert path == f"/outputs/{scene_id(0)}.mp4"
    assert links.valid(f"{scene_id(0)}.mp4", query)


def test_a_copy_at_a_delivery_network_goes_before_ours() -> None:
    _, snapshot = history(GOLDEN["succeeded"])
    copied = replace(snapshot, scenes=(replace(snapshot.scenes[0], mirror_url="https://cdn.example/x.mp4"),))
    said = views.status_body(copied, BASE, PLAIN)
    assert said is not None
    assert said["videoUrl"] == "https://cdn.example/x.mp4"
