"""Runware, through its SDK (distribution ``runware-sdk``, https://runware.ai/docs).

One shared client. The SDK's own ``run()`` would wait for the video with pauses of up to
ten seconds; here a task is submitted and asked for separately, so that the UUID can be
put on record in between and the loop above decides the pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import uuid
from typing import cast
from weakref import WeakValueDictionary

import structlog
from runware import LogEntry, RunOptions, RuntimeDependencies, Runware, RunwareError
from websockets.exceptions import WebSocketException

from service.health import Health
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
from service.providers.runware_socket import Json, Sharing, Sockets, outcomes
from service.sections import RunwareSettings
from sessions.errors import ProviderError
from sessions.model import Frames

_log = structlog.get_logger(__name__)

#: the SDK's stable error codes -> what a person should know and do
_SENTENCES = {
    "validation": "Runware does not accept this request",
    "auth": "Runware rejected the API key; check RUNWARE_API_KEY",
    "quota": "The Runware account has run out of credit; top it up, then regenerate",
    "rateLimit": "Runware is busy with too many requests; try again in a minute",
    "safety": "The prompt was refused by the content policy; change the wording, then regenerate",
    "provider": "The video model failed; try again",
    "timeout": "The video model took too long; try again",
    "notFound": "Runware has lost the task; regenerate the scene",
    "serverError": "Runware has a problem at the moment; try again later",
    "connection": "Runware could not be reached; try again later",
}

#: errors by which a task is surely not accepted: nothing is billed
_REFUSALS = frozenset({"validation", "safety", "quota", "auth"})

#: ... and may be later, as it is
_BUSY_AS_A_WHOLE = frozenset({"serviceUnavailable"})
_BUSY = _BUSY_AS_A_WHOLE | {"noAvailableServer", "modelNotReady", "queueFull"}

#: errors that answer a question with the task's end even without the mark ``status: error``
_ENDINGS = frozenset({"safety", "provider"})

#: errors that a record may hold about something other than the task's end
_NO_OUTCOMES = frozenset({"conflictTaskUUID", "taskFailedOrNotFound"})

#: task types whose errors answer an earlier question, not a submission
_READS = frozenset({"getResponse", "getTaskDetails"})

#: how long good-byes may take, in seconds
_CLOSING = 2.0

#: how long the archive may take, in seconds: it is asked only about what is in doubt already
_ARCHIVE_SECONDS = 5.0

#: an archive that gave no answer is left alone for so long, in seconds
_ARCHIVE_REST = 60.0

#: pause after a failed attempt to connect, however many want to, in seconds
_BETWEEN_ATTEMPTS = 1.0

#: what the SDK lets through when a connection breaks at an odd moment
_LOST = (WebSocketException, OSError)


class _Client(Runware):
    """The SDK's client, with submission as a step of its own."""

    async def submit(self, task: Json, options: RunOptions) -> None:
        """Send one task and return at its acknowledgement.

        ``run()`` is the only public way to send a video task, and it returns with the video.
        The SDK's utility calls return at the first answer, which for an asynchronous task is
        the acknowledgement; they also hold and repeat it over a reconnect like any other.
        """
        await self._utility("videoInference", task, options)


class _Turn(asyncio.Lock):
    """One exchange about a task at a time: the SDK knows one listener for each UUID."""

    error: Json | None = None  #: about the task, as it came during the exchange

    def begin(self) -> None:
        self.error = None


