"""The gallery: two record stores as the document has them, and the merged listing of both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sessions.database import Database
from sessions.model import Frames, Scene
from sessions.viewer import EVERYTHING, Viewer
from tests.house import House, open_house, settings_for
from tests.service.contracts.gallery_kit import (
    EXAMPLE,
    LIST,
    asked,
    ordered,
    over,
    problem,
)
from tests.service.contracts.test_identity import ANN, BEN, ON
from tests.sessions.buying import VERBS, clips
from tests.sessions.making import FAILURE, after, applied, database_in, sql

#: document 000, "Database Integration"
COLUMNS = {
    "generated_videos": [
        "id", "user_id", "runway_task_id", "prompt", "status", "video_url", "metadata",
        "created_at", "updated_at",
    ],
    "created_videos": [
        "id", "user_id", "filename", "video_url", "original_text", "status", "duration_seconds",
        "created_at",
    ],
}  # fmt: skip

ON_IT = ("start", "sent")
MADE = (*ON_IT, "generated", "downloaded", "succeed")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = database_in(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on."""
    async with open_house(settings_for(tmp_path, ON)) as house:
        yield house


async def clip(
    database: Database, *verbs: str, at: float = 0, job: dict[str, Any] | None = None, **scene: Any
) -> Scene:
    """A clip of ann's that this has happened to."""
    new, scenes = clips(created_at=after(at), updated_at=after(at), **scene)
    new = replace(new, **{"owner": "ann", "created_at": after(at), **(job or {})})
    created = await database.create_job(new, scenes)
    return await applied(database, created.scenes[0], *(VERBS[verb] for verb in verbs))


def rows(database: Database, view: str) -> list[dict[str, Any]]:
    """All of a view, read as any other program would."""
    names = [name for _, name, *_ in sql(database, f"PRAGMA table_info({view})")]
    return [dict(zip(names, row, strict=True)) for row in sql(database, f"SELECT * FROM {view}")]


# ---------------------------------------------------------------------- the record stores


async def test_the_columns_are_the_documents(database: Database) -> None:
    for view, columns in COLUMNS.items():
        assert [name for _, name, *_ in sql(database, f"PRAGMA table_info({view})")] == columns


