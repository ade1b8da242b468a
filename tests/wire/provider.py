"""What Runware answers to one task: the protocol without its sockets.

A message is a JSON array of tasks, and each of them is answered by itself.
`Provider.answer` takes one task and says what to send, after how long, and
whether the connection breaks instead. All state is here, so it survives
whatever happens to connections.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tests.wire.ledger import Bell, Charge, Ledger, paid_twice
from tests.wire.scripts import Playbook, Script
from tests.wire.tasks import (
    Json,
    Refusal,
    Reply,
    Task,
    cost_of,
    fault,
    outcome,
    refuse,
    response_of,
    scripted_refusal,
)

_CONFLICT = (
    "The provided 'taskUUID' has already been used. Each task needs its own 'taskUUID', in UUID v4 format."
)
_NOT_FOUND = Refusal(
    code="taskFailedOrNotFound", message="The task failed or does not exist.", parameter="taskUUID"
)
_TROUBLE = "Something went wrong on our side."
_INVALID_KEY = "Invalid API key. Get one at https://my.runware.ai/signup"


#: answers to text tasks: texts and refusals in turn, or a function of the messages
TextAnswers = Sequence[str | Refusal] | Callable[[list[Json]], str | Refusal]


class Provider:
    """Accepts, charges and finishes tasks; scripted and counted by a test."""

    def __init__(
        self,
        *,
        api_key: str = "test-key",
        journal: Path | None = None,
        unknown_read: Literal["error", "empty"] = "error",
    ) -> None:
        self.api_key = api_key
        #: a read of an unknown uuid: error `taskFailedOrNotFound`, or `data: []`
        self.unknown_read = unknown_read
        #: every video task that arrived, duplicates and refused ones too
        self.submits: list[Json] = []
        #: every text task that arrived
        self.texts: list[Json] = []
        #: getResponse tasks that arrived
        self.reads = 0
        self._ledger = Ledger(journal)
        self._bell = Bell()
        self._playbook = Playbook()
        self._tasks: dict[str, Task] = {}
        self._videos: dict[str, Task] = {}
        self._lost: Counter[str] = Counter()
        self._text_answers: TextAnswers = ()
        self._text_seconds = 0.0
        self._text_turn = 0

    # --- scripting

    def script(self, substring: str, *scripts: Script) -> None:
        """Prompts with this substring get these scripts, one per task; the last repeats."""
        self._playbook.add(substring, scripts)

    def script_default(self, script: Script) -> None:
        """Prompts no rule is about get this script."""
        self._playbook.default = script

    def script_text(self, answers: TextAnswers, *, seconds: float = 0.0) -> None:
        """Text tasks are answered so, in turn and the last one repeating; each after `seconds`."""
        self._text_answers = answers
        self._text_seconds = seconds
        self._text_turn = 0

    def release(self, substring: str = "") -> int:
        """Accepted tasks with this in their prompt are finished now; how many there are."""
        tasks = self._about(substring)
        for task in tasks:
            task.released.set()
        return len(tasks)

    def report_progress(self, substring: str, percent: int) -> int:
        """Running tasks with this in their prompt tell this progress; how many there are."""
        tasks = self._about(substring)
        for task in tasks:
            task.reported = percent
        return len(tasks)

    def forget(self, substring: str = "", *, wholly: bool = False) -> int:
        """Reads, or wholly: details too, know nothing of these tasks from now on; their uuids stay used."""
        tasks = self._about(substring)
        for task in tasks:
            task.forgotten = True
            task.wholly_forgotten = wholly
        return len(tasks)

    # --- counting

    @property
    def charges(self) -> list[Charge]:
        return self._ledger.charges

    def paid_twice(self) -> list[str]:
        """Prompts that were charged more than once."""
        return paid_twice(self.charges)

    async def wait_for_charges(self, count: int = 1, timeout: float = 10.0) -> list[Charge]:  # noqa: ASYNC109 - a test says how patient it is
        await self._bell.wait_until(
            lambda: len(self.charges) >= count, what=f"{count} charges", timeout=timeout
        )
        return self.charges

    async def wait_for_submits(self, count: int = 1, timeout: float = 10.0) -> list[Json]:  # noqa: ASYNC109
        await self._bell.wait_until(
            lambda: len(self.submits) >= count, what=f"{count} submits", timeout=timeout
        )
        return self.submits

    async def wait_for_reads(self, count: int = 1, timeout: float = 10.0) -> int:  # noqa: ASYNC109
        await self._bell.wait_until(lambda: self.reads >= count, what=f"{count} reads", timeout=timeout)
        return self.reads

    # --- the protocol

    def answer(self, message: Json) -> Reply:
        """What one task of a client that is signed in gets."""
        answers = {
            "ping": self._pong,
            "videoInference": self._submit,
            "textInference": self._write,
            "getResponse": self._read,
            "getTaskDetails": self._tell,
        }
        answer = answers.get(str(message.get("taskType")), self._unsupported)
        reply = answer(message)
        self._bell.ring()
        return reply

    def sign_in(self, message: Json) -> Reply:
        """The answer to `authentication`; the client is in if it is not an error."""
        if message.get("apiKey") != self.api_key:
            return self.reject_key()
        session = message.get("connectionSessionUUID") or str(uuid.uuid4())
        return Reply(data=({"taskType": "authentication", "connectionSessionUUID": session},))

    def reject_key(self) -> Reply:
        refusal = Refusal(code="invalidApiKey", message=_INVALID_KEY, parameter="apiKey")
        return Reply(errors=(refusal.to_json({"taskType": "authentication"}),), status=401)

    def video_url(self, video_uuid: str) -> str:
        """Where a finished video is downloaded."""
        return f"/files/{video_uuid}.mp4"

    def _about(self, substring: str) -> list[Task]:
        return [task for task in self._tasks.values() if substring in task.prompt]

    def _pong(self, message: Json) -> Reply:
        return Reply(data=({"taskType": "ping", "pong": True},))

    def _unsupported(self, message: Json) -> Reply:
        return refuse(
            message, Refusal(code="invalidTaskType", message="Unknown 'taskType'.", parameter="taskType")
        )

    def _submit(self, message: Json) -> Reply:
        self.submits.append(message)
        known = self._tasks.get(str(message.get("taskUUID")))
        if known:
            return self._conflict(known)
        wrong = fault(message)
        if wrong:
            return refuse(message, wrong)
        script = self._playbook.choose(message["taskUUID"], message["positivePrompt"])
        if self._lost[message["taskUUID"]] < script.drop_before_accept:
            self._lost[message["taskUUID"]] += 1
            return Reply(drop=True)
        if script.refuse_code:
            self._playbook.forget(message["taskUUID"])
            return refuse(message, scripted_refusal(script, script.refuse_code))
        return self._accept(message, script)

    def _accept(self, message: Json, script: Script) -> Reply:
        video_uuid = str(uuid.uuid4())
        url = script.video_url or self.video_url(video_uuid)
        seed = message.get("seed") or uuid.UUID(message["taskUUID"]).int % 2**31
        result = {"videoUUID": video_uuid, "videoURL": url, "seed": seed, **cost_of(message, script.cost)}
        task = Task(params=message, script=script, result=result)
        self._tasks[message["taskUUID"]] = self._videos[video_uuid] = task
        self._ledger.charge(message)
        self._began(task)
        return Reply(data=(task.to_json(),), delay=script.ack_delay, drop=task.drop_answer())

    def _began(self, task: Task) -> None:
        """A video task was accepted."""

    def _conflict(self, task: Task) -> Reply:
        if task.drop_answer():
            return Reply(drop=True)
        return refuse(task.params, Refusal(code="conflictTaskUUID", message=_CONFLICT, parameter="taskUUID"))

    def _read(self, message: Json) -> Reply:
        self.reads += 1
        task = self._tasks.get(str(message.get("taskUUID")))
        if task is None or task.forgotten:
            return self._unknown(message)
        task.reads += 1
        reply = outcome(task)
        if task.reads <= task.script.read_errors:
            reply = refuse(message, Refusal(code=task.script.read_error_code, message=_TROUBLE))
        late = task.script.late_reads is None or task.reads <= task.script.late_reads
        return replace(reply, delay=task.script.read_delay if late else 0.0)

    def _tell(self, message: Json) -> Reply:
        task = self._tasks.get(str(message.get("taskUUID")))
        if task is None or task.wholly_forgotten:
            return refuse(message, _NOT_FOUND)
        details = {"request": [task.params], "response": response_of(task)}
        return Reply(data=({"taskType": "getTaskDetails", "taskUUID": message["taskUUID"], **details},))

    def _unknown(self, message: Json) -> Reply:
        if self.unknown_read == "empty":
            return Reply()
        return refuse(message, _NOT_FOUND)

    def _write(self, message: Json) -> Reply:
        self.texts.append(message)
        answer = self._next_text(message.get("messages", []))
        if isinstance(answer, Refusal):
            return replace(refuse(message, answer), delay=self._text_seconds)
        result = {"text": answer, "finishReason": "stop", **cost_of(message, 0.001)}
        task = Task(params=message, script=Script(seconds=self._text_seconds), result=result)
        if message.get("deliveryMethod") == "async":
            self._tasks[message["taskUUID"]] = task
            return Reply(data=(task.to_json(),))
        return Reply(data=({**task.to_json(), **result},), delay=self._text_seconds)

    def _next_text(self, messages: list[Json]) -> str | Refusal:
        if callable(self._text_answers):
            return self._text_answers(messages)
        if not self._text_answers:
            return Refusal(code="internalServerError", message="The test scripted no text.")
        turn = min(self._text_turn, len(self._text_answers) - 1)
        self._text_turn += 1
        return self._text_answers[turn]
