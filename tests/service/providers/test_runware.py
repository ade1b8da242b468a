"""The adapter through the real SDK, against a server that speaks the wire."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runware import LogEntry

from service.providers.base import Failed, Finished, InDoubt, Running, TaskStatus, UnknownTask, VideoTask
from service.providers.runware import RunwareProvider
from sessions.errors import ProviderError
from tests.house import runware_layer, settings_for
from tests.wire.runware_server import RunwareServer, Script


def a_task(prompt: str = "a lamp at dawn", **changes: Any) -> VideoTask:
    task = VideoTask(
        id=str(uuid.uuid4()),
        prompt=prompt,
        model="google:3@3",
        seconds=6.0,
        width=1280,
        height=720,
        scenario="hook",
        take=1,
    )
    return replace(task, **changes)


def provider_for(wire: RunwareServer, folder: Path, **changes: Any) -> RunwareProvider:
    return RunwareProvider(settings_for(folder, runware_layer(wire, **changes)).runware)


@pytest.fixture
async def provider(wire: RunwareServer, tmp_path: Path) -> AsyncIterator[RunwareProvider]:
    provider = provider_for(wire, tmp_path, acknowledge_seconds=3)
    await provider.open()
    yield provider
    await provider.close()


async def verdict(provider: RunwareProvider, task: VideoTask) -> TaskStatus:
    """The first answer that is not "running"."""
    while isinstance(status := await provider.check(task.id), Running):
        pass
    return status


async def test_submit_returns_at_the_acknowledgement_and_sends_our_uuid(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(hold=True))
    task = a_task(settings={"providerSettings": {"google": {"generateAudio": True}}})
    await provider.submit(task)
    (charge,) = wire.charges
    assert charge.task_uuid == task.id
    assert charge.params["includeCost"] is True
    assert charge.params["duration"] == 6
    assert (charge.params["width"], charge.params["height"]) == (1280, 720)
    assert charge.params["providerSettings"] == {"google": {"generateAudio": True}}
    assert isinstance(await provider.check(task.id), Running)


async def test_a_finished_task_has_a_url_and_its_cost(provider: RunwareProvider, wire: RunwareServer) -> None:
    wire.script("lamp", Script(cost=0.42))
    task = a_task()
    await provider.submit(task)
    finished = await verdict(provider, task)
    assert isinstance(finished, Finished)
    assert finished.cost_usd == 0.42
    assert finished.location.startswith(wire.files_url)


async def test_progress_is_a_fraction(provider: RunwareProvider, wire: RunwareServer) -> None:
    wire.script("lamp", Script(hold=True, progress=True))
    task = a_task()
    await provider.submit(task)
    wire.report_progress("lamp", 40)
    assert await provider.check(task.id) == Running(fraction=0.4)


async def test_a_product_image_is_the_first_frame_and_replaces_the_size(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    await provider.submit(a_task(image_url="https://example.com/lamp.png", width=0, height=0))
    (charge,) = wire.charges
    assert charge.params["inputs"] == {
        "frameImages": [{"image": "https://example.com/lamp.png", "frame": "first"}]
    }
    assert "width" not in charge.params


@pytest.mark.parametrize(
    ("raw", "code", "retryable"),
    [
        ("providerError", "provider", True),
        ("timeoutProvider", "timeout", True),
        ("invalidProviderContent", "safety", False),
        ("insufficientCredits", "quota", False),
        ("providerRateLimitExceeded", "rateLimit", True),
        ("internalServerError", "serverError", True),
        ("queueFull", "unknown", True),
        ("somethingNobodyDocumented", "unknown", True),
    ],
)
async def test_a_failed_task_says_why(
    provider: RunwareProvider, wire: RunwareServer, raw: str, code: str, *, retryable: bool
) -> None:
    wire.script("lamp", Script(fail_code=raw, fail_message="raw words"))
    task = a_task()
    await provider.submit(task)
    failed = await verdict(provider, task)
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.retryable) == (code, retryable)
    assert failed.error.details == {"provider_code": raw, "provider_message": "raw words"}
    assert failed.error.message.endswith(("again", "regenerate", "later", "minute", "raw words"))


async def test_a_refusal_costs_nothing(provider: RunwareProvider, wire: RunwareServer) -> None:
    wire.script(
        "lamp", Script(refuse_code="unsupportedDuration", refuse_message="duration must be 4, 6 or 8")
    )
    with pytest.raises(ProviderError, match="duration must be 4, 6 or 8") as refused:
        await provider.submit(a_task())
    assert (refused.value.code, refused.value.retryable) == ("validation", False)
    assert wire.charges == []


async def test_a_uuid_that_is_known_already_counts_as_accepted(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    task = a_task()
    await provider.submit(task)
    await provider.submit(task)
    assert len(wire.charges) == 1


async def test_a_lost_acknowledgement_is_not_a_second_charge(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(drop_after_accept=1))
    await provider.submit(a_task())
    assert len(wire.charges) == 1


async def test_no_acknowledgement_leaves_doubt(wire: RunwareServer, tmp_path: Path) -> None:
    wire.script("lamp", Script(ack_delay=30))
    provider = provider_for(wire, tmp_path, acknowledge_seconds=0.2)
    await provider.open()
    task = a_task()
    with pytest.raises(InDoubt):
        await provider.submit(task)
    assert not isinstance(await provider.check(task.id), Failed)
    await provider.close()
    assert len(wire.charges) == 1


async def test_an_error_meant_for_another_task_only_leaves_doubt(wire: RunwareServer, tmp_path: Path) -> None:
    wire.script("lamp", Script(ack_delay=30))
    provider = provider_for(wire, tmp_path, acknowledge_seconds=5)
    await provider.open()
    submitting = provider.submit(a_task())

    async def disturb() -> None:
        await wire.wait_for_charges(1)
        await wire.push_error("invalidProviderContent", "not yours", task_uuid=str(uuid.uuid4()))

    results = await asyncio.gather(submitting, disturb(), return_exceptions=True)
    assert isinstance(results[0], InDoubt)
    await provider.close()


async def test_an_unknown_task_is_told_from_no_answer(provider: RunwareProvider, wire: RunwareServer) -> None:
    with pytest.raises(UnknownTask):
        await provider.check(str(uuid.uuid4()))


async def test_an_empty_answer_is_no_answer(film: bytes, tmp_path: Path) -> None:
    async with RunwareServer(unknown_read="empty") as wire:
        provider = provider_for(wire, tmp_path, acknowledge_seconds=0.2)
        await provider.open()
        with pytest.raises(InDoubt):
            await provider.check(str(uuid.uuid4()))
        await provider.close()


@pytest.mark.parametrize("code", [None, 1001])
async def test_a_lost_connection_comes_back_by_itself(
    provider: RunwareProvider, wire: RunwareServer, code: int | None
) -> None:
    wire.script("lamp", Script(hold=True))
    task = a_task()
    await provider.submit(task)
    await wire.drop_connections(code)
    wire.release("lamp")
    assert isinstance(await verdict(provider, task), Finished)
    assert len(wire.charges) == 1


async def test_a_wrong_key_is_reported_and_nothing_is_sent(wire: RunwareServer, tmp_path: Path) -> None:
    provider = provider_for(wire, tmp_path, api_key="wrong-key-do-not-print")
    await provider.open()
    health = await provider.health()
    assert not health.ok
    assert "wrong-key" not in health.detail
    with pytest.raises(ProviderError) as refused:
        await provider.submit(a_task())
    assert refused.value.code == "auth"
    await provider.close()
    assert wire.submits == []


async def test_a_server_that_is_away_leaves_doubt_and_poor_health(
    wire: RunwareServer, tmp_path: Path
) -> None:
    wire.refuse_connections = True
    provider = provider_for(wire, tmp_path, acknowledge_seconds=0.5)
    await provider.open()
    assert not (await provider.health()).ok
    with pytest.raises(InDoubt):
        await provider.submit(a_task())
    wire.refuse_connections = False
    assert (await provider.health()).ok
    await provider.close()


async def test_text_comes_from_the_text_model(provider: RunwareProvider, wire: RunwareServer) -> None:
    wire.script_text(["a fine answer"])
    assert await provider.complete(system="be brief", prompt="say something") == "a fine answer"


async def test_a_failed_item_among_the_results_is_heard_as_a_verdict(provider: RunwareProvider) -> None:
    item = {"taskType": "videoInference", "taskUUID": "some-task", "status": "error"}
    frame = {"data": [{**item, "error": {"code": "invalidProviderContent", "message": "raw"}}]}
    provider._hear(LogEntry(category="receive", message=json.dumps(frame), timestamp=""))
    heard = provider._raw_errors["some-task"]
    assert (heard["code"], heard["status"]) == ("invalidProviderContent", "error")


async def test_a_result_without_a_web_address_is_not_followed(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(video_url="/etc/passwd"))
    task = a_task()
    await provider.submit(task)
    failed = await verdict(provider, task)
    assert isinstance(failed, Failed)
    assert "no https URL" in failed.error.message
