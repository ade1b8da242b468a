"""Questions that share messages: the real SDK on our socket, against a server that speaks the wire."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.providers.base import Failed, Finished, NoAnswer, Running, TaskStatus, VideoTask
from service.providers.runware import RunwareProvider
from service.providers.runware_socket import BATCH_LIMIT, BATCH_SECONDS, Sharing
from tests.house import runware_layer, settings_for
from tests.wire.runware_server import RunwareServer, Script


@asynccontextmanager
async def provider_on(wire: RunwareServer, folder: Path, **changes: Any) -> AsyncIterator[RunwareProvider]:
    settings = settings_for(folder, runware_layer(wire, **{"acknowledge_seconds": 3, **changes}))
    provider = RunwareProvider(settings.runware)
    await provider.open()
    await wire.wait_for_connection()
    try:
        yield provider
    finally:
        await provider.close()


@pytest.fixture
async def provider(wire: RunwareServer, tmp_path: Path) -> AsyncIterator[RunwareProvider]:
    async with provider_on(wire, tmp_path) as provider:
        yield provider


def tasks(count: int, prompt: str = "a lamp at dawn") -> list[VideoTask]:
    return [
        VideoTask(
            id=str(uuid.uuid4()),
            prompt=prompt,
            model="google:3@3",
            seconds=6.0,
            width=1280,
            height=720,
            scenario="hook",
            take=1,
        )
        for _ in range(count)
    ]


async def submitted(provider: RunwareProvider, tasks: Sequence[VideoTask]) -> list[str]:
    await asyncio.gather(*map(provider.submit, tasks))
    return [task.id for task in tasks]


async def ask(provider: RunwareProvider, task_ids: Sequence[str]) -> list[TaskStatus]:
    return await asyncio.gather(*map(provider.check, task_ids))


async def test_questions_asked_together_share_a_message(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(hold=True))
    task_ids = await submitted(provider, tasks(50))
    before = wire.messages
    assert await ask(provider, task_ids) == [Running()] * 50
    assert wire.messages == before + 1
    assert wire.reads == 50


async def test_other_tasks_go_out_at_once_and_one_by_one(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    before = wire.messages
    await submitted(provider, tasks(20))
    assert wire.messages == before + 20


async def test_a_message_holds_so_many_questions_and_no_more(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(hold=True))
    task_ids = await submitted(provider, tasks(2 * BATCH_LIMIT + 50))
    before = wire.messages
    await ask(provider, task_ids)
    assert wire.messages == before + 3


async def test_results_and_errors_in_one_frame_all_arrive(tmp_path: Path) -> None:
    async with RunwareServer(answers_together=True) as wire, provider_on(wire, tmp_path) as provider:
        wire.script("cat", Script(fail_code="invalidProviderContent"))
        wire.script("dog", Script(hold=True))
        mixed = [*tasks(5), *tasks(5, "a cat"), *tasks(5, "a dog")]
        answers = await ask(provider, await submitted(provider, mixed))
    assert [type(answer) for answer in answers] == [Finished] * 5 + [Failed] * 5 + [Running] * 5


async def test_a_server_that_looks_at_the_first_task_only_is_asked_singly(tmp_path: Path) -> None:
    async with (
        RunwareServer(first_only=True) as wire,
        provider_on(wire, tmp_path, acknowledge_seconds=0.5) as provider,
    ):
        wire.script("lamp", Script(hold=True))
        task_ids = await submitted(provider, tasks(10))
        with capture_logs() as logs:
            assert await ask(provider, task_ids) == [Running()] * 10
            before = wire.messages
            assert await ask(provider, task_ids) == [Running()] * 10
        assert wire.messages == before + 10
        warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
        assert warnings.count("runware.shared_messages_unanswered") == 1


async def test_a_task_that_gets_no_answer_either_way_does_not_end_sharing(tmp_path: Path) -> None:
    async with (
        RunwareServer(unknown_read="empty") as wire,
        provider_on(wire, tmp_path, acknowledge_seconds=0.3) as provider,
    ):
        known = await submitted(provider, tasks(1))
        asked = [*known, str(uuid.uuid4()), str(uuid.uuid4())]
        answers = await asyncio.gather(*map(provider.check, asked), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Finished, NoAnswer, NoAnswer]
        before = wire.messages
        known += await submitted(provider, tasks(3))
        await ask(provider, known)
        assert wire.messages == before + 3 + 1


def test_messages_become_as_short_as_what_was_answered() -> None:
    sharing = Sharing(200)
    sharing.asked(["a", "b", "c"])
    sharing.answered("c")
    sharing.asked(["d", "e", "f", "g", "h"])
    sharing.answered("e")
    assert sharing.is_suspect("g")
    with sharing.alone("g"):
        sharing.asked(["g"])
        sharing.answered("g")
    assert sharing.limit == 3
    assert not sharing.is_alone("g")
    sharing.asked(["a", "b", "c"])
    assert not sharing.is_suspect("b")


def test_nothing_is_kept_of_questions_that_are_over() -> None:
    sharing = Sharing()
    sharing.asked(["a", "b"])
    sharing.answered("a")
    sharing.forget("b")
    assert not sharing._asked


async def test_the_same_task_may_be_asked_for_twice_at_once(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    (task_id,) = await submitted(provider, tasks(1))
    one, two, record = await asyncio.gather(
        provider.check(task_id), provider.check(task_id), provider.details(task_id)
    )
    assert isinstance(one, Finished)
    assert one == two == record


async def test_a_question_nobody_waits_for_any_more_is_not_sent(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(hold=True))
    one, two = await submitted(provider, tasks(2))
    given_up = asyncio.create_task(provider.check(one))
    asking = asyncio.create_task(provider.check(two))
    await asyncio.sleep(BATCH_SECONDS / 4)
    given_up.cancel()
    assert await asking == Running()
    assert wire.reads == 1


async def test_questions_waiting_for_company_survive_a_lost_connection(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    task_ids = await submitted(provider, tasks(5))
    asking = asyncio.create_task(ask(provider, task_ids))
    await asyncio.sleep(BATCH_SECONDS / 4)
    await wire.drop_connections()
    assert all(isinstance(answer, Finished) for answer in await asking)
    assert not provider._sharing._asked


async def test_all_that_is_under_way_is_repeated_after_a_lost_connection(
    provider: RunwareProvider, wire: RunwareServer
) -> None:
    wire.script("lamp", Script(read_delay=30, late_reads=1))
    wire.script("cat", Script(ack_delay=30))
    task_ids = await submitted(provider, tasks(10))
    asking = asyncio.create_task(ask(provider, task_ids))
    submitting = asyncio.create_task(submitted(provider, tasks(10, "a cat")))
    await wire.wait_for_charges(20)
    await wire.wait_for_reads(10)
    before = wire.messages
    await wire.drop_connections(1001)
    assert all(isinstance(answer, Finished) for answer in await asking)
    await submitting
    assert wire.paid_twice() == ["a lamp at dawn", "a cat"]  # one prompt for ten tasks
    assert len(wire.charges) == 20
    assert wire.messages <= before + 4
