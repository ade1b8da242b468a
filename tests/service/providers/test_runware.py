"""The adapter through the real SDK, against a server that speaks the wire."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.providers.base import (
    Failed,
    Finished,
    InDoubt,
    NoAnswer,
    NotNow,
    Running,
    TaskStatus,
    UnknownTask,
    VideoTask,
)
from service.providers.runware import RunwareProvider
from service.providers.runware_socket import outcomes
from sessions.errors import ProviderError
from sessions.model import Frames
from tests.house import runware_layer, settings_for
from tests.wire.runware_server import RunwareServer, Script
from tests.wire.tasks import Reply


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
    await provider.submit(a_task(frames=Frames(first="https://example.com/lamp.png"), width=0, height=0))
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


async def test_an_error_that_names_no_task_leaves_doubt(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(ack_delay=30))

    async def disturb() -> None:
        await wire.wait_for_charges(1)
        await wire.push_error("invalidProviderContent", "whose?")

    results = await asyncio.gather(provider.submit(a_task()), disturb(), return_exceptions=True)
    assert isinstance(results[0], InDoubt)
    assert results[0].code == "safety"


async def test_a_late_answer_to_a_question_is_no_refusal(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(ack_delay=30))
    task = a_task()
    late = {"code": "rateLimitExceeded", "message": "no", "taskType": "getResponse", "taskUUID": task.id}

    async def disturb() -> None:
        await wire.wait_for_charges(1)
        for link in wire._links:
            await link.send(Reply(errors=(late,)))

    results = await asyncio.gather(provider.submit(task), disturb(), return_exceptions=True)
    assert isinstance(results[0], InDoubt)


async def test_an_error_about_a_task_nobody_waits_for_disturbs_no_other(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(ack_delay=0.3))

    async def disturb() -> None:
        await wire.wait_for_charges(1)
        await wire.push_error("invalidProviderContent", "not yours", task_uuid=str(uuid.uuid4()))

    await asyncio.gather(provider.submit(a_task()), disturb())


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


@pytest.mark.parametrize(
    ("part", "errors"),
    [
        (
            {"data": [{"taskUUID": "t", "status": "error", "error": {"code": "c", "message": "m"}}]},
            [{"taskUUID": "t", "status": "error", "code": "c", "message": "m"}],
        ),
        ({"data": [{"status": "error", "error": "m"}]}, [{"status": "error", "error": "m"}]),
        ({"error": {"code": "c"}}, [{"code": "c"}]),
        ({"error": "m", "errors": [{"code": "c"}]}, [{"code": "c"}, {"message": "m"}]),
    ],
)
def test_errors_are_found_wherever_they_are(part: dict[str, Any], errors: list[Any]) -> None:
    found = outcomes(part)[1]
    assert [{key: error[key] for key in want} for error, want in zip(found, errors, strict=True)] == errors


async def test_a_result_without_a_web_address_is_not_followed(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(video_url="/etc/passwd"))
    task = a_task()
    await provider.submit(task)
    failed = await verdict(provider, task)
    assert isinstance(failed, Failed)
    assert "no https URL" in failed.error.message


@pytest.mark.parametrize(
    ("raw", "retry_after", "scope"),
    [
        ("queueFull", 7.5, "model"),
        ("providerRateLimitExceeded", None, "model"),
        ("noAvailableServer", 0.0, "model"),
        ("serviceUnavailable", 30.0, "provider"),
    ],
)
async def test_a_busy_provider_says_for_how_long(
    provider: RunwareProvider, wire: RunwareServer, raw: str, retry_after: float | None, scope: str
) -> None:
    wire.script("lamp", Script(refuse_code=raw, refuse_retry_after=retry_after), Script())
    task = a_task()
    with pytest.raises(NotNow) as busy:
        await provider.submit(task)
    assert (busy.value.code, busy.value.retry_after, busy.value.scope) == (raw, retry_after, scope)
    await provider.submit(task)
    assert len(wire.charges) == 1


async def test_a_server_in_trouble_leaves_doubt_with_its_code(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(read_errors=1))
    task = a_task()
    await provider.submit(task)
    with pytest.raises(InDoubt) as doubt:
        await provider.check(task.id)
    assert doubt.value.code == "serverError"
    assert isinstance(await provider.check(task.id), Finished)


async def test_the_record_of_a_task_has_its_outcome(provider: RunwareProvider, wire: RunwareServer) -> None:
    wire.script("lamp", Script(cost=0.42))
    wire.script("cat", Script(fail_code="invalidProviderContent"))
    made, failed = a_task(), a_task("a cat")
    for task in (made, failed):
        await provider.submit(task)
    wire.forget()
    with pytest.raises(UnknownTask):
        await provider.check(made.id)
    finished = await provider.details(made.id)
    assert isinstance(finished, Finished)
    assert finished.cost_usd == 0.42
    failure = await provider.details(failed.id)
    assert isinstance(failure, Failed)
    assert failure.error.code == "safety"


async def test_a_cancelled_task_has_failed(provider: RunwareProvider, wire: RunwareServer) -> None:
    wire.script("lamp", Script(fail_code="taskCancelled"))
    task = a_task()
    await provider.submit(task)
    assert isinstance(await provider.details(task.id), Failed)


async def test_a_task_on_record_without_a_response_is_running(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(hold=True))
    task = a_task()
    await provider.submit(task)
    assert await provider.details(task.id) == Running()


async def test_a_task_without_a_record_is_unknown(provider: RunwareProvider, wire: RunwareServer) -> None:
    with pytest.raises(UnknownTask):
        await provider.details(str(uuid.uuid4()))


async def test_a_record_out_of_reach_leaves_doubt(wire: RunwareServer, tmp_path: Path) -> None:
    wire.refuse_connections = True
    provider = provider_for(wire, tmp_path, acknowledge_seconds=0.5)
    with pytest.raises(InDoubt) as doubt:
        await provider.details(str(uuid.uuid4()))
    assert doubt.value.code == "connection"
    await provider.close()


async def test_a_silent_archive_is_left_alone_for_a_while(
    wire: RunwareServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.providers.runware._ARCHIVE_SECONDS", 0.05)
    monkeypatch.setattr(wire, "_tell", lambda _message: Reply(delay=30))
    provider = provider_for(wire, tmp_path)
    with pytest.raises(NoAnswer, match="timed out"):
        await provider.details(str(uuid.uuid4()))
    with pytest.raises(NoAnswer, match="just been silent"):
        await provider.details(str(uuid.uuid4()))
    await provider.close()


_MADE = {"taskUUID": "t", "status": "success", "videoURL": "https://vm.runware.ai/v.mp4", "cost": 0.1}
_ASKED = [{"taskType": "videoInference", "taskUUID": "t"}]


@pytest.mark.parametrize("response", [{"data": [_MADE]}, [_MADE], _MADE, {"data": [{}, _MADE], "errors": []}])
async def test_records_vary_in_shape(wire: RunwareServer, tmp_path: Path, response: Any) -> None:
    provider = RunwareProvider(
        settings_for(tmp_path, runware_layer(wire, ws_url="wss://example.invalid")).runware
    )
    record = {"taskUUID": "t", "request": _ASKED, "response": response}
    assert provider._on_record([record]) == Finished(location=_MADE["videoURL"], cost_usd=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"request": [], "response": {}},
        {"request": _ASKED, "response": {"errors": [{"code": "conflictTaskUUID", "message": "used"}]}},
        {"request": _ASKED, "response": {"errors": [{"code": "taskFailedOrNotFound"}]}},
    ],
)
async def test_a_record_that_says_nothing_leaves_doubt(provider: RunwareProvider, record: Any) -> None:
    with pytest.raises(InDoubt):
        provider._on_record([record])


async def test_a_webhook_address_goes_along(provider: RunwareProvider, wire: RunwareServer) -> None:
    wire.script("lamp", Script(webhook_lost=True))
    await provider.submit(a_task(webhook_url="https://example.com/calls/secret"))
    await provider.submit(a_task())
    assert [charge.params.get("webhookURL") for charge in wire.charges] == [
        "https://example.com/calls/secret",
        None,
    ]


async def test_many_who_find_no_connection_make_one_attempt(
    wire: RunwareServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.providers.runware._BETWEEN_ATTEMPTS", 600.0)
    wire.refuse_next(100)
    provider = provider_for(wire, tmp_path, acknowledge_seconds=5)
    await provider.open()
    asked = (provider.check(str(uuid.uuid4())) for _ in range(50))
    sent = (provider.submit(a_task()) for _ in range(50))
    results = await asyncio.gather(*asked, *sent, return_exceptions=True)
    assert all(isinstance(result, InDoubt) and result.code == "connection" for result in results)
    assert len(wire._refusals) >= 98
    await provider.close()
