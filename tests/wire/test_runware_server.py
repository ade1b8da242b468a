"""The real SDK against the protocol server: what the adapter may rely on, and what it may not."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from runware import Runware
from runware.errors import RunwareError
from runware.types.sdk import RunOptions

from tests.wire.process import RunwareProcess
from tests.wire.runware_server import Delivery, FileReply, Refusal, RunwareServer, Script

Json = dict[str, Any]


@pytest.fixture
async def server() -> AsyncIterator[RunwareServer]:
    async with RunwareServer() as running:
        yield running


@pytest.fixture
async def client(server: RunwareServer) -> AsyncIterator[Runware]:
    async with sdk(server) as connected:
        yield connected


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def sdk(server: RunwareServer | RunwareProcess, *, api_key: str = "test-key", **config: object) -> Runware:
    urls = {"ws_base_url": server.ws_url, "http_base_url": server.http_url}
    return Runware(api_key=api_key, **{"retry_delay": 50, **urls, **config})


def video(prompt: str = "a cat in the rain", **params: Any) -> Json:
    return {
        "taskType": "videoInference",
        "taskUUID": str(uuid.uuid4()),
        "model": "google:3@3",
        "positivePrompt": prompt,
        "deliveryMethod": "async",
        "includeCost": True,
        **params,
    }


async def submit(client: Runware, task: Json, timeout_ms: int = 10_000) -> list[Json]:
    """Returns at the acknowledgement, unlike `run()`."""
    return await client._utility("videoInference", task, RunOptions(timeout=timeout_ms))


async def read(client: Runware, task: Json, timeout_ms: int = 10_000) -> Json:
    [item] = await client.get_response({"taskUUID": task["taskUUID"]}, RunOptions(timeout=timeout_ms))
    return dict(item)


async def finished_url(client: Runware, server: RunwareServer, *files: FileReply) -> str:
    server.script_default(Script(files=files or (FileReply(),)))
    task = video()
    await submit(client, task)
    return str((await read(client, task))["videoURL"])


async def signed_in(http: aiohttp.ClientSession, server: RunwareServer) -> aiohttp.ClientWebSocketResponse:
    """A socket without the SDK."""
    socket = await http.ws_connect(server.ws_url)
    await socket.send_json([{"taskType": "authentication", "apiKey": "test-key"}])
    await socket.receive_json()
    return socket


def reading(*tasks: Json) -> list[Json]:
    return [{"taskType": "getResponse", "taskUUID": task["taskUUID"]} for task in tasks]


async def details(client: Runware, task: Json) -> Json:
    [item] = await client.get_task_details({"taskUUID": task["taskUUID"]})
    return dict(item)


class Receiver:
    """Where callbacks arrive."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[Json] = []
        #: answers in turn; then 200
        self.statuses = list(statuses)
        self.url = ""

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.add_routes([web.post("/callback", receiver.receive)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback?token=1"
    yield receiver
    await runner.cleanup()


class TestSigningIn:
    async def test_a_wrong_key_is_refused_at_once(self, server: RunwareServer) -> None:
        client = sdk(server, api_key="wrong")
        with pytest.raises(RunwareError) as caught:
            await client.connect()
        await client.close()
        assert caught.value.code == "auth"

    async def test_silence_ends_with_the_timeout(self, server: RunwareServer) -> None:
        server.answer_sign_in = False
        client = sdk(server, auth_timeout=100)
        with pytest.raises(RunwareError) as caught:
            await client.connect()
        await client.close()
        assert caught.value.code == "auth"

    async def test_connections_are_counted(self, server: RunwareServer) -> None:
        async with sdk(server), sdk(server):
            await server.wait_for_connection(2)
            assert server.connections == 2

    @pytest.mark.parametrize("status", [500, 503])
    async def test_refused_handshakes(
        self, server: RunwareServer, http: aiohttp.ClientSession, status: int
    ) -> None:
        server.refuse_next(2, status)
        for _ in range(2):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await http.ws_connect(server.ws_url)
            assert caught.value.status == status
        await signed_in(http, server)

    async def test_the_sdk_outlasts_refused_handshakes(self, server: RunwareServer, client: Runware) -> None:
        await submit(client, video("first"))
        server.refuse_next(2)
        await server.drop_connections()
        await submit(client, video("second"))
        assert [charge.prompt for charge in server.charges] == ["first", "second"]

    async def test_ping_and_session(self, server: RunwareServer, http: aiohttp.ClientSession) -> None:
        async with http.ws_connect(server.ws_url) as socket:
            await socket.send_json([{"taskType": "ping", "ping": True}])
            assert (await socket.receive_json())["errors"][0]["code"] == "invalidApiKey"
            session = {"connectionSessionUUID": "f40c2aeb"}
            await socket.send_json([{"taskType": "authentication", "apiKey": "test-key", **session}])
            assert await socket.receive_json() == {"data": [{"taskType": "authentication", **session}]}
            await socket.send_json([{"taskType": "ping", "ping": True}])
            assert await socket.receive_json() == {"data": [{"taskType": "ping", "pong": True}]}
            await socket.send_str('"no tasks"')
            assert (await socket.receive_json())["errors"][0]["code"] == "invalidRequest"


class TestRun:
    async def test_success(self, server: RunwareServer, client: Runware) -> None:
        task = video(seed=7)
        [item] = await client.run(task, RunOptions(timeout=10_000))
        assert item["status"] == "success"
        assert item["videoURL"] == f"{server.files_url}/{item['videoUUID']}.mp4"
        assert (item["cost"], item["seed"]) == (0.18, 7)
        [charge] = server.charges
        assert (charge.task_uuid, charge.prompt, charge.model) == (
            task["taskUUID"],
            "a cat in the rain",
            "google:3@3",
        )

    async def test_provider_failure(self, server: RunwareServer, client: Runware) -> None:
        server.script("cat", Script(fail_code="providerError", fail_message="Out of rain."))
        with pytest.raises(RunwareError, match="Out of rain") as caught:
            await client.run(video(), RunOptions(timeout=10_000))
        assert (caught.value.code, caught.value.retryable) == ("provider", True)

    @pytest.mark.parametrize("code", [None, 1001])
    async def test_a_lost_connection_recovers_and_costs_once(
        self, server: RunwareServer, client: Runware, code: int | None
    ) -> None:
        server.script("cat", Script(hold=True))
        running = asyncio.create_task(client.run(video(), RunOptions(timeout=20_000)))
        await server.wait_for_reads(1)
        assert await server.drop_connections(code) == 1
        await server.wait_for_connection()
        assert server.release("cat") == 1
        [item] = await running
        assert item["status"] == "success"
        assert len(server.charges) == 1
        assert server.connections == 1


class TestSubmit:
    """`_utility` with a video task: the call ends at the acknowledgement."""

    async def test_returns_at_the_acknowledgement(self, server: RunwareServer, client: Runware) -> None:
        server.script("cat", Script(hold=True))
        task = video()
        acknowledged = [{"taskType": "videoInference", "taskUUID": task["taskUUID"]}]
        assert await submit(client, task) == acknowledged
        assert (await read(client, task))["status"] == "processing"

    async def test_an_error_frame_raises(self, server: RunwareServer, client: Runware) -> None:
        server.script("cat", Script(refuse_code="invalidProviderContent", refuse_message="Not this cat."))
        with pytest.raises(RunwareError, match="Not this cat") as caught:
            await submit(client, video())
        assert (caught.value.code, caught.value.retryable) == ("safety", False)
        assert server.charges == []

    async def test_a_used_uuid_is_a_conflict(self, server: RunwareServer, client: Runware) -> None:
        task = video()
        await submit(client, task)
        with pytest.raises(RunwareError, match="'taskUUID' has already been used") as caught:
            await submit(client, task)
        assert (caught.value.code, caught.value.parameter) == ("validation", "taskUUID")
        assert (len(server.charges), len(server.submits)) == (1, 2)
        assert server.paid_twice() == []

    @pytest.mark.parametrize(
        "script", [Script(drop_after_accept=1), Script(drop_before_accept=1)], ids=["accepted", "lost"]
    )
    async def test_a_socket_dropped_before_the_acknowledgement(
        self, server: RunwareServer, client: Runware, script: Script
    ) -> None:
        """The SDK sends it again, not before it is a second old, and takes the conflict as the answer."""
        server.script("cat", script)
        task = video()
        started = time.monotonic()
        assert await submit(client, task) == [
            {"taskType": "videoInference", "taskUUID": task["taskUUID"]},
        ]
        assert time.monotonic() - started > 0.9
        assert (len(server.charges), len(server.submits)) == (1, 2)

    async def test_a_submission_held_back_until_its_timeout_is_never_sent(
        self, server: RunwareServer, client: Runware
    ) -> None:
        server.refuse_connections = True
        await server.drop_connections()
        with pytest.raises(RunwareError) as caught:
            await submit(client, video("first"), timeout_ms=200)
        assert caught.value.code == "timeout"
        server.refuse_connections = False
        await submit(client, video("second"))
        assert [charge.prompt for charge in server.charges] == ["second"]

    async def test_an_acknowledgement_that_comes_late_answers_the_next_read(
        self, server: RunwareServer, client: Runware
    ) -> None:
        """It carries no status; it means accepted."""
        server.script("cat", Script(ack_delay=1.0, read_delay=30.0))
        task = video()
        with pytest.raises(RunwareError):
            await submit(client, task, timeout_ms=100)
        assert "status" not in await read(client, task)

    async def test_what_is_invalid_is_not_charged(self, server: RunwareServer, client: Runware) -> None:
        wrong = {
            "taskUUID": {"taskUUID": str(uuid.uuid5(uuid.NAMESPACE_URL, "cat"))},
            "model": {"model": ""},
            "positivePrompt": {"positivePrompt": "x"},
            "deliveryMethod": {"deliveryMethod": "sync"},
        }
        for parameter, params in wrong.items():
            with pytest.raises(RunwareError) as caught:
                await submit(client, video(**params))
            assert (caught.value.code, caught.value.parameter) == ("validation", parameter)
        assert server.charges == []

    @pytest.mark.parametrize("code", ["providerRateLimitExceeded", "noAvailableServer", "serviceUnavailable"])
    async def test_full_for_a_while(
        self, server: RunwareServer, http: aiohttp.ClientSession, code: str
    ) -> None:
        full = Script(refuse_code=code, refuse_retry_after=2.5)
        server.script("cat", full, full, Script())
        socket, task = await signed_in(http, server), video()
        for _ in range(2):
            await socket.send_json([task])
            [error] = (await socket.receive_json())["errors"]
            assert (error["code"], error["retryAfter"], error["taskUUID"]) == (code, 2.5, task["taskUUID"])
            assert "status" not in error
        assert server.charges == []
        await socket.send_json([task])
        assert (await socket.receive_json())["data"][0]["taskUUID"] == task["taskUUID"]
        assert len(server.charges) == 1

    async def test_scripts_in_turn(self, server: RunwareServer, client: Runware) -> None:
        busy = Script(refuse_code="providerRateLimitExceeded")
        server.script("cat", busy, Script(fail_code="providerError"), Script())
        first, second = video(), video()
        with pytest.raises(RunwareError) as caught:
            await submit(client, first)
        assert caught.value.code == "rateLimit"
        await submit(client, first)
        with pytest.raises(RunwareError):
            await read(client, first)
        await submit(client, second)
        assert (await read(client, second))["status"] == "success"
        assert server.paid_twice() == ["a cat in the rain"]


class TestRead:
    async def test_from_another_client(self, server: RunwareServer) -> None:
        task = video()
        async with sdk(server) as before:
            await submit(before, task)
        async with sdk(server) as after:
            assert (await read(after, task))["status"] == "success"

    async def test_an_unknown_uuid_is_not_found(self, server: RunwareServer, client: Runware) -> None:
        with pytest.raises(RunwareError) as caught:
            await read(client, video())
        assert caught.value.code == "notFound"

    async def test_an_empty_answer_reaches_nobody(self, server: RunwareServer, client: Runware) -> None:
        """`data: []` names no task, so the read ends with its own timeout."""
        server.unknown_read = "empty"
        started = time.monotonic()
        with pytest.raises(RunwareError) as caught:
            await read(client, video(), timeout_ms=200)
        assert caught.value.code == "timeout"
        assert time.monotonic() - started > 0.15

    async def test_progress_and_release(self, server: RunwareServer, client: Runware) -> None:
        server.script("cat", Script(hold=True, progress=True, early_video_uuid=True))
        task = video()
        await submit(client, task)
        assert (await read(client, task))["progress"] == 0
        server.report_progress("cat", 40)
        item = await read(client, task)
        assert item["progress"] == 40
        assert "videoUUID" in item
        server.release("cat")
        assert (await read(client, task))["status"] == "success"

    async def test_a_forgotten_task_keeps_its_uuid_and_its_details(
        self, server: RunwareServer, client: Runware
    ) -> None:
        task = video()
        await submit(client, task)
        server.forget()
        with pytest.raises(RunwareError):
            await read(client, task)
        with pytest.raises(RunwareError, match="already been used"):
            await submit(client, task)
        assert (await details(client, task))["response"]["data"][0]["status"] == "success"

    @pytest.mark.parametrize("code", ["internalServerError", "serviceUnavailable"])
    async def test_trouble_for_a_while(self, server: RunwareServer, client: Runware, code: str) -> None:
        server.script("cat", Script(read_errors=2, read_error_code=code))
        task = video()
        await submit(client, task)
        for _ in range(2):
            with pytest.raises(RunwareError) as caught:
                await read(client, task)
            assert caught.value.task_uuid == task["taskUUID"]
        assert (await read(client, task))["status"] == "success"

    async def test_late_at_first(self, server: RunwareServer, client: Runware) -> None:
        server.script("cat", Script(read_delay=60.0, late_reads=1))
        task = video()
        await submit(client, task)
        with pytest.raises(RunwareError) as caught:
            await read(client, task, timeout_ms=100)
        assert caught.value.code == "timeout"
        assert (await read(client, task))["status"] == "success"

    async def test_timeout_of_the_provider_is_unknown_to_the_sdk(
        self, server: RunwareServer, client: Runware
    ) -> None:
        server.script("cat", Script(fail_code="timeoutProvider"))
        task = video()
        await submit(client, task)
        with pytest.raises(RunwareError) as caught:
            await read(client, task)
        assert (caught.value.code, caught.value.retryable) == ("unknown", False)

    async def test_a_late_error_of_one_task_hits_all_others(
        self, server: RunwareServer, client: Runware
    ) -> None:
        """The SDK hands an error it cannot place to every call; only `task_uuid` tells it is not theirs."""
        server.script("slow", Script(fail_code="providerError", read_delay=1.0))
        server.script("innocent", Script(ack_delay=30.0))
        guilty, innocent = video("slow"), video("innocent")
        await submit(client, guilty)
        with pytest.raises(RunwareError):
            await read(client, guilty, timeout_ms=100)
        with pytest.raises(RunwareError) as caught:
            await submit(client, innocent)
        assert caught.value.task_uuid == guilty["taskUUID"]
        assert [charge.prompt for charge in server.charges] == ["slow", "innocent"]

    async def test_an_error_about_no_task_hits_all_as_their_own(
        self, server: RunwareServer, client: Runware
    ) -> None:
        server.script("cat", Script(ack_delay=30.0))
        task = video()
        submitting = asyncio.create_task(submit(client, task))
        await server.wait_for_charges(1)
        await server.push_error("internalServerError", "Something broke.")
        with pytest.raises(RunwareError) as caught:
            await submitting
        assert (caught.value.code, caught.value.task_uuid) == ("serverError", task["taskUUID"])


class TestDetails:
    async def test_of_a_finished_task(self, server: RunwareServer, client: Runware) -> None:
        task = video()
        await submit(client, task)
        item = await read(client, task)
        server.forget()
        assert await details(client, task) == {
            "taskType": "getTaskDetails",
            "taskUUID": task["taskUUID"],
            "request": [task],
            "response": {"data": [item]},
        }

    async def test_of_a_failed_task(self, server: RunwareServer, client: Runware) -> None:
        server.script("cat", Script(fail_code="providerError"))
        task = video()
        await submit(client, task)
        response = (await details(client, task))["response"]
        assert [*response] == ["errors"]
        assert (response["errors"][0]["code"], response["errors"][0]["status"]) == ("providerError", "error")

    async def test_of_a_running_task(self, server: RunwareServer, client: Runware) -> None:
        server.script("cat", Script(hold=True))
        task = video()
        await submit(client, task)
        assert (await details(client, task))["response"] == {}

    @pytest.mark.parametrize("submitted", [True, False])
    async def test_of_an_unknown_task(self, server: RunwareServer, client: Runware, submitted: bool) -> None:
        task = video()
        if submitted:
            await submit(client, task)
        server.forget(wholly=True)
        server.unknown_read = "empty"
        with pytest.raises(RunwareError) as caught:
            await details(client, task)
        assert (caught.value.code, caught.value.task_uuid) == ("notFound", task["taskUUID"])


class TestMessages:
    async def test_each_task_is_answered_by_itself(
        self, server: RunwareServer, http: aiohttp.ClientSession
    ) -> None:
        socket, first, second = await signed_in(http, server), video("one cat"), video("two cats")
        await socket.send_json([first, second])
        answers = [(await socket.receive_json())["data"][0]["taskUUID"] for _ in range(2)]
        assert sorted(answers) == sorted([first["taskUUID"], second["taskUUID"]])
        await socket.send_json([{"taskType": "ping", "ping": True}])
        await socket.receive_json()
        assert (server.messages, len(server.submits)) == (1, 2)

    async def test_only_the_first_is_looked_at(
        self, server: RunwareServer, http: aiohttp.ClientSession
    ) -> None:
        server.first_only = True
        socket, first, second = await signed_in(http, server), video("one cat"), video("two cats")
        await socket.send_json([first, second])
        assert (await socket.receive_json())["data"][0]["taskUUID"] == first["taskUUID"]
        await socket.send_json(reading(second, first))
        assert (await socket.receive_json())["errors"][0]["taskUUID"] == second["taskUUID"]
        assert (server.messages, server.reads, len(server.submits)) == (2, 1, 1)

    async def test_reads_are_answered_in_one_frame(
        self, server: RunwareServer, http: aiohttp.ClientSession
    ) -> None:
        server.answers_together = True
        socket, known, unknown = await signed_in(http, server), video(), video()
        await socket.send_json([known])
        await socket.receive_json()
        await socket.send_json(reading(unknown, known))
        frame = await socket.receive_json()
        assert [item["taskUUID"] for item in frame["data"]] == [known["taskUUID"]]
        assert [error["taskUUID"] for error in frame["errors"]] == [unknown["taskUUID"]]
        assert (server.messages, server.reads) == (2, 2)


class TestWebhooks:
    async def test_the_flat_result(self, server: RunwareServer, client: Runware, receiver: Receiver) -> None:
        server.script("cat", Script(hold=True))
        task = video(webhookURL=receiver.url)
        await submit(client, task)
        assert server.deliveries == []
        server.release()
        assert await server.wait_for_deliveries() == [Delivery(url=receiver.url, status=200)]
        assert receiver.bodies == [await read(client, task)]

    async def test_a_failure(self, server: RunwareServer, client: Runware, receiver: Receiver) -> None:
        server.script("cat", Script(fail_code="providerError", seconds=0.05))
        task = video(webhookURL=receiver.url)
        await submit(client, task)
        await server.wait_for_deliveries()
        [body] = receiver.bodies
        [error] = body["errors"]
        assert (error["code"], error["taskUUID"]) == ("providerError", task["taskUUID"])

    async def test_again_until_it_is_accepted(
        self, server: RunwareServer, client: Runware, receiver: Receiver
    ) -> None:
        receiver.statuses = [500, 404]
        started = time.monotonic()
        await submit(client, video(webhookURL=receiver.url))
        deliveries = await server.wait_for_deliveries(3)
        assert [delivery.status for delivery in deliveries] == [500, 404, 200]
        assert time.monotonic() - started > 0.7

    async def test_nobody_there(self, server: RunwareServer, client: Runware) -> None:
        await submit(client, video(webhookURL="http://127.0.0.1:9/nobody"))
        deliveries = await server.wait_for_deliveries(4)
        assert [delivery.status for delivery in deliveries] == [None] * 4

    async def test_twice_and_never(self, server: RunwareServer, client: Runware, receiver: Receiver) -> None:
        server.script("lost", Script(webhook_lost=True))
        server.script("cat", Script(webhook_copies=2))
        await submit(client, video("a lost dog", webhookURL=receiver.url))
        cat = video(webhookURL=receiver.url)
        await submit(client, cat)
        await server.wait_for_deliveries(2)
        assert [body["taskUUID"] for body in receiver.bodies] == [cat["taskUUID"]] * 2


class TestHttp:
    async def test_the_same_tasks(self, server: RunwareServer) -> None:
        async with sdk(server, transport="rest") as client:
            task = video()
            await submit(client, task)
            assert (await read(client, task))["status"] == "success"
            with pytest.raises(RunwareError) as caught:
                await submit(client, task)
        assert (caught.value.parameter, caught.value.status_code) == ("taskUUID", 400)
        assert len(server.charges) == 1

    async def test_a_wrong_key(self, server: RunwareServer) -> None:
        async with sdk(server, transport="rest", api_key="wrong") as client:
            with pytest.raises(RunwareError) as caught:
                await submit(client, video())
        assert (caught.value.code, caught.value.status_code) == ("auth", 401)


class TestText:
    @staticmethod
    async def write(client: Runware, delivery: str = "sync") -> str:
        task = {"taskType": "textInference", "model": "google:gemini@3.1-flash-lite", "includeCost": True}
        messages = [{"role": "user", "content": "four scenes"}]
        [item] = await client.run({**task, "deliveryMethod": delivery, "messages": messages})
        return str(item["text"])

    async def test_in_turn(self, server: RunwareServer, client: Runware) -> None:
        server.script_text(["one", Refusal(code="providerRateLimitExceeded", message="Later."), "two"])
        assert await self.write(client) == "one"
        with pytest.raises(RunwareError, match="Later"):
            await self.write(client)
        assert [await self.write(client), await self.write(client)] == ["two", "two"]
        assert len(server.texts) == 4

    async def test_by_the_messages(self, server: RunwareServer, client: Runware) -> None:
        server.script_text(lambda messages: messages[-1]["content"].upper())
        assert await self.write(client) == "FOUR SCENES"
        assert await self.write(client, "async") == "FOUR SCENES"


class TestFiles:
    async def test_the_video(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession
    ) -> None:
        server.video = b"0123456789"
        url = await finished_url(client, server)
        async with http.get(url) as response:
            assert response.content_length == 10
            assert await response.read() == b"0123456789"
        async with http.get(url, headers={"Range": "bytes=4-"}) as response:
            assert (response.status, await response.read()) == (206, b"456789")
            assert response.headers["Content-Range"] == "bytes 4-9/10"
        async with http.get(url, headers={"Range": "bytes=10-"}) as response:
            assert response.status == 416
        assert server.downloads == ["a cat in the rain"] * 3

    async def test_statuses_in_turn(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession
    ) -> None:
        busy = FileReply(status=503, headers={"Retry-After": "1"})
        url = await finished_url(client, server, FileReply(status=500), busy, FileReply())
        statuses = []
        for _ in range(4):
            async with http.get(url) as response:
                statuses.append(response.status)
                await response.read()
        assert statuses == [500, 503, 200, 200]

    async def test_honestly_truncated(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession
    ) -> None:
        async with http.get(await finished_url(client, server, FileReply(truncate_to=1000))) as response:
            assert (response.status, response.content_length) == (200, 1000)
            assert await response.read() == server.video[:1000]

    @pytest.mark.parametrize("reply", [FileReply(declare=10**7), FileReply(reset_after=100_000)])
    async def test_less_than_promised(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession, reply: FileReply
    ) -> None:
        async with http.get(await finished_url(client, server, reply)) as response:
            with pytest.raises(aiohttp.ClientError):
                await response.read()

    async def test_more_than_promised(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession
    ) -> None:
        async with http.get(await finished_url(client, server, FileReply(declare=1000))) as response:
            assert await response.read() == server.video[:1000]

    async def test_slow_and_chunked(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession
    ) -> None:
        server.video = b"x" * 1000
        slow = FileReply(chunked=True, chunk_size=250, chunk_delay=0.05)
        started = time.monotonic()
        async with http.get(await finished_url(client, server, slow)) as response:
            assert response.content_length is None
            assert await response.read() == server.video
        assert time.monotonic() - started > 0.15

    async def test_a_page_instead(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession
    ) -> None:
        async with http.get(await finished_url(client, server, FileReply.page())) as response:
            assert (response.status, response.content_type) == (200, "text/html")

    async def test_nothing_before_it_is_finished(
        self, server: RunwareServer, client: Runware, http: aiohttp.ClientSession
    ) -> None:
        server.script("cat", Script(hold=True, early_video_uuid=True))
        task = video()
        await submit(client, task)
        item = await read(client, task)
        async with http.get(f"{server.files_url}/{item['videoUUID']}.mp4") as response:
            assert response.status == 404


class TestProcess:
    async def test_it_is_scripted_and_counted_from_afar(self, tmp_path: Path) -> None:
        rules = tmp_path / "scripts.json"
        rules.write_text(json.dumps({"dog": [{"fail_code": "providerError", "files": [{"status": 500}]}]}))
        async with RunwareProcess(tmp_path, "--scripts", str(rules)) as server:
            await server.script("cat", {"hold": True})
            async with sdk(server) as client:
                task, dog = video(), video("a dog")
                await submit(client, task)
                await submit(client, dog)
                [charge, _] = await server.wait_for_charges(2)
                assert charge.task_uuid == task["taskUUID"]
                assert (await read(client, task))["status"] == "processing"
                assert await server.release("cat") == 1
                assert (await read(client, task))["status"] == "success"
                await server.refuse_next(1, 500)
                assert await server.forget("cat", wholly=True) == 1
                with pytest.raises(RunwareError):
                    await details(client, task)
                state = await server.state()
        counts = ("submits", "reads", "messages", "downloads", "connections", "paid_twice", "deliveries")
        assert {key: state[key] for key in counts} == {
            "submits": 2,
            "reads": 2,
            "messages": 5,
            "downloads": 0,
            "connections": 1,
            "paid_twice": [],
            "deliveries": [],
        }
        assert [charge.prompt for charge in server.charges] == ["a cat in the rain", "a dog"]
