"""One task: what arrives, what is wrong with it, what is said about it now."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.wire.scripts import FileReply, Script

#: one JSON object of the protocol
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An error the provider answers with."""

    code: str
    message: str
    parameter: str | None = None
    #: seconds
    retry_after: float | None = None

    def to_json(self, task: Json) -> Json:
        about = {key: task[key] for key in ("taskType", "taskUUID") if key in task}
        parameter = {"parameter": self.parameter} if self.parameter else {}
        retry = {} if self.retry_after is None else {"retryAfter": self.retry_after}
        documentation = {"documentation": "https://runware.ai/docs/platform/errors"}
        return {"code": self.code, "message": self.message, **parameter, **retry, **about, **documentation}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What becomes of one task that arrived."""

    data: tuple[Json, ...] = ()
    errors: tuple[Json, ...] = ()
    #: seconds before it is sent
    delay: float = 0.0
    #: the connection is aborted and nothing is sent
    drop: bool = False
    #: of the HTTP endpoint
    status: int = 200

    @property
    def frame(self) -> Json:
        errors = {"errors": list(self.errors)} if self.errors else {}
        return {"data": list(self.data), **errors}


def together(replies: Sequence[Reply]) -> Reply:
    """One reply that says what all of them say, when the last of them would be sent."""
    return Reply(
        data=tuple(item for reply in replies for item in reply.data),
        errors=tuple(error for reply in replies for error in reply.errors),
        delay=max(reply.delay for reply in replies),
        drop=any(reply.drop for reply in replies),
        status=max(reply.status for reply in replies),
    )


@dataclass(kw_only=True)
class Task:
    """A task that was accepted."""

    params: Json
    script: Script
    #: fields of the finished item
    result: Json
    accepted_at: float = field(default_factory=time.monotonic)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    #: reads do not know it any more; its taskUUID stays used
    forgotten: bool = False
    #: nor do details
    wholly_forgotten: bool = False
    reads: int = 0
    #: 0-100, when a test says it
    reported: int | None = None
    #: answers that were lost with a connection
    dropped: int = 0
    downloads: int = 0

    @property
    def prompt(self) -> str:
        return str(self.params.get("positivePrompt", ""))

    @property
    def finished(self) -> bool:
        if self.script.never:
            return False
        if self.released.is_set():
            return True
        return not self.script.hold and self._seconds_left <= 0

    @property
    def progress(self) -> int | None:
        if self.reported is not None or not self.script.progress:
            return self.reported
        elapsed = time.monotonic() - self.accepted_at
        return min(99, int(100 * elapsed / self.script.seconds)) if self.script.seconds else 0

    @property
    def _seconds_left(self) -> float:
        return self.accepted_at + self.script.seconds - time.monotonic()

    async def until_finished(self) -> None:
        """Not for a task that never finishes."""
        while not self.finished:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.script.hold else self._seconds_left):
                    await self.released.wait()

    def drop_answer(self) -> bool:
        if self.dropped >= self.script.drop_after_accept:
            return False
        self.dropped += 1
        return True

    def next_file(self) -> FileReply:
        self.downloads += 1
        return self.script.files[min(self.downloads, len(self.script.files)) - 1]

    def to_json(self) -> Json:
        return {key: self.params[key] for key in ("taskType", "taskUUID")}


def outcome(task: Task) -> Reply:
    """What a read of the task says now."""
    script = task.script
    if not task.finished:
        return _running(task)
    if script.fail_code:
        failure = Refusal(code=script.fail_code, message=script.fail_message).to_json(task.params)
        return Reply(errors=({**failure, "status": "error"},))
    status = {} if script.bare_result else {"status": "success"}
    return Reply(data=({**task.to_json(), **status, **task.result},))


def response_of(task: Task) -> Json:
    """What the details of the task say it was answered: the items, the errors, or nothing yet."""
    if not task.finished:
        return {}
    reply = outcome(task)
    return {"errors": list(reply.errors)} if reply.errors else {"data": list(reply.data)}


def _running(task: Task) -> Reply:
    if task.script.empty_while_running:
        return Reply()
    item = {**task.to_json(), "status": task.script.running_status}
    if task.progress is not None:
        item["progress"] = task.progress
    if task.script.early_video_uuid:
        item["videoUUID"] = task.result["videoUUID"]
    return Reply(data=(item,))


def cost_of(message: Json, cost: float) -> Json:
    return {"cost": cost} if message.get("includeCost") else {}


def scripted_refusal(script: Script, code: str) -> Refusal:
    return Refusal(
        code=code,
        message=script.refuse_message,
        parameter=script.refuse_parameter,
        retry_after=script.refuse_retry_after,
    )


def refuse(message: Json, refusal: Refusal) -> Reply:
    return Reply(errors=(refusal.to_json(message),), status=_http_status(refusal.code))


def _http_status(code: str) -> int:
    by_word = {"RateLimit": 429, "Credits": 402, "Balance": 402, "internalServer": 500, "vailable": 503}
    return next((status for word, status in by_word.items() if word in code), 400)


def fault(message: Json) -> Refusal | None:
    """What is wrong with a video task, in the order Runware's validation names it."""
    if not _is_uuid4(message.get("taskUUID")):
        return Refusal(code="invalidTaskUUID", message="'taskUUID' must be a UUID v4.", parameter="taskUUID")
    if not isinstance(message.get("model"), str) or not message["model"]:
        return Refusal(code="missingModel", message="'model' is required.", parameter="model")
    prompt = message.get("positivePrompt")
    if not isinstance(prompt, str) or len(prompt) < 2:
        sentence = "'positivePrompt' must have at least 2 characters."
        return Refusal(code="invalidPositivePrompt", message=sentence, parameter="positivePrompt")
    if message.get("deliveryMethod") != "async":
        sentence = "This model supports 'async' delivery only."
        return Refusal(code="unsupportedDeliveryMethod", message=sentence, parameter="deliveryMethod")
    return None


def _is_uuid4(value: object) -> bool:
    try:
        return isinstance(value, str) and uuid.UUID(value).version == 4
    except ValueError:
        return False


def parse_message(text: str | bytes) -> list[Json]:
    """The tasks of one message; ValueError when it is not an array of objects."""
    message = json.loads(text)
    if not isinstance(message, list) or not all(isinstance(task, dict) for task in message):
        raise ValueError("a message is a JSON array of objects")
    return message