async def test_a_video_from_an_image_is_a_generated_one(database: Database) -> None:
    address = "https://example.com/i.jpg"
    scene = await clip(database, *MADE, frames=Frames(first=address), prompt="animate")
    assert rows(database, "created_videos") == []
    [row] = rows(database, "generated_videos")
    metadata = json.loads(row.pop("metadata"))
    assert row == {
        "id": scene.id,
        "user_id": "ann",
        "runway_task_id": scene.task_id,
        "prompt": "animate",
        "status": "completed",
        "video_url": f"/outputs/{scene.id}.mp4",
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
    for name in ("created_at", "updated_at"):
        assert abs(datetime.fromisoformat(row[name]) - after(0)).total_seconds() <= 0.001
    assert metadata == {
        "job_id": scene.job_id,
        "model": scene.model,
        "seconds": 5.0,
        "progress": 100,
        "image_url": address,
        "error": None,
    }


async def test_a_video_from_text_is_a_created_one(database: Database) -> None:
    scene = await clip(database, *MADE, prompt="A lamp", frames=Frames(references=("https://a.b/c",)))
    assert rows(database, "generated_videos") == []
    [row] = rows(database, "created_videos")
    assert abs(datetime.fromisoformat(row.pop("created_at")) - after(0)).total_seconds() <= 0.001
    assert row == {
        "id": scene.id,
        "user_id": "ann",
        "filename": f"{scene.id}.mp4",
        "video_url": f"/outputs/{scene.id}.mp4",
        "original_text": "A lamp",
        "status": "completed",
        "duration_seconds": 5,
    }


STATUSES: dict[str, tuple[str, ...]] = {
    "generating": (),
    "generating, started": ("start",),
    "generating, sent": ON_IT,
    "generating, reconciling": (*ON_IT, "reconcile"),
    "generating, downloaded": (*ON_IT, "generated", "downloaded"),
    "generating, ordered anew": (*ON_IT, "retry"),
    "completed": MADE,
    "failed": (*ON_IT, "fail"),
    "failed, cancelled": ("cancel",),
    "failed, cancelled and owed": (*ON_IT, "cancel"),
}


@pytest.mark.parametrize("first", [None, "https://example.com/i.jpg"])
async def test_there_are_three_statuses(database: Database, first: str | None) -> None:
    scenes = {
        (await clip(database, *verbs, frames=Frames(first=first))).id: expected.partition(",")[0]
        for expected, verbs in STATUSES.items()
    }
    found = rows(database, "generated_videos" if first else "created_videos")
    assert {row["id"]: row["status"] for row in found} == scenes
    assert {row["status"] for row in found if row["video_url"]} == {"completed"}


async def test_a_video_that_came_after_its_cancel_has_an_address(database: Database) -> None:
    await clip(database, *ON_IT, "cancel", "generated", "downloaded", "succeed")
    [row] = rows(database, "created_videos")
    assert row["status"] == "failed"
    assert row["video_url"].startswith("/outputs/")


async def test_why_one_failed_is_in_its_metadata(database: Database) -> None:
    await clip(database, *ON_IT, "fail", frames=Frames(first="https://example.com/i.jpg"))
    [row] = rows(database, "generated_videos")
    assert json.loads(row["metadata"])["error"] == FAILURE.message


@pytest.mark.parametrize("word", ["imageUrl", "image_url"])
async def test_an_image_that_was_fetched_has_the_clients_address(database: Database, word: str) -> None:
    """What is kept of it has a name that means nothing to anybody."""
    kept = Frames(first="0" * 64 + ".jpg")
    await clip(database, frames=kept, job={"asked": {word: "https://example.com/i.jpg"}})
    await clip(database, frames=kept, job={"asked": {"prompt": "A lamp"}})
    found = {json.loads(row["metadata"])["image_url"] for row in rows(database, "generated_videos")}
    assert found == {"https://example.com/i.jpg", None}


async def test_a_copy_at_a_delivery_network_goes_before_ours(database: Database) -> None:
    scene = await clip(database, *MADE)
    sql(database, "UPDATE scenes SET mirror_url = 'https://cdn.example/x.mp4' WHERE id = ?", scene.id)
    [row] = rows(database, "created_videos")
    assert (row["video_url"], row["filename"]) == ("https://cdn.example/x.mp4", f"{scene.id}.mp4")


async def test_what_its_owner_took_away_is_not_there(database: Database) -> None:
    removed, deleted = await clip(database, *MADE), await clip(database, *MADE)
    left = await clip(database, *MADE)
    await database.remove_video(removed.id, after(60))
    await database.delete_job(deleted.job_id, after(60))
    assert [row["id"] for row in rows(database, "created_videos")] == [left.id]
    found, total = await database.gallery(Viewer(owner="ann"), limit=10, offset=0)
    assert ([video.id for video in found], total) == ([left.id], 1)


async def test_pages_of_both_together(database: Database) -> None:
    frames = (Frames(), Frames(first="https://example.com/i.jpg"))
    scenes = [await clip(database, at=second, frames=frames[second % 2]) for second in range(7)]
    await clip(database, at=3, job={"owner": "ben"})
    await clip(database, at=3, job={"owner": None})
    newest = [scene.id for scene in reversed(scenes)]
    seen = []
    for offset in (0, 3, 6, 9):
        found, total = await database.gallery(Viewer(owner="ann"), limit=3, offset=offset)
        assert total == 7
        seen += [video.id for video in found]
    assert seen == newest
    assert (await database.gallery(Viewer(), limit=9, offset=0)) == ([], 0)
    assert (await database.gallery(EVERYTHING, limit=0, offset=0)) == ([], 9)
    assert len((await database.gallery(EVERYTHING, limit=20, offset=0))[0]) == 9


async def test_ones_own_are_found_without_looking_at_everybodys(database: Database) -> None:
    """An index is used in both halves."""
    for view in ("generated_videos", "created_videos"):
        plan = sql(database, f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE user_id = 'ann'")
        assert "ix_jobs_owner_created_at" in str(plan)
        assert "SCAN scenes" not in str(plan)


# ---------------------------------------------------------------------- the route


async def test_the_gallery_shows_both_kinds_newest_first(local: House) -> None:
    created, _ = await ordered(local, {"prompt": "A lamp", "duration": 2})
    generated, task_id = await ordered(local, EXAMPLE)
    for video_id in (created, generated):
        await over(local, video_id)
    answer = await local.get(LIST)
    assert answer.status == 200
    assert list(answer.json) == ["success", "videos", "total", "limit", "offset"]
    assert (answer.json["success"], answer.json["total"]) == (True, 2)
    newest, oldest = answer.json["videos"]
    assert {**newest, "metadata": None, "createdAt": None, "updatedAt": None} == {
        "id": generated,
        "source": "generated_videos",
        "userId": None,
        "taskId": task_id,
        "prompt": "animate",
        "status": "completed",
        "videoUrl": (await asked(local, generated)).json["videoUrl"],
        "durationSeconds": None,
        "metadata": None,
        "createdAt": None,
        "updatedAt": None,
    }
    assert newest["metadata"]["image_url"] == EXAMPLE["imageUrl"]
    assert datetime.fromisoformat(newest["createdAt"]) <= datetime.fromisoformat(newest["updatedAt"])
    assert (oldest["id"], oldest["source"], oldest["durationSeconds"]) == (created, "created_videos", 2)
    assert (oldest["taskId"], oldest["metadata"]) == (None, {})
    film = await local.get(oldest["videoUrl"])
    assert (film.status, film.body[4:8]) == (200, b"ftyp")


async def test_a_refresh_shows_the_latest(local: House) -> None:
    assert (await local.get(LIST)).json["videos"] == []
    video_id, _ = await ordered(local, {"prompt": "A lamp [[fail]]"})
    await over(local, video_id)
    assert [video["status"] for video in (await local.get(LIST)).json["videos"]] == ["failed"]
    for status, count in (("failed", 1), ("completed", 0), ("generating", 0), ("", 1)):
        assert (await local.get(LIST, params={"status": status})).json["total"] == count


async def test_every_row_can_be_asked_for(local: House) -> None:
    await over(local, await local.generate(await local.session({"cta": "[[fail]]"})))
    videos = (await local.get(LIST)).json["videos"]
    assert len(videos) == 4
    for video in videos:
        said = (await asked(local, video["id"], video["taskId"])).json
        assert said["videoUrl"] == video["videoUrl"]
        assert said["status"] == {"completed": "SUCCEEDED", "failed": "FAILED"}[video["status"]]


async def test_pages_of_the_route(local: House) -> None:
    for _ in range(3):
        await ordered(local, {"prompt": "A lamp [[fail]]"})
    whole = (await local.get(LIST)).json["videos"]
    page = (await local.get(LIST, params={"limit": "1", "offset": "1"})).json
    assert (page["videos"], page["total"], page["limit"], page["offset"]) == (whole[1:2], 3, 1, 1)


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=201", "limit=x", "limit=1.5", "offset=-1", f"offset={'9' * 5000}", "status=done"],
)
async def test_pages_that_are_none(local: House, query: str) -> None:
    assert query.partition("=")[0] in problem(await local.get(f"{LIST}?{query}"), 400)


async def test_everybody_has_a_gallery_of_their_own(known: House) -> None:
    hers, _ = await ordered(known, headers=ANN)
    his, _ = await ordered(known, headers=BEN)
    nobodys = await known.generate(await known.session())
    for video_id in (hers, his, nobodys):
        await over(known, video_id)
    for who, owner, video_id in ((ANN, "ann", hers), (BEN, "ben", his)):
        answer = (await known.get(LIST, headers=who)).json
        assert [(video["id"], video["userId"]) for video in answer["videos"]] == [(video_id, owner)]
        assert answer["total"] == 1
    url = (await known.get(LIST, headers=ANN)).json["videos"][0]["videoUrl"]
    assert (await known.get(url)).status == 200, "the address brings its own permission"
    assert (await known.get(url.partition("?")[0], headers=BEN)).status == 404
    assert url == (await asked(known, hers, headers=ANN)).json["videoUrl"]
