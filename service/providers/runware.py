"""Runware, through its SDK (distribution ``runware-sdk``, https://runware.ai/docs).

One shared client. The SDK's own ``run()`` would wait for the video with pauses of up to
ten seconds; here a task is submitted and asked for separately, so that the UUID can be
put on record in between and the loop above decides the pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from typing import Any, cast

import structlog
from runware import LogEntry, RunOptions, Runware, RunwareError
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
from service.settings import RunwareSettings
from sessions.errors import ProviderError

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
_BUSY = frozenset({"noAvailableServer", "modelNotReady", "serviceUnavailable", "queueFull"})

#: errors that answer a question with the task's end even without the mark ``status: error``
_ENDINGS = frozenset({"safety", "provider"})

#: how long good-byes may take, in seconds
_CLOSING = 2.0

#: raw errors kept for tasks whose caller has not come for them
_ERRORS_KEPT = 1000


#: what the SDK lets through when a connection breaks at an odd moment
_LOST = (WebSocketException, OSError)


class _Client(Runware):
    """The SDK's client, with submission as a step of its own."""

    async def submit(self, task: dict[str, Any], acknowledge_seconds: float) -> None:
        """Send one task and return at its acknowledgement.

        ``run()`` is the only public way to send a video task, and it returns with the video.
        The SDK's utility calls return at the first answer, which for an asynchronous task is
        the acknowledgement; they also hold and repeat it over a reconnect like any other.
        """
        await self._utility("videoInference", task, RunOptions(timeout=int(acknowledge_seconds * 1000)))