class RunwareProvider:
    """``VideoProvider`` and ``TextModel`` on Runware."""

    name = "runware"

    keeps_tasks = True

    def __init__(self, settings: RunwareSettings) -> None:
        assert settings.api_key is not None, "settings refuse runware without a key"
        self._settings = settings
        self._options = RunOptions(timeout=int(settings.acknowledge_seconds * 1000))
        archive_seconds = min(settings.acknowledge_seconds, _ARCHIVE_SECONDS)
        self._archive_options = RunOptions(timeout=int(archive_seconds * 1000))
        self._archive_rests_until = float("-inf")
        self.poll_seconds = settings.poll_seconds
        self.deadline_seconds = settings.deadline_seconds
        self.reconcile_pause_seconds = settings.reconcile_pause_seconds
        self.reconcile_hours = settings.reconcile_hours
        self._sharing = Sharing()
        self._client = _Client(
            api_key=settings.api_key.get_secret_value(),
            ws_base_url=settings.ws_url,
            http_base_url=settings.http_url,
            dependencies=RuntimeDependencies(ws_connect=Sockets(self._sharing, self._hear).connect),
            debug=True,  # feeds the sink; nothing is printed
            log_sink=_tell,
        )
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()  # of the tasks asked about
        self._attempt: asyncio.Task[None] | None = None
        self._next_attempt = 0.0
        self._was_connected = False

    async def open(self) -> None:
        """Connect in the background: a provider that is away keeps nobody from starting."""
        self._connect()

    async def close(self) -> None:
        if self._attempt:
            for _ in range(2):  # the first ends the sign-in, the second its polite good-bye
                self._attempt.cancel()
                await asyncio.wait({self._attempt}, timeout=_CLOSING / 2)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._client.close(), timeout=_CLOSING)

    async def health(self) -> Health:
        if self._client.is_connected:
            return Health(ok=True, detail="connected")
        try:
            await asyncio.wait_for(self._client.connect(), timeout=5)
        except RunwareError as error:
            return Health(ok=False, detail=f"{_sentence(error.code)}: {error.message}")
        except (TimeoutError, *_LOST) as error:
            return Health(ok=False, detail=f"Runware does not answer ({type(error).__name__})")
        return Health(ok=True, detail="connected")

    async def submit(self, task: VideoTask) -> None:
        await self._sign_in()
        turn = self._turn(task.id)
        async with turn:
            turn.begin()
            try:
                await self._client.submit(_wire(task), self._options)
            except _LOST as error:
                raise _lost(error) from error
            except RunwareError as error:
                if turn.error is None:
                    # Not about this task: the SDK hands errors that it cannot place to every caller.
                    raise InDoubt(error.message, code=error.code) from error
                _after_submission(error, turn.error)

    async def check(self, task_id: str) -> TaskStatus:
        await self._reach()
        turn = self._turn(task_id)
        async with turn:
            try:
                return await self._ask(task_id, turn)
            except InDoubt:
                if not (self._client.is_connected and self._sharing.is_suspect(task_id)):
                    raise
                with self._sharing.alone(task_id):
                    return await self._ask(task_id, turn)
            finally:
                self._sharing.forget(task_id)

    async def details(self, task_id: str) -> TaskStatus:
        if time.monotonic() < self._archive_rests_until:
            raise NoAnswer("Runware's archive has just been silent", code="timeout")
        await self._reach()
        turn = self._turn(task_id)
        async with turn:
            turn.begin()
            try:
                items = await self._client.get_task_details({"taskUUID": task_id}, self._archive_options)
            except _LOST as error:
                raise _lost(error) from error
            except RunwareError as error:
                if turn.error is None:
                    self._archive_rests_until = time.monotonic() + _ARCHIVE_REST
                    raise self._unanswered(error) from error
                if turn.error.get("taskType") == "getResponse":  # late: the answer to an earlier question
                    raise InDoubt(error.message, code=error.code) from error
                return _verdict(task_id, error, turn.error)
            return self._on_record([cast("Json", item) for item in items])

    def _turn(self, task_id: str) -> _Turn:
        return self._turns.setdefault(task_id, _Turn())

    async def _ask(self, task_id: str, turn: _Turn) -> TaskStatus:
        turn.begin()
        try:
            items = await self._client.get_response({"taskUUID": task_id}, self._options)
        except _LOST as error:
            raise _lost(error) from error
        except RunwareError as error:
            if turn.error is None:
                raise self._unanswered(error) from error
            self._sharing.answered(task_id)
            return _verdict(task_id, error, turn.error)
        self._sharing.answered(task_id)
        return self._status([cast("Json", item) for item in items])

    def _unanswered(self, error: RunwareError) -> InDoubt:
        """What an error says that is none of the server's about the task."""
        silent = error.code == "timeout" and self._client.is_connected
        return (NoAnswer if silent else InDoubt)(error.message, code=error.code)

    def _connect(self) -> asyncio.Task[None]:
        """The attempt to connect: one for all who want to, and a failed one stands for a moment."""
        attempt = self._attempt
        if attempt is None or (attempt.done() and time.monotonic() >= self._next_attempt):
            attempt = self._attempt = asyncio.create_task(self._client.connect(), name="connect to runware")
            attempt.add_done_callback(self._attempted)
        return attempt

    def _attempted(self, attempt: asyncio.Task[None]) -> None:
        if attempt.cancelled():
            return
        if (error := attempt.exception()) is None:
            self._was_connected = True
        else:
            self._next_attempt = time.monotonic() + _BETWEEN_ATTEMPTS
            _log.warning("runware.unreachable", error=str(error))

    async def _reach(self) -> None:
        """Connect for the first time. Raises ``InDoubt``.

        Once connected the SDK comes back by itself, and holds and repeats questions meanwhile.
        """
        if not (self._was_connected or self._client.is_connected):
            try:
                await self._sign_in()
            except ProviderError as refusal:
                raise InDoubt(refusal.message, code=refusal.code) from refusal

    async def _sign_in(self) -> None:
        """Connect, as a step of its own: what fails here has surely sent nothing."""
        if self._client.is_connected:
            return
        try:
            await asyncio.shield(self._connect())
        except _LOST as error:
            raise _lost(error) from error
        except RunwareError as error:
            # The SDK calls every failed sign-in "auth", a slow server's too.
            if error.code == "auth" and "key" in error.message.lower():
                raise _provider_error(error, {}) from error
            raise InDoubt(error.message, code="connection") from error

    def _status(self, items: list[Json]) -> TaskStatus:
        """What one answer to a question says; one item, since one result was ordered."""
        item = items[0] if items else {}
        status = item.get("status")
        if url := item.get("videoURL"):
            return self._finished(str(url), _number(item.get("cost")))
        if status == "success":
            # "Done, but no video" is how filtered results look.
            message = "Runware reports success but gives no video; its content was probably filtered"
            return Failed(error=ProviderError(message, code="safety"))
        if status not in (None, "processing", "queued", "pending"):
            _log.warning("runware.unknown_status", status=str(status)[:40])  # counts towards the deadline
        percent = _number(item.get("progress"))
        return Running(fraction=None if percent is None else percent / 100)

    def _on_record(self, items: list[Json]) -> TaskStatus:
        """What the record of a task says: its request, and the response if there is one."""
        item = items[0] if items else {}
        response = item.get("response") or {}
        is_envelope = isinstance(response, dict) and not response.keys().isdisjoint(
            ("data", "errors", "error")
        )
        results, errors = outcomes(response if is_envelope else {"data": response})
        made = [result for result in results if result.get("videoURL")]
        if made or (results and not errors):
            return self._status(made or results)
        for raw in errors:
            error = RunwareError(str(raw.get("code") or "unknown"), str(raw.get("message") or "no message"))
            if raw.get("code") not in _NO_OUTCOMES:
                return Failed(error=_provider_error(error, raw))
        if item.get("request") and not errors:
            return Running()
        raise InDoubt("Runware's record of the task does not say how it ended")

    def _finished(self, url: str, cost_usd: float | None) -> Finished | Failed:
        # Plain http only from a server that is itself spoken to in plain text, such as one for tests.
        plain = self._settings.ws_url.startswith("ws://")
        if not url.startswith(("https://", "http://") if plain else "https://"):
            message = "Runware gives an address for the video that is no https URL"
            return Failed(error=ProviderError(message, code="provider"))
        return Finished(location=url, cost_usd=cost_usd)

    async def complete(self, *, system: str, prompt: str) -> str:
        task: Json = {
            "taskType": "textInference",
            "taskUUID": str(uuid.uuid4()),
            "deliveryMethod": "sync",
            "model": self._settings.text_model,
            "messages": [{"role": "user", "content": prompt}],
            "settings": {"systemPrompt": system, "maxTokens": 4096},
        }
        options = RunOptions(timeout=int(self._settings.text_seconds * 1000))
        async with self._turn(task["taskUUID"]):  # somebody waits: its errors are to be let through
            try:
                items = await self._client.run(task, options)
            except _LOST as error:
                raise ProviderError(_sentence("connection"), code="connection") from error
            except RunwareError as error:
                raise _provider_error(error, {}) from error
        return "".join(str(item.get("text") or "") for item in items)

    def _hear(self, task_id: str, error: Json) -> bool:
        """Keep an error as it came, if somebody waits for its task.

        ``RunwareError`` hides the server's own error code, and with it whether an answer to a
        question is about the question or the verdict on the task.
        """
        turn = self._turns.get(task_id)
        if turn is None:
            return False
        turn.error = error
        return True


