"""The socket under Runware's SDK, opened at the hook that the SDK has for it.

Two things go differently from the SDK's own socket:

* Questions about tasks (``getResponse``) that are asked at nearly the same time share a message. With
  thousands of tasks in flight that is a few dozen messages a second instead of thousands.
* What arrives is sorted. The SDK ignores the results in a frame that also has errors, and hands errors
  that it cannot place to everybody who waits for anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import structlog
import websockets
from runware.user_agent import user_agent
from websockets.asyncio.client import ClientConnection

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)

#: how long a question waits for others to share its message with, in seconds
BATCH_SECONDS: Final = 0.02

#: most tasks in one message
BATCH_LIMIT: Final = 200

#: one object of the protocol
Json = dict[str, Any]


class Sharing:
    """How many questions may share a message: few enough for all of them to be answered.

    Runware documents that every task of a message is processed, and names no limit. Should a question
    that shared its message get no answer, and get one when it is asked alone, then messages become no
    longer than the furthest place that has ever been answered: 1 with a server that looks at the first
    task only.
    """

    def __init__(self, limit: int = BATCH_LIMIT) -> None:
        self.limit = limit
        self._proven = 1  # the furthest place in a message that was answered
        self._asked: dict[str, tuple[int, int]] = {}  # task -> place, from 1, and size of its message
        self._alone: dict[str, int] = {}  # task -> size of the message in which it went unanswered

    def is_alone(self, task_id: str) -> bool:
        """Whether the question must have a message to itself."""
        return self.limit == 1 or task_id in self._alone

    def asked(self, task_ids: Sequence[str]) -> None:
        """These questions go out in one message, in this order."""
        for place, task_id in enumerate(task_ids, 1):
            self._asked[task_id] = (place, len(task_ids))

    def answered(self, task_id: str) -> None:
        """The task's question was answered, whatever the answer."""
        place, _ = self._asked.pop(task_id, (1, 1))
        self._proven = max(self._proven, place)
        failed_size = self._alone.get(task_id, 0)
        if self._proven < min(failed_size, self.limit):
            _log.warning("runware.shared_messages_unanswered", size=failed_size, limit=self._proven)
            self.limit = self._proven

    def is_suspect(self, task_id: str) -> bool:
        """Whether sharing may be the reason that the task's question has no answer."""
        return self._asked.get(task_id, (1, 1))[1] > self._proven

    @contextmanager
    def alone(self, task_id: str) -> Iterator[None]:
        """Ask a suspect question again, by itself."""
        self._alone[task_id] = self._asked[task_id][1]
        try:
            yield
        finally:
            del self._alone[task_id]

    def forget(self, task_id: str) -> None:
        """Nobody waits for the answer any more."""
        self._asked.pop(task_id, None)


@dataclass(eq=False, slots=True)
class _Question:
    task: Json
    sent: asyncio.Future[None]