class RunwareProvider:
    """``VideoProvider`` and ``TextModel`` on Runware."""

    name = "runware"

    keeps_tasks = True

    def __init__(self, settings: RunwareSettings) -> None:
        assert settings.api_key is not None, "settings refuse runware without a key"
        self._settings = settings
        self.poll_seconds = settings.poll_seconds
        self.deadline_seconds = settings.deadline_seconds
        self._client = _Client(
            api_key=settings.api_key.get_secret_value(),
            ws_base_url=settings.ws_url,
            http_base_url=settings.http_url,
            debug=True,  # feeds the sink; nothing is printed
            log_sink=self._hear,
        )
        self._raw_errors: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._connecting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect in the background: a provider that is away keeps nobody from starting."""
        self._connecting = asyncio.create_task(self._connect(), name="connect to runware")

    async def close(self) -> None:
        if self._connecting:
            for _ in range(2):  # the first ends the sign-in, the second its polite good-bye
                self._connecting.cancel()
                await asyncio.wait({self._connecting}, timeout=_CLOSING / 2)
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
        self._raw_errors.pop(task.id, None)
        try:
            await self._client.submit(_wire(task), self._settings.acknowledge_seconds)
        except _LOST as error:
            raise InDoubt(type(error).__name__) from error
        except RunwareError as error:
            raw = self._raw_errors.pop(task.id, None)
            if raw is None:
                # Not about this task: the SDK hands errors that it cannot place to every caller.
                raise InDoubt(error.message) from error
            _after_submission(error, raw)

    async def check(self, task_id: str) -> TaskStatus:
        self._raw_errors.pop(task_id, None)
        options = RunOptions(timeout=int(self._settings.acknowledge_seconds * 1000))
        try:
            items = await self._client.get_response({"taskUUID": task_id}, options)
        except _LOST as error:
            raise InDoubt(type(error).__name__) from error
        except RunwareError as error:
            raw = self._raw_errors.pop(task_id, None)
            if raw is None and error.code == "timeout" and self._client.is_connected:
                raise NoAnswer(error.message) from error
            if raw is None:
                raise InDoubt(error.message) from error
            return _verdict(task_id, error, raw)
        return self._status([cast("dict[str, Any]", item) for item in items])

    async def _connect(self) -> None:
        try:
            await self._client.connect()
        except (RunwareError, *_LOST) as error:
            _log.warning("runware.unreachable", error=str(error))

    async def _sign_in(self) -> None:
        """Connect, as a step of its own: what fails here has surely sent nothing."""
        if self._client.is_connected:
            return
        try:
            await self._client.connect()
        except _LOST as error:
            raise InDoubt(type(error).__name__) from error
        except RunwareError as error:
            # The SDK calls every failed sign-in "auth", a slow server's too.
            if error.code == "auth" and "key" in error.message.lower():
                raise _provider_error(error, {}) from error
            raise InDoubt(error.message) from error

    def _status(self, items: list[dict[str, Any]]) -> TaskStatus:
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

    def _finished(self, url: str, cost_usd: float | None) -> Finished | Failed:
        # Plain http only from a server that is itself spoken to in plain text, such as one for tests.
        plain = self._settings.ws_url.startswith("ws://")
        if not url.startswith(("https://", "http://") if plain else "https://"):
            message = "Runware gives an address for the video that is no https URL"
            return Failed(error=ProviderError(message, code="provider"))
        return Finished(location=url, cost_usd=cost_usd)

    async def complete(self, *, system: str, prompt: str) -> str:
        task: dict[str, Any] = {
            "taskType": "textInference",
            "deliveryMethod": "sync",
            "model": self._settings.text_model,
            "messages": [{"role": "user", "content": prompt}],
            "settings": {"systemPrompt": system, "maxTokens": 4096},
        }
        options = RunOptions(timeout=int(self._settings.text_seconds * 1000))
        try:
            items = await self._client.run(task, options)
        except _LOST as error:
            raise ProviderError(_sentence("connection"), code="connection") from error
        except RunwareError as error:
            raise _provider_error(error, {}) from error
        return "".join(str(item.get("text") or "") for item in items)

    def _hear(self, entry: LogEntry) -> None:
        """The SDK's log: connection news go to ours, raw errors are kept for their task.

        ``RunwareError`` hides the server's own error code, and with it whether an answer to a
        question is about the question or the verdict on the task.
        """
        if entry.category == "receive" and '"error' in entry.message:
            for error in _errors_in(entry.message):
                self._raw_errors[str(error.get("taskUUID"))] = error
            while len(self._raw_errors) > _ERRORS_KEPT:
                self._raw_errors.popitem(last=False)
        elif entry.category in ("connection", "heartbeat", "retry"):
            _log.info("runware.connection", news=entry.message)
        elif entry.category in ("warn", "error"):
            _log.warning("runware.sdk", news=entry.message)


def _wire(task: VideoTask) -> dict[str, Any]:
    """The task as Runware's ``videoInference`` wants it (docs: video inference API)."""
    wire: dict[str, Any] = {
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
    if task.image_url:
        wire["inputs"] = {"frameImages": [{"image": task.image_url, "frame": "first"}]}
    return wire


def _after_submission(error: RunwareError, raw: dict[str, Any]) -> None:
    """Return if the task is accepted after all; otherwise raise what is known of it."""
    if raw.get("code") == "conflictTaskUUID":
        return  # an earlier send has arrived
    if error.code == "rateLimit" or raw.get("code") in _BUSY:
        raise NotNow(error.message) from error
    if error.code in _REFUSALS:
        raise _provider_error(error, raw) from error
    # Among them a late "not found", the answer to an earlier question.
    raise InDoubt(error.message) from error


def _verdict(task_id: str, error: RunwareError, raw: dict[str, Any]) -> Failed:
    """An error that answers a question: the task's end, or no answer at all."""
    code = str(raw.get("code"))
    ended = raw.get("status") == "error" or code == "taskCancelled" or code.startswith("timeoutProvider")
    if ended or (error.code in _ENDINGS and code not in _BUSY):
        return Failed(error=_provider_error(error, raw))
    if error.code == "notFound":
        raise UnknownTask(task_id) from error
    raise InDoubt(error.message) from error


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _sentence(code: str) -> str:
    return _SENTENCES.get(code, "Runware failed for a reason it does not name")


def _provider_error(error: RunwareError, raw: dict[str, Any]) -> ProviderError:
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


def _errors_in(frame: str) -> list[dict[str, Any]]:
    """The errors of a frame: in ``errors`` or ``error``, or as failed items of ``data``."""
    try:
        found = json.loads(frame)
    except ValueError:
        return []
    if not isinstance(found, dict):
        return []
    listed: list[Any] = []
    for name in ("errors", "error"):
        part = found.get(name) or []
        listed += part if isinstance(part, list) else [part]
    for item in found.get("data") or []:
        if isinstance(item, dict) and item.get("status") == "error":
            inner = item.get("error")
            listed.append({**item, **(inner if isinstance(inner, dict) else {}), "status": "error"})
    return [error for error in listed if isinstance(error, dict)]