def _tell(entry: LogEntry) -> None:
    """The SDK's log: what it says of the connection goes to ours."""
    if entry.category in ("connection", "heartbeat", "retry"):
        _log.info("runware.connection", news=entry.message)
    elif entry.category in ("warn", "error"):
        _log.warning("runware.sdk", news=entry.message)


def _wire(task: VideoTask) -> Json:
    """The task as Runware's ``videoInference`` wants it (docs: video inference API)."""
    wire: Json = {
        **task.settings,
        "taskUUID": task.id,
        "deliveryMethod": "async",
        "model": task.model,
        "positivePrompt": task.prompt,
        "duration": int(task.seconds) if task.seconds.is_integer() else task.seconds,
        "numberResults": 1,
        "outputType": "URL",
        "outputFormat": "MP4",
        "includeCost": True,
    }
    if task.width and task.height:
        wire |= {"width": task.width, "height": task.height}
    if inputs := _inputs(task.frames):
        wire["inputs"] = inputs
    if task.webhook_url:
        wire["webhookURL"] = task.webhook_url
    return wire


def _inputs(frames: Frames) -> Json:
    named = (("first", frames.first), ("last", frames.last))
    inputs: Json = {}
    if frame_images := [{"image": image, "frame": name} for name, image in named if image]:
        inputs["frameImages"] = frame_images
    if frames.references:
        inputs["referenceImages"] = list(frames.references)
    return inputs


