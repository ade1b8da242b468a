"""Runware on loopback: WebSocket, HTTP and finished videos, for driving the real SDK in tests.

    async with RunwareServer() as server:
        server.script("hook", Script(hold=True))
        client = Runware(api_key="test-key", ws_base_url=server.ws_url, http_base_url=server.http_url)

As a process that outlives the service under test, remote-controlled over HTTP:

    python -m tests.wire.runware_server --port-file PORT [--journal CHARGES] [--scripts SCRIPTS]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import WSMsgType, web

from tests.wire import control
from tests.wire.files import abort, send_file
from tests.wire.ledger import Charge, read_journal
from tests.wire.provider import Provider
from tests.wire.scripts import FileReply, Script
from tests.wire.tasks import Refusal, Reply, Task, parse_message, together
from tests.wire.webhooks import Caller, Delivery

__all__ = [
    "Charge",
    "Delivery",
    "FileReply",
    "Provider",
    "Refusal",
    "RunwareServer",
    "Script",
    "Task",
    "read_journal",
]

#: what is downloaded unless a test sets `server.video`; not a film, just bytes to compare
DEFAULT_VIDEO = bytes(range(256)) * 1024


class _Link:
    """One socket of a client."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.request = request
        self.socket = socket
        self.signed_in = False

    async def send(self, reply: Reply) -> None:
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.drop:
            abort(self.request)
        elif not self.socket.closed:
            await self.socket.send_str(json.dumps(reply.frame))