class Socket:
    """What the SDK uses of a connection: ``send``, ``recv``, iteration and ``close``.

    ``send`` returns, or raises, when the message has really gone out: the SDK holds and repeats what
    has not.
    """

    def __init__(
        self, connection: ClientConnection, sharing: Sharing, on_error: Callable[[str, Json], bool]
    ) -> None:
        self._connection = connection
        self._sharing = sharing
        self._on_error = on_error
        self._waiting: list[_Question] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, text: str) -> None:
        tasks: list[Json] = json.loads(text)
        questions = [task for task in tasks if _may_share(task)]
        if not questions and len(tasks) == 1:
            await self._connection.send(text)
            return
        # Several tasks at once are what the SDK repeats after a reconnect: all that is under way.
        others = [task for task in tasks if not _may_share(task)]
        for portion in _portions(others, self._sharing.limit):
            await self._connection.send(json.dumps(portion))
        if len(questions) == 1:
            await self._ask(questions[0])
        else:
            await asyncio.gather(*map(self._ask, questions))

    async def recv(self) -> str | bytes:
        """The next frame as it came; the SDK uses this to sign in."""
        return await self._connection.recv()

    async def __aiter__(self) -> AsyncIterator[str]:
        async for frame in self._connection:
            text = frame if isinstance(frame, str) else frame.decode(errors="replace")
            if '"error' in text:
                for part in self._sorted(text):
                    yield part
            else:
                yield text

    async def close(self) -> None:
        await self._connection.close()
        self._flush()  # those who wait to share a message must hear that it will not go out

    async def _ask(self, task: Json) -> None:
        task_id = task["taskUUID"]
        if self._sharing.is_alone(task_id):
            self._sharing.asked([task_id])
            await self._connection.send(json.dumps([task]))
            return
        loop = asyncio.get_running_loop()
        question = _Question(task, loop.create_future())
        self._waiting.append(question)
        if len(self._waiting) >= self._sharing.limit:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(BATCH_SECONDS, self._flush)
        await question.sent

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wanted = [question for question in self._waiting if not question.sent.done()]
        self._waiting.clear()
        for portion in _portions(wanted, self._sharing.limit):
            sending = asyncio.create_task(self._send_together(portion), name="runware questions")
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send_together(self, questions: Sequence[_Question]) -> None:
        self._sharing.asked([question.task["taskUUID"] for question in questions])
        try:
            await self._connection.send(json.dumps([question.task for question in questions]))
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            for question in questions:
                if not question.sent.done():
                    question.sent.set_exception(error)
        else:
            for question in questions:
                if not question.sent.done():
                    question.sent.set_result(None)

    def _sorted(self, text: str) -> list[str]:
        """The frame as one or several in which the SDK finds everything.

        Errors about tasks that nobody waits for are left out.
        """
        results, errors = outcomes(_object(text))
        if not errors:
            return [text]
        placed: list[Json] = []
        unplaced: list[Json] = []
        for error in errors:
            task_id = error.get("taskUUID")
            if not isinstance(task_id, str):
                unplaced.append(error)
            elif self._on_error(task_id, error):
                placed.append(error)
        parts = [{"data": results}, {"errors": placed}, {"errors": unplaced}]
        return [json.dumps(part) for part in parts if any(part.values())]


class Sockets:
    """Opens the sockets of one client; what was learned about sharing survives a reconnect.

    ``on_error`` is told every error that names a task, before the SDK sees it, and answers whether
    anybody waits for that task.
    """

    def __init__(self, sharing: Sharing, on_error: Callable[[str, Json], bool]) -> None:
        self._sharing = sharing
        self._on_error = on_error

    async def connect(self, url: str) -> ClientConnection:
        """For ``RuntimeDependencies.ws_connect``; the handshake is that of the SDK."""
        connection = await websockets.connect(url, additional_headers={"User-Agent": user_agent()})
        return cast("ClientConnection", Socket(connection, self._sharing, self._on_error))


def _may_share(task: Json) -> bool:
    return task.get("taskType") == "getResponse" and isinstance(task.get("taskUUID"), str)


def _portions(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _object(text: str) -> Json:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def outcomes(envelope: Json) -> tuple[list[Json], list[Json]]:
    """The results and the errors in an envelope of the protocol.

    Failed items of ``data`` count as errors, which is where Runware documents them. There may be one
    of a kind instead of a list, and an error may be a mere sentence.
    """
    results: list[Json] = []
    errors = [
        error if isinstance(error, dict) else {"message": str(error)}
        for name in ("errors", "error")
        for error in _listed(envelope.get(name))
    ]
    for item in _listed(envelope.get("data")):
        if isinstance(item, dict) and item.get("status") == "error":
            inner = item.get("error")
            errors.append({**item, **(inner if isinstance(inner, dict) else {}), "status": "error"})
        elif isinstance(item, dict):
            results.append(item)
    return results, errors


def _listed(part: object) -> list[Any]:
    if not part:
        return []
    return part if isinstance(part, list) else [part]