def _after_submission(error: RunwareError, raw: Json) -> None:
    """Return if the task is accepted after all; otherwise raise what is known of it."""
    code = str(raw.get("code"))
    if code == "conflictTaskUUID":
        return  # an earlier send has arrived
    if raw.get("taskType") in _READS:
        raise InDoubt(error.message, code=error.code) from error
    if error.code == "rateLimit" or code in _BUSY:
        raise NotNow(
            error.message,
            code=code,
            retry_after=_retry_after(error, raw),
            model_only=code not in _BUSY_AS_A_WHOLE,
        ) from error
    if error.code in _REFUSALS:
        raise _provider_error(error, raw) from error
    raise InDoubt(error.message, code=error.code) from error


def _retry_after(error: RunwareError, raw: Json) -> float | None:
    """How long Runware asks to be left alone, in seconds."""
    for told in (error.retry_after, raw.get("retryAfter"), raw.get("retry_after")):
        with contextlib.suppress(TypeError, ValueError):
            seconds = float(told)  # type: ignore[arg-type] # what is no number raises
            if math.isfinite(seconds) and seconds >= 0:
                return seconds
    return None


def _verdict(task_id: str, error: RunwareError, raw: Json) -> Failed:
    """An error that answers a question: the task's end, or no answer at all."""
    code = str(raw.get("code"))
    ended = raw.get("status") == "error" or code == "taskCancelled" or code.startswith("timeoutProvider")
    if ended or (error.code in _ENDINGS and code not in _BUSY):
        return Failed(error=_provider_error(error, raw))
    if error.code == "notFound":
        raise UnknownTask(task_id) from error
    raise InDoubt(error.message, code=error.code) from error


def _lost(error: Exception) -> InDoubt:
    return InDoubt(type(error).__name__, code="connection")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _sentence(code: str) -> str:
    return _SENTENCES.get(code, "Runware failed for a reason it does not name")


def _provider_error(error: RunwareError, raw: Json) -> ProviderError:
    provider_code = str(raw.get("code") or "")
    # The SDK looks for "Timeout", the documented code is "timeoutProvider".
    code = "timeout" if provider_code.startswith("timeout") else error.code
    sentence = _sentence(code)
    if code in ("validation", "unknown"):
        sentence = f"{sentence}: {error.message}"
    return ProviderError(
        sentence,
        code=code,
        retryable=error.retryable or code in ("timeout", "notFound", "unknown"),
        details={"provider_code": provider_code, "provider_message": error.message},
    )