class RunwareServer(Provider):
    """A provider that listens on 127.0.0.1."""

    def __init__(
        self,
        *,
        api_key: str = "test-key",
        journal: Path | None = None,
        unknown_read: Literal["error", "empty"] = "error",
        first_only: bool = False,
        answers_together: bool = False,
        port: int = 0,
    ) -> None:
        super().__init__(api_key=api_key, journal=journal, unknown_read=unknown_read)
        #: the bytes of every finished video
        self.video = DEFAULT_VIDEO
        #: prompts whose videos were asked for, one per request
        self.downloads: list[str] = []
        #: messages that arrived with tasks other than signing in and pings
        self.messages = 0
        #: tries to deliver a callback to a `webhookURL`
        self.deliveries: list[Delivery] = []
        #: only the first task of a message is looked at
        self.first_only = first_only
        #: a message of reads is answered in one frame, with `data` and `errors`
        self.answers_together = answers_together
        #: new sockets and HTTP tasks get 503 instead
        self.refuse_connections = False
        #: False: `authentication` is not answered at all
        self.answer_sign_in = True
        self.port = port
        self._refusals: list[int] = []
        self._links: set[_Link] = set()
        self._caller: Caller | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._runner = runner
        self._caller = Caller(self._delivered)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.drop_connections()
        for sending in self._background:
            sending.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._caller is not None:
            await self._caller.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def files_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/control"

    def video_url(self, video_uuid: str) -> str:
        return f"{self.files_url}/{video_uuid}.mp4"

    @property
    def connections(self) -> int:
        """Sockets that are open now, signed in or not."""
        return len(self._links)

    async def wait_for_connection(self, count: int = 1, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - a test says how patient it is
        """Returns when so many clients are signed in at the same time."""
        await self._bell.wait_until(
            lambda: sum(link.signed_in for link in self._links) >= count,
            what=f"{count} connections",
            timeout=timeout,
        )

    async def wait_for_deliveries(self, count: int = 1, timeout: float = 10.0) -> list[Delivery]:  # noqa: ASYNC109
        await self._bell.wait_until(
            lambda: len(self.deliveries) >= count, what=f"{count} deliveries", timeout=timeout
        )
        return self.deliveries

    def refuse_next(self, count: int, status: int = 503) -> None:
        """So many of the next WebSocket handshakes are answered with this HTTP status."""
        self._refusals += [status] * count

    async def drop_connections(self, code: int | None = None) -> int:
        """Resets all sockets, or closes them properly with a code; how many there were."""
        links, self._links = self._links, set()
        if code is None:
            for link in links:
                abort(link.request)
        else:
            await asyncio.gather(*(link.socket.close(code=code) for link in links))
        return len(links)

    async def push_error(self, code: str, message: str, *, task_uuid: str | None = None) -> None:
        """Sends an error nobody asked for to all clients, about one task or about none."""
        about = {"taskUUID": task_uuid} if task_uuid else {}
        error = Refusal(code=code, message=message).to_json(about)
        for link in self._links:
            await link.send(Reply(errors=(error,)))

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024**2)
        app.add_routes([web.get("/v1", self._serve_socket), web.post("/v1", self._serve_post)])
        app.add_routes([web.get("/files/{video_uuid}.mp4", self._serve_file)])
        app.add_routes(control.routes(self))
        return app

    # --- WebSocket

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        if self._refusals:
            return web.Response(status=self._refusals.pop(0))
        if self.refuse_connections:
            return web.Response(status=503)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        link = _Link(request, socket)
        self._links.add(link)
        try:
            await self._listen(link)
        finally:
            self._links.discard(link)
        return socket

    async def _listen(self, link: _Link) -> None:
        async for message in link.socket:
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                continue
            for reply in self._replies(link, message.data):
                self._spawn(link.send(reply))

    def _replies(self, link: _Link, text: str) -> list[Reply]:
        try:
            tasks = parse_message(text)
        except ValueError as error:
            return [Reply(errors=({"code": "invalidRequest", "message": str(error)},))]
        tasks = self._looked_at(tasks)
        replies = [reply for task in tasks if (reply := self._reply(link, task))]
        reads = all(task.get("taskType") == "getResponse" for task in tasks)
        return [together(replies)] if self.answers_together and reads and replies else replies

    def _looked_at(self, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.messages += any(task.get("taskType") not in {"authentication", "ping"} for task in tasks)
        return tasks[:1] if self.first_only else tasks

    def _reply(self, link: _Link, task: dict[str, Any]) -> Reply | None:
        if task.get("taskType") == "authentication":
            return self._sign_in(link, task)
        if not link.signed_in:
            return self.reject_key()
        return self.answer(task)

    def _sign_in(self, link: _Link, task: dict[str, Any]) -> Reply | None:
        if not self.answer_sign_in:
            return None
        reply = self.sign_in(task)
        link.signed_in = not reply.errors
        self._bell.ring()
        return reply

    def _spawn(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_unless_gone(sending), name="wire-reply")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- callbacks

    def _began(self, task: Task) -> None:
        lost = task.script.webhook_lost or task.script.never
        if task.params.get("webhookURL") and not lost and self._caller is not None:
            self._spawn(self._caller.call_back(task))

    def _delivered(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._bell.ring()

    # --- HTTP

    async def _serve_post(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_connections:
            return web.Response(status=503)
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return _json_response(self.reject_key())
        tasks = self._looked_at(parse_message(await request.read()))
        reply = together([self.answer(task) for task in tasks])
        await asyncio.sleep(reply.delay)
        if reply.drop:
            abort(request)
        return _json_response(reply)

    async def _serve_file(self, request: web.Request) -> web.StreamResponse:
        task = self._videos.get(request.match_info["video_uuid"])
        if task is None or not task.finished:
            return web.Response(status=404)
        self.downloads.append(task.prompt)
        self._bell.ring()
        return await send_file(request, self.video, task.next_file())


async def _unless_gone(sending: Coroutine[Any, Any, None]) -> None:
    """A client that left gets no answer."""
    with suppress(ConnectionError):
        await sending


def _json_response(reply: Reply) -> web.Response:
    return web.json_response(reply.frame, status=reply.status)


# --- as a process


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.wire.runware_server")
    parser.add_argument("--port-file", type=Path, required=True, help="gets the port once the server listens")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path, help="gets every charge as a JSON line")
    parser.add_argument("--api-key", default="test-key")
    parser.add_argument("--unknown-read", choices=["error", "empty"], default="error")
    parser.add_argument("--first-only", action="store_true", help="look only at the first task of a message")
    parser.add_argument(
        "--answers-together", action="store_true", help="answer a message of reads in one frame"
    )
    parser.add_argument("--video", type=Path, help="what is downloaded")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="until a task no script is about is finished"
    )
    parser.add_argument("--scripts", type=Path, help='JSON: {"substring of a prompt": [{"seconds": 3}, ...]}')
    return parser.parse_args()


def _configured(arguments: argparse.Namespace) -> RunwareServer:
    server = RunwareServer(
        api_key=arguments.api_key,
        journal=arguments.journal,
        unknown_read=arguments.unknown_read,
        first_only=arguments.first_only,
        answers_together=arguments.answers_together,
        port=arguments.port,
    )
    if arguments.video:
        server.video = arguments.video.read_bytes()
    server.script_default(Script(seconds=arguments.seconds))
    rules = json.loads(arguments.scripts.read_text(encoding="utf-8")) if arguments.scripts else {}
    for substring, scripts in rules.items():
        server.script(substring, *(Script.from_json(fields) for fields in scripts))
    return server


async def _serve(server: RunwareServer, port_file: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        unfinished = port_file.with_name(f"{port_file.name}.part")
        unfinished.write_text(f"{server.port}\n", encoding="utf-8")
        unfinished.replace(port_file)
        await stop.wait()


def main() -> None:
    arguments = _arguments()
    asyncio.run(_serve(_configured(arguments), arguments.port_file))


if __name__ == "__main__":
    main()
