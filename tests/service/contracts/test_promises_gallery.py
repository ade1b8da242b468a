"""Promises of document 000 that are about more than one of its routes: its errors, and its records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house import House, open_house, runware_layer, settings_for
from tests.service.contracts.gallery_kit import (
    EXAMPLE,
    GENERATE,
    LIST,
    STATUSES,
    asked,
    database_of,
    over,
    picture,
    problem,
)
from tests.service.contracts.kit import reached
from tests.service.contracts.test_gallery import form
from tests.service.contracts.test_gallery_list import rows
from tests.service.contracts.test_identity import ANN, ON
from tests.sessions.making import new_id
from tests.wire.runware_server import RunwareServer, Script


def refusals() -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    """Every status that the contract refuses with, and a request that gets it."""
    csv = {**ANN, "Content-Type": "text/csv"}
    yield 400, "POST", GENERATE, {"json": {}, "headers": ANN}
    yield 400, "GET", GENERATE, {"headers": ANN}
    yield 400, "GET", f"{LIST}?limit=x", {"headers": ANN}
    yield 401, "POST", GENERATE, {"json": EXAMPLE}
    yield 401, "GET", f"{GENERATE}?videoId={new_id()}", {}
    yield 401, "GET", LIST, {}
    yield 402, "POST", GENERATE, {"json": EXAMPLE, "headers": ANN}
    yield 404, "GET", f"{GENERATE}?videoId={new_id()}&taskId={new_id()}", {"headers": ANN}
    yield 404, "GET", "/api/video/nothing", {"headers": ANN}
    yield 405, "PUT", GENERATE, {"json": {}, "headers": ANN}
    yield (
        413,
        "POST",
        GENERATE,
        {"data": b" " * (300 << 10), "headers": {**ANN, "Content-Type": "application/json"}},
    )
    yield 415, "POST", STATUSES, {"data": b"x", "headers": csv}


async def test_every_error_repeats_its_status(tmp_path: Path, subtests: pytest.Subtests) -> None:
    price = {"terms": {"gallery": {"currency": "tokens", "price": 5}}}
    async with open_house(settings_for(tmp_path, ON, price)) as house:
        for status, method, path, how in refusals():
            with subtests.test(f"{method} {path.partition('?')[0]}", status=status):
                answer = await house.ask(method, path, **how)
                assert problem(answer, status)
                assert answer.json["status"] == answer.status == status


async def test_faults_of_ours_repeat_their_status_too(local: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret of the inside")

    for name in ("job", "create_job", "gallery"):
        monkeypatch.setattr(database_of(local), name, broken)
    status = await local.get(GENERATE, params={"videoId": new_id(), "taskId": new_id()})
    assert problem(status, 500) == "Failed to check video status"
    for answer in (await local.post(GENERATE, EXAMPLE), await local.get(LIST)):
        assert problem(answer, 500)
        assert answer.json["status"] == answer.status


async def test_what_the_provider_has_answered_is_in_the_record(tmp_path: Path, wire: RunwareServer) -> None:
    """From there it is told, by whichever process, without asking the provider again."""
    wire.script_default(Script(hold=True, progress=True))
    layer = {"server": {"public_url": "https://video.example.com"}}
    settings = settings_for(tmp_path, runware_layer(wire), layer)
    async with open_house(settings) as house:
        started = await house.ask("POST", GENERATE, data=form(prompt="animate", imageFile=picture()))
        video_id, task_id = started.json["videoId"], started.json["taskId"]
        await reached(house, video_id, lambda it: it.scenes[0].progress == 30)
        wire.report_progress("animate", 40)
        await reached(house, video_id, lambda it: it.scenes[0].progress == 45)
        assert (await asked(house, video_id, task_id)).json["progress"] == 45
        row = record(house)
        assert (row["id"], row["runway_task_id"], row["status"]) == (video_id, task_id, "generating")
        assert row["metadata"]["progress"] == 45
        wire.release()
        await over(house, video_id)
        row, done, questions = record(house), await asked(house, video_id, task_id), wire.reads
        assert (row["status"], row["metadata"]["progress"]) == ("completed", 100)
        assert done.json["videoUrl"] == f"https://video.example.com{row['video_url']}"
        for _ in range(20):
            assert (await asked(house, video_id, task_id)).body == done.body
    wire.refuse_connections = True
    async with open_house(settings) as house:
        assert (await asked(house, video_id, task_id)).body == done.body
    assert wire.reads == questions, "what is known is not asked for"


def record(house: House) -> dict[str, Any]:
    """The one row of document 000's generated_videos."""
    [row] = rows(database_of(house), "generated_videos")
    return {**row, "metadata": json.loads(row["metadata"])}
