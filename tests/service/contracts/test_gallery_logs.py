"""What is logged of each request (document 000, "Monitoring and Logging")."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from service.logs import configure_logging
from tests.house import House, open_house, settings_for
from tests.service.contracts.gallery_kit import EXAMPLE, GENERATE, LIST, STATUSES, asked, ordered, over
from tests.service.contracts.test_identity import ANN, BEN, ON
from tests.sessions.making import new_id

CHECKED = "[MINATO-INFO] [Video Status API] Runway API response"

Line = MutableMapping[str, Any]


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on."""
    async with open_house(settings_for(tmp_path, ON)) as house:
        yield house


@contextmanager
def lines() -> Iterator[list[Line]]:
    """The lines of this contract; those of jobs come when they come."""
    found: list[Line] = []
    with capture_logs() as logs:
        yield found
    found += [line for line in logs if line["event"].startswith(("gallery.", "["))]


async def test_each_check_of_a_status(known: House) -> None:
    video_id, task_id = await ordered(known, {"prompt": "A lamp"}, headers=ANN)
    await over(known, video_id)
    with lines() as found:
        await asked(known, video_id, task_id, headers=ANN)
        tag = (await asked(known, video_id, headers=ANN)).headers["ETag"]
        await asked(known, None, task_id, headers={**ANN, "If-None-Match": tag})
    assert len(found) == 3
    for line in found:
        assert line.pop("ms") >= 0
        assert line == {
            "event": CHECKED,
            "log_level": "info",
            "user": "ann",
            "videoId": video_id,
            "taskId": task_id,
            "status": "SUCCEEDED",
            "progress": 100,
            "hasOutput": True,
        }


async def test_the_line_of_a_video_on_its_way(local: House) -> None:
    video_id, task_id = await ordered(local, {"prompt": "A lamp [[slow 20s]]"})
    with lines() as found:
        said = (await asked(local, video_id, task_id)).json
    [line] = found
    assert (line["event"], line["taskId"]) == (CHECKED, task_id)
    assert (line["status"], line["progress"], line["hasOutput"]) == (said["status"], said["progress"], False)
    await local.post(f"/api/videos/cancel/{video_id}", {})


async def test_each_of_many(known: House) -> None:
    mine, _ = await ordered(known, {"prompt": "A lamp"}, headers=ANN)
    unknown = new_id()
    with lines() as found:
        await known.post(STATUSES, {"videos": [{"videoId": mine}, {"videoId": unknown}]}, headers=ANN)
    assert [(line["event"], line["videoId"]) for line in found] == [
        (CHECKED, mine),
        ("gallery.refused", unknown),
    ]


async def test_an_order_and_a_look_at_the_gallery(known: House) -> None:
    with lines() as found:
        video_id, task_id = await ordered(known, EXAMPLE, headers=ANN)
        await known.get(LIST, headers=BEN)
    order, look = found
    assert order.pop("ms") >= 0
    assert order == {
        "event": "gallery.ordered",
        "log_level": "info",
        "user": "ann",
        "videoId": video_id,
        "taskId": task_id,
    }
    assert (look["event"], look["user"], look["videos"]) == ("gallery.listed", "ben", 0)


async def test_what_was_refused(known: House) -> None:
    video_id, task_id = await ordered(known, EXAMPLE, headers=ANN)
    with lines() as found:
        await asked(known, video_id, task_id, headers=BEN)
        await asked(known, "x" * 500, headers=BEN)
        await known.post(GENERATE, {}, headers=BEN)
    refused, malformed, order = found
    assert refused.pop("ms") >= 0
    assert refused == {
        "event": "gallery.refused",
        "log_level": "info",
        "user": "ben",
        "videoId": video_id,
        "taskId": task_id,
        "error": "Video record not found",
    }
    assert malformed["videoId"] == "x" * 64
    assert order["error"] == "Give imageUrl, imageFile or prompt"


async def test_what_broke(local: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr(local.service.studio._store, "job", broken)
    video_id = new_id()
    with lines() as found:
        await asked(local, video_id)
    [line] = found
    assert (line["event"], line["videoId"], line["error"]) == ("gallery.refused", video_id, "RuntimeError")


async def test_the_line_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path, {"log": {"format": "json"}})
    configure_logging(settings.log)
    try:
        async with open_house(settings) as house:
            video_id, task_id = await ordered(house, {"prompt": "A lamp"})
            stream = io.StringIO()
            monkeypatch.setattr(sys, "stderr", stream)
            await asked(house, video_id, task_id, headers={"X-Request-ID": "my-request-1"})
            monkeypatch.undo()
    finally:
        structlog.reset_defaults()
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    [line] = [line for line in written if line["event"] == CHECKED]
    assert (line["taskId"], line["level"], line["request"]) == (task_id, "info", "my-request-1")
